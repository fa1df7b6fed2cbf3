"""The folder of a running page, for uploads and results: one a process, and none stays behind.

It is emptied when the process ends. What a killed one left is swept by the next page that starts: a lock, which
the system lets go with the process, tells the dead from the living. Needs no gradio, which reads the folder's name when
it is imported. Ours.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

from filelock import FileLock, Timeout

from humo.system.caches import temporary_place

PREFIX = "humo-page-"
HOUR = 3600.0
OLDEST = 23 * HOUR
"""Seconds after which a visitor's file goes: it is looked at every hour, so that none stays for more than a day."""
_LOCK = ".lock"
_LAST = -200
"""When it goes: after the folder that `multiprocessing` may have made in it, which has -100."""


def claim_folder(parent: str | Path | None = None) -> Path:
    """Make the folder of this process, and remove those of dead ones.

    Args:
        parent: where; made if it is missing. None or empty: the system's place for temporary files.

    Returns:
        A new folder, which is removed when the process ends.

    Raises:
        ValueError: if it cannot be made there.
    """
    parent = Path(parent) if parent else temporary_place()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise ValueError(
            f"No temporary folder can be made in {parent} ({error.strerror}): name another place in GRADIO_TEMP_DIR."
        ) from None
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    Finalize(None, _remove, (folder, lock), exitpriority=_LAST)
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


def made_again(path: Path) -> Path:
    """A file's path, to write it now: its folder may have stayed empty for so long that a quota cleared it away."""
    path.parent.mkdir(exist_ok=True)
    return path


class DiskQuota:
    """Keeps a folder below a size, and no file in it for more than a day: the oldest make room for new ones."""

    def __init__(self, folder: Path, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """Set up; nothing is removed yet.

        Args:
            folder: of the files, in folders of their own; existing.
            most_bytes: that they may have together, without those of `keep`.
            clock: tells seconds, as the file system does.
        """
        self.folder = folder
        self._most, self._kept, self._lock, self._clock = most_bytes, set[Path](), threading.Lock(), clock
        self._ended = threading.Event()

    def keep(self) -> None:
        """Never remove what is there now."""
        self._kept = {path for path, _ in self._files()}

    def watch(self, every: float = HOUR) -> None:
        """Look at the files again and again, in a thread that ends with `close` or the process.

        Args:
            every: seconds between two looks.
        """

        def look() -> None:
            while True:
                with suppress(OSError):  # the next look may do it
                    self.make()
                if self._ended.wait(every):
                    return

        threading.Thread(target=look, name="disk", daemon=True).start()

    def close(self) -> None:
        """Let the thread of `watch` end after its present look."""
        self._ended.set()

    def make(self, wanted: int = 0) -> None:
        """Remove what is too old, and the oldest files until so many bytes more can come."""
        with self._lock:
            files = sorted(self._files(), key=lambda each: each[1].st_ctime)  # when it came here
            over, now = wanted - self._most + sum(status.st_size for _, status in files), self._clock()
            for path, status in files:
                is_old = now - status.st_ctime > OLDEST and stat.S_ISREG(status.st_mode)
                if over <= 0 and not is_old:
                    continue
                path.unlink(missing_ok=True)
                over -= status.st_size
                with suppress(OSError):  # it holds other files
                    if path.parent != self.folder:
                        path.parent.rmdir()

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for parent, folders, names in os.walk(self.folder):
            with suppress(OSError):  # gone meanwhile
                is_empty = not folders and not names and Path(parent) != self.folder
                if is_empty and self._clock() - os.stat(parent).st_mtime > HOUR:
                    os.rmdir(parent)  # its video is gone, or not finished: `made_again`
            for path in (Path(parent, name) for name in names):
                if path not in self._kept:
                    with suppress(FileNotFoundError):  # gone meanwhile
                        yield path, path.lstat()
