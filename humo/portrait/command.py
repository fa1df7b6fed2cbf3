"""`python -m humo portrait`: what is read of a photograph, in words and as the drawing that mini will see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from humo.portrait.caption import TITLES, write_caption
from humo.portrait.portrait import ATTRIBUTES, GUESSES, Portrait
from humo.system.caches import is_writable

_SIDE = 512
"""Of the drawing, pixels."""


def portrait(
    photograph: Annotated[Path, typer.Argument(help="A picture of a person.")],
    out: Annotated[Path | None, typer.Option(help="Where the drawing goes, a PNG; nowhere if not given.")] = None,
    size: Annotated[int, typer.Option(help="Side of the drawing in pixels.", min=16, max=4096)] = _SIDE,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Read a photograph in the words of the drawn world, and draw the person as mini will see them."""
    from humo.portrait.drawing import draw_portrait
    from humo.portrait.reading import read_portrait

    if out is not None and (out.suffix.lower() != ".png" or not out.parent.is_dir() or not is_writable(out.parent)):
        raise ValueError(
            f"{out.name} cannot be written: give a name that ends in .png, in a folder that exists and can be written."
        )
    seen = read_portrait(photograph)
    if out is not None:
        draw_portrait(seen, size).save(out)
    if as_json:
        file = None if out is None else str(out)
        read = {**seen.to_plain(), "faces": seen.others + 1, "caption": write_caption(seen), "file": file}
        typer.echo(json.dumps(read, ensure_ascii=False))
        return
    typer.echo(tell(seen))
    if out is not None:
        typer.echo(f"{out}: drawn, {size}x{size} pixels")


def tell(seen: Portrait) -> str:
    """A line for each attribute, then the caption."""
    width = max(map(len, TITLES.values()))
    lines = [f"{TITLES[name]:<{width}}  {_value(seen, name)}" for name in ATTRIBUTES]
    if seen.others:
        lines.append(f"The picture shows {seen.others + 1} faces: the largest was read.")
    return "\n".join([*lines, f"{'caption':<{width}}  {write_caption(seen)}"])


def _value(seen: Portrait, name: str) -> str:
    value = getattr(seen, name)
    if value is None:
        return "not seen"
    return f"{value} (a guess)" if name in GUESSES else value
