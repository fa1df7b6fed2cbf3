"""How a command line begins and ends: what is lacking is told before the work, a mistake in a sentence. Ours.

Exit codes: 0 all is done, 1 something failed, 2 a wrong call or input, 130 somebody interrupted it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from humo.system.caches import free_bytes, is_writable, temporary_place

FAILED, WRONG, INTERRUPTED = 1, 2, 130
"""Exit codes."""
LEAST_ROOM = 64 << 20
"""Bytes that a disk must have free for results of any kind."""
_QUIET = Annotated[bool, typer.Option("--quiet", help="Only results and errors: no progress, no notes.")]


def as_app(command: Callable[..., Any]) -> typer.Typer:
    """A command line of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def with_quiet(app: typer.Typer) -> typer.Typer:
    """Give every command of a command line the option --quiet, under which its error stream stays empty."""
    for each in app.registered_commands:
        if each.callback is not None and "quiet" not in inspect.signature(each.callback).parameters:
            each.callback = _with_quiet(each.callback)
    return app


def _with_quiet(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def run(*args: Any, quiet: bool = False, **options: Any) -> Any:
        with redirect_stderr(StringIO()) if quiet else nullcontext():
            return command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_QUIET)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]  # a function may have one
    run.__annotations__ = {**inspect.get_annotations(command, eval_str=True), "quiet": _QUIET}
    return run


def run(app: typer.Typer, arguments: list[str] | None, name: str, who: str = "") -> int:
    """Run a command line.

    Args:
        app: of its commands.
        arguments: without the program's name; None for those of the process.
        name: of the program, for its help.
        who: stands before an error.

    Returns:
        Exit code: 0 all is done, 1 something failed, 2 a wrong call or input, 130 interrupted.
    """
    try:
        temporary_place()  # sounds are decoded through it
        return app(arguments, prog_name=name) or 0
    except ValueError as error:
        typer.echo(f"{who}Error: {error}", err=True)
        return WRONG
    except OSError as error:  # a disk that is full, an encoder that fails
        typer.echo(f"{who}Error: {error}", err=True)
        return FAILED
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        typer.echo(
            f"{who}Error: the GPU's memory is too small for this: give its size as --memory where the command has that "
            "option, or ask for fewer frames or smaller pictures.",
            err=True,
        )
        return FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


def _is_out_of_memory(error: RuntimeError) -> bool:
    torch = sys.modules.get("torch")  # whoever has not imported it has not filled a GPU's memory by it
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def check_folder(folder: Path, least: int = LEAST_ROOM) -> Path:
    """Check a folder for results before minutes are spent on them; it is not made yet.

    Args:
        folder: may be missing.
        least: bytes that must be free on its disk.

    Returns:
        The folder.

    Raises:
        ValueError: if it is a file, cannot be made or written, or its disk is full.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file: give a folder.")
    if not is_writable(folder):
        raise ValueError(f"{folder} cannot be written: give a folder that can.")
    check_room(folder, least)
    return folder


def check_file(path: Path, least: int = LEAST_ROOM) -> Path:
    """Check where a file of results shall go, as `check_folder` does; its folder must exist.

    Raises:
        ValueError: if it cannot be written there.
    """
    if path.is_dir() or not path.parent.is_dir() or not is_writable(path.parent):
        raise ValueError(f"{path} cannot be written: give a file name in a folder that exists and can be written.")
    check_room(path.parent, least)
    return path


def check_room(folder: Path, least: int = LEAST_ROOM) -> None:
    """Refuse a disk on which results have no room.

    Raises:
        ValueError: if fewer bytes are free.
    """
    if (free := free_bytes(folder)) < least:
        raise ValueError(
            f"The disk of {folder} has {free / 1e6:.0f} MB free and {least / 1e6:.0f} are needed: make room, or name "
            "another folder."
        )


def check_given(path: Path | None, what: str) -> None:
    """Refuse a file that is asked for and not there.

    Args:
        path: of the file; None for none.
        what: it is, such as "clip".

    Raises:
        ValueError: if there is no such file.
    """
    if path is not None and not path.is_file():
        raise ValueError(f"The {what} {path} does not exist: check the path.")


def is_given(context: typer.Context, name: str) -> bool:
    """Whether whoever called a command gave an option, rather than leave it at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def silence_libraries() -> None:
    """No progress bars of the libraries between ours."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
