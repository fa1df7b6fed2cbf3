"""`python -m humo convert`: published weights, or a file of one's own, become a folder that `humo.load` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from humo.loading.published.presets import get_preset
from humo.system.command_line import check_folder, check_given


def convert_command(
    preset: Annotated[str | None, typer.Option(help="1.7B or 17B; with --transformer the file tells it.")] = None,
    source: Annotated[Path | None, typer.Option(help="The published weights/ folder; default: the Hub.")] = None,
    transformer: Annotated[
        Path | None,
        typer.Option(
            help="A file of a HuMo transformer (GGUF, float8, 16 or 32 bits) to take in place of the published one; "
            "what is quantised stays so."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: where humo.load finds it.")] = None,
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"] | None,
        typer.Option(
            help="In which the transformer is to be loaded; it is stored in it, or as published where that is no "
            "wider. Default: bfloat16, or without --out what humo.load takes on this computer."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print plain data for programs.")] = False,
) -> None:
    """Convert the published weights, or a file of one's own, into a folder for humo.load and `generate --preset`."""
    if preset is not None:
        get_preset(preset)
    elif transformer is None:
        raise ValueError("Nothing is said to be converted: give --preset 1.7B, --preset 17B or --transformer FILE.")
    if transformer is not None and out is None:
        raise ValueError("--transformer makes a folder of your own: say where with --out FOLDER.")
    check_given(transformer, "file")
    if out is not None:
        check_folder(out)
    import torch  # after the cheap checks, for it takes seconds

    from humo.loading.published.conversion import convert_file, convert_preset
    from humo.system.dtypes import dtype_name

    loaded, given = getattr(torch, dtype) if dtype else None, None
    if transformer is not None and out is not None:
        folder = convert_file(transformer, preset, source, out, loaded or torch.bfloat16)
    else:
        folder, given = convert_preset(str(preset), source, out, loaded)
    name = preset if out is None else str(out)
    if as_json:
        told = {"folder": str(folder), "load": name, "dtype": None if given is None else dtype_name(given)}
        typer.echo(json.dumps(told))
        return
    typer.echo(f"{folder} is whole: humo.load({name!r}{'' if given is None else f', dtype={given}'})")
