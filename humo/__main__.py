"""The command line: `humo COMMAND`, or `python -m humo COMMAND`.

Each command lives in its own room and is imported only when it is called, so that help is quick and a command needs
no more than its own libraries. A `ValueError` is a sentence for the user: it is printed alone, with exit code 2. Of
torchrun's processes each prints its own, for a process cannot know whether the others meet the same mistake, and a
mistake that only one of them meets must not be silent.

Exit codes: 0 all is done, 1 something failed, 2 a wrong call or input, 130 somebody interrupted it.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from humo.system.command_line import INTERRUPTED, WRONG, as_app, run, with_quiet
from humo.system.threads import tell_quota

COMMANDS = {
    "page": ("humo.space.application.command:page", "open the page in a browser"),
    "generate": ("humo.generate:generate", "make a video from text, pictures and sound"),
    "live": ("humo.live.command:live", "speak to a live session, and see whether it keeps up"),
    "dub": ("humo.dubbing.command:dub_command", "give a clip another voice: the mouth is made anew, all else stays"),
    "convert": ("humo.loading.published.command:convert_command", "turn published weights into a folder to load"),
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
    "doctor": ("humo.doctor.command:doctor", "see what works on this computer, and what to do where it does not"),
    "benchmark": ("humo.benchmarks.command:benchmark", "time every part of a generation"),
}
"""Name: (module:function or module:Typer, what it does)."""
PROGRAM, COMPLETE = "humo", "_HUMO_COMPLETE"
"""The console script, and the variable by which a shell asks it to complete."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        Exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if COMPLETE in os.environ or arguments[:1] in (["--install-completion"], ["--show-completion"]):
        return run(_completion(), arguments, PROGRAM)
    if not arguments or arguments[0] in ("--help", "-h"):
        typer.echo(_overview())
        return 0 if arguments else WRONG
    name, *rest = arguments
    if name not in COMMANDS:
        typer.echo(f"Error: there is no command {name!r}: use {', '.join(COMMANDS)}.", err=True)
        return WRONG
    tell_quota(os.environ)
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    who = "" if is_alone else f"[process {os.environ.get('RANK', '0')}] "
    try:
        return run(_command(name), rest, f"{_program()} {name}", who)
    except KeyboardInterrupt:  # while its libraries are imported
        return INTERRUPTED


def _program() -> str:
    """As it was called."""
    return PROGRAM if Path(sys.argv[0]).stem == PROGRAM else "python -m humo"


def _command(name: str) -> typer.Typer:
    module, function = COMMANDS[name][0].split(":")
    command = getattr(import_module(module), function)
    return with_quiet(command if isinstance(command, typer.Typer) else as_app(command))


class _Completing(TyperGroup):
    """All commands for a shell that completes one: names and what they do; only the one that is written is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        app = typer.Typer(add_completion=False)
        app.command(help=COMMANDS[cmd_name][1])(lambda: None)
        return get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, *rest = args
        return name, get_command(_command(name)) if name in COMMANDS else None, rest


def _completion() -> typer.Typer:
    """What completes the program `humo` in a shell, installs that, or shows it."""
    app = typer.Typer(cls=_Completing, add_completion=True, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    return app


def _overview() -> str:
    lines = [f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    program = _program()
    told = [f"{program} COMMAND --help tells more.", f"{PROGRAM} --install-completion lets the shell complete it."]
    return "\n".join([f"Usage: {program} COMMAND [OPTIONS]", "", *lines, "", *told])


if __name__ == "__main__":
    sys.exit(main())
