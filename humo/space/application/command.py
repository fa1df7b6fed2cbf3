"""`python -m humo page`, and `python app.py` in a checkout and on a Space: the page, open in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from humo.space.environment import prepare
from humo.system.imports import quick_imports, require


def page(
    port: Annotated[int | None, typer.Option(help="Where the page is served; default: 7860 or the next.")] = None,
    host: Annotated[str | None, typer.Option(help="0.0.0.0 lets other computers in.")] = None,
    model: Annotated[str, typer.Option(envvar="HUMO_MODEL", help="mini, 1.7B, 17B or a saved pipeline.")] = "mini",
    records: Annotated[Path | None, typer.Option(envvar="HUMO_RECORDS", help="Folder of the shared links.")] = None,
    ray: Annotated[
        bool, typer.Option("--ray", envvar="HUMO_RAY", help="Work is done by `humo.space.jobs.ray_serve`.")
    ] = False,
) -> None:
    """Open the page."""
    require("the page", "gradio")
    if ray:
        require("--ray", "ray")
    temporary = prepare()  # before gradio is imported, which reads variables then and hands out no file from elsewhere
    with quick_imports():
        from humo.space.application.serving import serve
    serve(temporary, host, port, model, records, ray)
