"""Where libraries keep what they compute once, for a user who has no home or must not write it.

`docker run --user`, systemd's DynamicUser and read-only images make such users. numba then refuses to compile what
asks for a cache (the drawn world, and librosa's resampling), and matplotlib reads every font anew in each process. So
a cache that cannot be written goes into a folder of the user's own among the temporary files. It imports none of the
other modules; the package calls it before any library is imported. Ours.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path


def settle_caches() -> None:
    """Move, by variables of this process, the caches that cannot be written where they would be.

    What the Hugging Face Hub keeps in a home that can only be read is still found there. Without a place for temporary
    files nothing is moved.
    """
    cache = user_cache()
    usual = {"NUMBA_CACHE_DIR": cache / "numba", "MPLCONFIGDIR": _home("CONFIG") / "matplotlib"}
    chosen = {name: Path(os.path.abspath(given)) for name in usual if (given := os.environ.get(name))}
    places = {"XDG_CACHE_HOME": cache, **usual, **chosen}
    lacking = [variable for variable, folder in places.items() if not is_writable(folder)]
    try:
        own = _own_folder() if lacking else None
    except ValueError:
        return
    if "XDG_CACHE_HOME" in lacking and os.access(hub := cache / "huggingface", os.R_OK | os.X_OK):
        os.environ.setdefault("HF_HOME", str(hub))
    os.environ.update({variable: str(own / variable.lower()) for variable in lacking if own})


def user_cache() -> Path:
    """The user's folder for caches; it may be missing."""
    return _home("CACHE")


def is_writable(folder: Path) -> bool:
    """Whether files can be written in a folder, or it can be made; nothing is made here."""
    if folder.parts[:1] == ("~",):  # of a user whom the system does not know
        return False
    there = _existing(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which may be missing."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that is there."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))


def compiled_folder() -> Path:
    """Where compiled models are kept (`humo.loading.compiling`).

    Raises:
        ValueError: as `private_folder` does.
    """
    return private_folder(user_cache() / "humo-compact" / "compiled")


def private_folder(folder: Path) -> Path:
    """Make a folder that nobody else can write, for code that is run later.

    Args:
        folder: it and what is above it are made where they are missing.

    Raises:
        ValueError: if it cannot be made, or is somebody else's or open to others.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        is_ours = _is_ours(folder)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be made ({error.strerror}): name another place for caches in XDG_CACHE_HOME."
        ) from None
    if not is_ours:
        raise ValueError(f"{folder} is not yours alone, and what is kept there is run: remove it, or chmod 700 it.")
    return folder


def temporary_place() -> Path:
    """The system's folder for temporary files.

    Raises:
        ValueError: if none can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise ValueError(
            "No folder for temporary files can be written: name one in TMPDIR, or give the container one "
            "(docker run --tmpfs /tmp)."
        ) from None


def _home(kind: str) -> Path:
    """The user's folder for "CACHE" or "CONFIG", as the XDG specification has it."""
    given = os.environ.get(f"XDG_{kind}_HOME", "")
    return Path(given) if os.path.isabs(given) else Path(os.path.expanduser(f"~/.{kind.lower()}"))


def _own_folder() -> Path:
    """A folder that nobody else can write: what numba keeps is run."""
    folder = temporary_place() / f"humo-{_user()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return folder if _is_ours(folder) else Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    return folder


def _user() -> str:
    """What tells this user's folder from another's: the number that the system gives, on Windows the name."""
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _is_ours(folder: Path) -> bool:
    """Whether a folder is this user's, no link, and closed to all others.

    Windows has no owners and bits that could be asked here; its folders for caches and temporary files lie in the
    user's own, which others cannot enter.
    """
    found = folder.lstat()
    if not hasattr(os, "getuid"):
        return stat.S_ISDIR(found.st_mode)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
