"""Folders that are written, the port of the page, and the variables that it reads. Ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from humo.doctor.finding import Finding, fails, note, ok
from humo.system.caches import free_bytes, is_writable, temporary_place, user_cache

GB = 10**9
LITTLE = 2 * GB
"""Bytes below which a disk is nearly full: mini's videos take far less, compiling takes some 100 MB."""


def folders() -> Iterator[Finding]:
    """The folders that the project writes, and the room on their disks."""
    from humo.space.links.location import find_record_folder

    yield _folder("temporary files", temporary_place(), "name another in TMPDIR", is_needed=True)
    yield _folder("this folder", Path.cwd(), "give --out in another folder")
    yield _folder("caches", user_cache(), "name another in XDG_CACHE_HOME")
    for variable in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        if variable in os.environ:
            yield _folder(variable, Path(os.environ[variable]), f"name another in {variable}")
    records = find_record_folder()
    finding = _folder("shared links", records.folder, "name another in HUMO_RECORDS")
    yield finding if records.is_lasting else note(finding.name, f"{finding.told}, which may not last", finding.remedy)


def downloads() -> Iterator[Finding]:
    """Where published models go."""
    from huggingface_hub import constants

    hub = Path(constants.HF_HUB_CACHE)
    finding = _folder("downloads", hub, "name another in HF_HOME")
    yield ok(finding.name, f"{finding.told}, offline") if constants.HF_HUB_OFFLINE else finding


def page() -> Iterator[Finding]:
    """Whether what the page is made with can be imported."""
    from humo.space.stubs import write_no_stubs

    write_no_stubs()
    import gradio

    yield ok("gradio runs", f"{gradio.__version__}, for the page")


def port() -> Iterator[Finding]:
    """Where the page would be served."""
    from humo.space.environment import FIRST_PORT, find_place

    host, number = find_place(None, None)
    others = f" ({FIRST_PORT} is taken)" if number > FIRST_PORT and "GRADIO_SERVER_PORT" not in os.environ else ""
    yield ok("port", f"the page would be at http://{host}:{number}{others}")


def variables() -> Iterator[Finding]:
    """What the page reads of its environment."""
    from humo.space.environment import read_root
    from humo.space.jobs.limits import Limits
    from humo.space.jobs.model_choice import wanted_model

    Limits.from_environment()
    read_root(os.environ)
    told = sorted(name for name in os.environ if name.startswith(("HUMO_", "GRADIO_")))
    wanted = wanted_model()
    yield ok("page", f"serves {wanted}; set: {', '.join(told) or 'nothing'}")


def _folder(name: str, folder: Path, remedy: str, is_needed: bool = False) -> Finding:
    free = free_bytes(folder)
    told = f"{folder}, {free / GB:.1f} GB free"
    if not is_writable(folder) or not _takes_a_file(folder):
        return (fails if is_needed else note)(name, f"{folder} cannot be written", remedy)
    if free < LITTLE:
        return note(name, told, "make room")
    return ok(name, told)


def _takes_a_file(folder: Path) -> bool:
    """Whether a file can be written now; a folder that is not there is not made for that."""
    if not folder.is_dir():
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
    except OSError:
        return False
    return True
