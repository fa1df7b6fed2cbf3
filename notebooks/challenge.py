"""`python -m notebooks.challenge`: a student's guidance schedule against the bundled one, on cases nobody has seen.

A schedule is a rule as plain data, in the library's own terms (`humo.guidance.make_rule`): a file of JSON such as
{"rule": "paper", "text": 4, "image": 3, "audio": 5, "early": [5, 5, 1], "switch": 900}. No code is run.

    new      for the teacher: a hidden seed
    try      for students: a schedule on cases to practise on, which the hidden ones are not among
    score    for the teacher: all schedules on the hidden cases, ranked

Interrupted, each goes on where it was. Ours.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humo.system.command_line import check_folder, run
from humo.system.files import read_object, write_json
from humo.system.imports import require

if TYPE_CHECKING:
    from notebooks.scoring import Challenge

PRACTICE = Path("runs/challenge")
"""Where students' scores are kept; git ignores it."""
SEED_FILE = "seed.json"
_PRACTICE_SEED = 0
_LARGEST = 2**31

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)
Cases = Annotated[int, typer.Option(help="Held-out people; more decide more.", min=2)]
Frames = Annotated[int, typer.Option(help="4k+1 frames of each video.", min=5)]
Steps = Annotated[int | None, typer.Option(help="Denoising steps; default: the model's own.", min=1)]
Eyes = Annotated[Path | None, typer.Option(help="Other probes than those that come with the project.")]
Preset = Annotated[str, typer.Option(help="mini, or the folder of a model of drawn people.")]


@app.command("new")
def new(
    out: Annotated[Path, typer.Option(help="Folder of the challenge, the teacher's own.")],
    cases: Cases = 32,
    frames: Frames = 49,
    steps: Steps = None,
) -> None:
    """Draw a hidden seed."""
    require("speech", "espeakng_loader")
    check_folder(out)
    from notebooks.scoring import Challenge

    file = out / SEED_FILE
    if file.exists():
        raise ValueError(f"{file} exists already: name another folder, or delete the file to hide another seed.")
    challenge = Challenge(seed=secrets.randbelow(_LARGEST), cases=cases, frames=frames, steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, asdict(challenge))
    typer.echo(f"Keep {file} to yourself: `score` reads the seed from it.")


@app.command("try")
def try_(
    schedules: Annotated[list[Path], typer.Argument(help="Files of JSON, a rule in each.")],
    out: Annotated[Path, typer.Option(help="Where scores are kept.")] = PRACTICE,
    cases: Cases = 16,
    frames: Frames = 49,
    steps: Steps = None,
    probes: Eyes = None,
    preset: Preset = "mini",
) -> None:
    """Score schedules on cases to practise on."""
    require("speech", "espeakng_loader")
    from notebooks.scoring import Challenge

    practice = Challenge(seed=_PRACTICE_SEED, cases=cases, frames=frames, steps=steps, split="validation")
    _score(schedules, practice, probes, out, preset)


@app.command("score")
def score(
    schedules: Annotated[list[Path], typer.Argument(help="The students' files of JSON, a rule in each.")],
    seed_file: Annotated[Path, typer.Option(help="That `new` has written.")],
    probes: Eyes = None,
    preset: Preset = "mini",
) -> None:
    """Score schedules on the hidden cases, best first."""
    require("speech", "espeakng_loader")
    from notebooks.scoring import Challenge

    record = read_object(seed_file)
    try:
        hidden = Challenge(**record) if record else None
    except TypeError:
        hidden = None
    if hidden is None:
        raise ValueError(f"{seed_file} holds no challenge: give the {SEED_FILE} that `new` has written.")
    _score(schedules, hidden, probes, seed_file.parent, preset)


def _score(paths: list[Path], challenge: Challenge, probes: Path | None, out: Path, preset: str) -> None:
    from notebooks.scoring import name_schedules, ranking, read_schedule, score_rules

    check_folder(out)
    rules, faults = {}, []
    for name, path in name_schedules(paths).items():
        try:
            rules[name] = read_schedule(path)
        except ValueError as error:
            faults.append(f"left out: {error}")
    for fault in faults:
        typer.echo(fault, err=True)
    if not rules:
        raise ValueError("No schedule is left to be scored: see the lines above.")

    from humo.checkpoints import load  # after the cheap checks, for it takes seconds
    from humo.evaluation.probes.training import get_probes

    scores = score_rules(load(preset), get_probes(probes), challenge, rules, out / "scores")
    typer.echo("\n".join([ranking(scores), *faults]))


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        Exit code: 0, 1 if the disk fails, 2 for a wrong call, 130 if interrupted.
    """
    return run(app, arguments, "python -m notebooks.challenge")


if __name__ == "__main__":
    sys.exit(main())
