"""How a command line ends: a mistake of the caller's is a sentence, not a traceback. Ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from humo.system.caches import temporary_place


def as_app(command: Callable[..., Any]) -> typer.Typer:
    """A command line of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run(app: typer.Typer, arguments: list[str] | None, name: str, who: str = "") -> int:
    """Run a command line.

    Args:
        app: of its commands.
        arguments: without the program's name; None for those of the process.
        name: of the program, for its help.
        who: stands before an error.

    Returns:
        Exit code: 0, 2 for a wrong call or input.
    """
    try:
        temporary_place()  # sounds are decoded through it
        return app(arguments, prog_name=name) or 0
    except ValueError as error:
        typer.echo(f"{who}Error: {error}", err=True)
        return 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def silence_libraries() -> None:
    """No progress bars of the libraries between ours."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
