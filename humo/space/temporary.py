"""The folder of a running page, for uploads and results: one a process, and none stays behind.

It is emptied when the process ends. What a killed one left is swept by the next page that starts: a lock, which
the system lets go with the process, tells the dead from the living. Needs no gradio, which reads the folder's name when
it is imported. Ours.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "humo-page-"
_LOCK = ".lock"


def claim_folder(parent: str | Path | None = None) -> Path:
    """Make the folder of this process, and remove those of dead ones.

    Args:
        parent: where; made if it is missing. None or empty: the system's place for temporary files.

    Returns:
        A new folder, which is removed when the process ends.
    """
    parent = Path(parent or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    atexit.register(_remove, folder, lock)
    return folder


def sweep(parent: Path) -> None:
    """Remove the folders of processes that have ended; what belongs to other users stays."""
    for lock_file in parent.glob(f"{PREFIX}*/{_LOCK}"):
        folder, lock = lock_file.parent, FileLock(lock_file)
        if folder.is_symlink() or lock_file.is_symlink():
            continue
        try:
            lock.acquire(timeout=0)
        except (OSError, Timeout):  # another user's, or a living page's
            continue
        _remove(folder, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release(force=True)
