"""`python -m humo wording`: what the small model reads of a text. Ours."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from humo.wording.rewording import tell
from humo.wording.understanding import understand


def wording(
    prompt: Annotated[
        str, typer.Argument(help="Any text, in English, German, French, Spanish, Chinese, Hindi, Arabic.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Tell what the small model reads of a text, what it draws otherwise and what it cannot draw."""
    if not prompt.strip():
        raise ValueError("The text is empty: describe in a few words who and what is to be seen.")
    understood = understand(prompt)
    notes = [note for note in tell(understood) if not note.startswith("The model reads")]
    if as_json:
        read = {"reads": understood.prompt, "attributes": dict(understood.attributes), "notes": notes}
        typer.echo(json.dumps(read, ensure_ascii=False))
        return
    width = max([len("reads"), *map(len, understood.attributes)])
    typer.echo(f"{'reads':<{width}}  {understood.prompt}")
    for name, value in understood.attributes.items():
        typer.echo(f"{name:<{width}}  {value}")
    for note in notes:
        typer.echo(note)
