"""What was read lately, while its file stays the same: a page reads a sound to check, show, count and make. Ours."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
FileStamp = tuple[str, int, int, int, int, int]
"""What changes with a file: path, device, inode, bytes, and when it was written and touched, ns."""


class FileCache(Generic[T]):
    """The newest things, by the marks of their files; safe in threads.

    Args:
        most: how many are kept.
        most_bytes: how much they may take together; what is larger alone is not kept.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[FileStamp, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Of all that is kept."""
        return sum(size for _, size in self._kept.values())

    def find(self, mark: FileStamp) -> T | None:
        """What was read of a file that has not changed; None if it is not kept."""
        with self._lock:
            if mark not in self._kept:
                return None
            self._kept.move_to_end(mark)
            return self._kept[mark][0]

    def keep(self, mark: FileStamp, thing: T, num_bytes: int) -> bool:
        """Keep what was read; the oldest make room, and so does what was read of files that are gone.

        Args:
            mark: of the file, from before it was read: one that changes meanwhile is read again.
            thing: what was read; nobody changes it.
            num_bytes: of it.

        Returns:
            Whether it is kept.
        """
        with self._lock:
            for gone in [other for other in self._kept if not Path(other[0]).exists()]:
                del self._kept[gone]
            if num_bytes <= self._most_bytes:
                self._kept[mark] = thing, num_bytes
            while len(self._kept) > self._most or self.num_bytes > self._most_bytes:
                self._kept.popitem(last=False)
            return mark in self._kept


def file_stamp(path: Path) -> FileStamp:
    """The mark of an existing file."""
    stat = path.stat()
    written = stat.st_mtime_ns, stat.st_ctime_ns
    return str(path.absolute()), stat.st_dev, stat.st_ino, stat.st_size, *written
