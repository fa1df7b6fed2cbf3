"""Processes of another user, who may read everything and write nothing: as containers and services have them."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from humo.space.deploy.spacefile import ROOT

UID = 54_321
"""A user whom the system does not know, as after `docker run --user 54321`."""
_READ_ALL = 1 << 2
"""CAP_DAC_READ_SEARCH, which lets a user read what other users keep closed, as the folders of root."""


def as_stranger(*command: str) -> list[str]:
    """A command line that runs another one as somebody else.

    Only root can become somebody else. Who is not root stays who they are, and so does root where the files of this
    project lie closed to others and cannot be opened to one: then without any right to write what is closed.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        return list(command)
    other = [setpriv, f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    if _capabilities() & _READ_ALL:
        kept = "=-all,+dac_read_search"
        return [*other, f"--inh-caps{kept}", f"--ambient-caps{kept}", *command]
    needed = (Path(sys.executable).resolve(), Path(sysconfig.get_path("purelib")), ROOT)
    if all(parent.stat().st_mode & 0o001 for place in needed for parent in place.parents):
        return [*other, *command]
    return [setpriv, "--inh-caps=-all", "--bounding-set=-all", *command]


def is_other() -> bool:
    """Whether `as_stranger` makes another user."""
    return f"--reuid={UID}" in as_stranger()


def home_of_stranger(place: Path) -> dict[str, str]:
    """Make what a stranger has: a folder for temporary files, and a home that cannot be written.

    Args:
        place: an empty folder that other users may enter.

    Returns:
        Variables for their processes. TMPDIR and HOME are in `place`.
    """
    own, home = place / "tmp", place / "home"
    own.mkdir(mode=0o700)
    home.mkdir(mode=0o500)
    if is_other():
        os.chown(own, UID, UID)
    return {"TMPDIR": str(own), "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def without_own(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables without those that name the user and their folders."""
    theirs = ("GRADIO_", "XDG_", "HF_HOME", "NUMBA_", "MPLCONFIGDIR", "USER", "LOGNAME", "HUMO_")
    return {name: value for name, value in environment.items() if not name.startswith(theirs)}


def _capabilities() -> int:
    """Those that this process could give to another."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapBnd:")[2].split()[0], 16)
