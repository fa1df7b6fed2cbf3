"""`python -m humo doctor`: a line for each thing looked at, and exit code 1 if something will not work. Ours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import typer

from humo.doctor.finding import Finding, Mark, looked_at, note

LOOKS = (
    ("Python", "versions:python"),
    ("packages", "versions:packages"),
    ("extras", "versions:extras"),
    ("torch runs", "computing:pytorch"),
    ("processor", "computing:processor"),
    ("GPU", "computing:graphics"),
    ("dtype", "computing:numbers"),
    ("compiler", "computing:compiling"),
    ("ffmpeg", "media:ffmpeg"),
    ("pictures", "media:pictures"),
    ("pauses", "media:pauses"),
    ("speech", "media:speech"),
    ("Chromium", "media:browser"),
    ("folders", "places:folders"),
    ("downloads", "places:downloads"),
    ("page", "places:variables"),
    ("gradio runs", "places:page"),
    ("port", "places:port"),
    ("mini", "models:bundled"),
    ("mini loads", "computing:model_runs"),
    ("published", "models:published"),
    ("HUMO_MODEL", "models:served"),
)
"""Name, and module:function of this room, each imported only when it is looked at."""
TORCH = "torch runs"
NEED_TORCH = ("processor", "GPU", "dtype", "mini", "mini loads", "published", "HUMO_MODEL")
"""Not looked at where PyTorch does not run."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Look at everything that the project needs here, and say what to do where something does not work."""
    found: list[Finding] = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            typer.echo(finding.line(WIDTH))
    works = all(finding.mark is not Mark.FAILS for finding in found)
    if as_json:
        typer.echo(json.dumps({"works": works, "findings": [asdict(each) for each in found]}, ensure_ascii=False))
    else:
        typer.echo(f"\n{_sum(found)}")
    if not works:
        raise typer.Exit(1)


WIDTH = 17
"""Of the names."""


def examine() -> Iterator[Finding]:
    """Look at everything, in the order of `LOOKS`."""
    has_torch = True
    for name, place in LOOKS:
        if name in NEED_TORCH and not has_torch:
            yield note(name, "is not looked at, for PyTorch does not run")
            continue
        for finding in looked_at(name, lambda place=place: _look(place)):  # type: ignore[misc]  # of a default
            has_torch = has_torch and not (name == TORCH and finding.mark is Mark.FAILS)
            yield finding


def _look(place: str) -> Iterator[Finding]:
    module, function = place.split(":")
    yield from getattr(import_module(f"{__package__}.{module}"), function)()


def _sum(found: list[Finding]) -> str:
    count = Counter(finding.mark for finding in found)
    if count[Mark.FAILS]:
        return f"{count[Mark.FAILS]} of {len(found)} FAIL: do what stands behind them."
    return f"Everything that is needed works ({count[Mark.OK]} ok, {count[Mark.NOTE]} notes)."
