"""The command line: `python -m humo COMMAND`.

Each command lives in its own room and is imported only when it is called, so that help is quick and a command needs
no more than its own libraries. A `ValueError` is a sentence for the user: it is printed alone, with exit code 2. Of
torchrun's processes each prints its own, for a process cannot know whether the others meet the same mistake, and a
mistake that only one of them meets must not be silent.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import typer

from humo.system.command_line import as_app, run
from humo.system.threads import tell_quota

COMMANDS = {
    "generate": ("humo.generate:generate", "make a video from text, pictures and sound"),
    "live": ("humo.live.command:live", "speak to a live session, and see whether it keeps up"),
    "dub": ("humo.dubbing.command:dub_command", "give a clip another voice: the mouth is made anew, all else stays"),
    "convert": ("humo.loading.published.conversion:convert_command", "turn published weights into a folder to load"),
    "train": ("humo.training.command:train", "train the mini model from nothing"),
    "distill": ("humo.training.distillation.command:distill", "make the fast form of mini: one pass, few steps"),
    "prepare": ("humo.finetuning.dataset.command:prepare", "turn clips with captions into batches for training"),
    "finetune": ("humo.finetuning.command:finetune", "train a real backbone as the paper does"),
    "ablate": ("humo.evaluation.ablation.command:ablate", "train and measure what the paper compares"),
    "evaluate": ("humo.evaluation.command:evaluate", "measure what a model can do, and write the report"),
    "bench": ("humo.evaluation.published.command:bench", "measure a published model as the paper does"),
    "portrait": ("humo.portrait.command:portrait", "read a photograph and draw the person for mini"),
    "deploy": ("humo.space.deploy.command:deploy_command", "put the page on a Hugging Face Space"),
    "wording": ("humo.wording.command:wording", "what mini reads of a text in anybody's words"),
    "benchmark": ("humo.benchmarks.command:benchmark", "time every part of a generation"),
}
"""Name: (module:function or module:Typer, what it does)."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        Exit code: 0, 2 for a wrong call or input.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("--help", "-h"):
        typer.echo(_overview())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        typer.echo(f"Error: there is no command {name!r}: use {', '.join(COMMANDS)}.", err=True)
        return 2
    tell_quota(os.environ)
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    who = "" if is_alone else f"[process {os.environ.get('RANK', '0')}] "
    return run(_command(name), rest, f"python -m humo {name}", who)


def _command(name: str) -> typer.Typer:
    module, function = COMMANDS[name][0].split(":")
    command = getattr(import_module(module), function)
    return command if isinstance(command, typer.Typer) else as_app(command)


def _overview() -> str:
    lines = [f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        ["Usage: python -m humo COMMAND [OPTIONS]", "", *lines, "", "python -m humo COMMAND --help tells more."]
    )


if __name__ == "__main__":
    sys.exit(main())
