"""Files that are whole or not there, and folders in which one process works at a time. All of it is ours.

It imports none of the other modules, so that all of them can use it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)
_POLL = 0.2
"""Seconds between two looks at a lock that another process holds."""


@contextmanager
def atomic_write(file: Path, by_several: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `file`; what is there in the end takes the final name, unless an error came.

    It is brought to the disk before, so that not even a power cut leaves half a file under the final name. What a
    killed process leaves under the temporary name is overwritten by the next.

    Args:
        file: the final name.
        by_several: processes that hold no lock may write the file at once: each gets a temporary name of its own.

    Yields:
        The temporary name, "NAME.part".
    """
    process = f".{os.getpid()}" if by_several else ""
    temporary = file.with_name(f"{file.name}{process}.part")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(lock: Path, message: str) -> Iterator[None]:
    """Let in one process at a time; the others wait, as long as it takes. A process that dies lets the next one in.

    Args:
        lock: the lock's file; it and its folder are made, and stay.
        message: a sentence for the log of who has to wait.

    Raises:
        ValueError: if the lock's file cannot be written.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            logger.warning(message)
            held.acquire(poll_interval=_POLL)
    except OSError as error:
        raise ValueError(f"{lock.parent} cannot be written ({error.strerror}): give another folder.") from None
    try:
        yield
    finally:
        held.release()
