"""Files that are whole or not there, and folders in which one process works at a time. All of it is ours.

It imports none of the other modules, so that all of them can use it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)
_POLL = 0.2
"""Seconds between two looks at a lock that another process holds."""


@contextmanager
def atomic_write(file: Path, writer: str = "") -> Iterator[Path]:
    """Give a temporary name beside `file`; what is there in the end takes the final name, unless an error came.

    It is brought to the disk before, so that not even a power cut leaves half a file under the final name. What a
    killed process leaves under the temporary name is overwritten by the next.

    Args:
        file: the final name.
        writer: tells apart processes that hold no lock and may write the file at once.

    Yields:
        The temporary name, "NAMEWRITER.part".
    """
    temporary = file.with_name(f"{file.name}{writer}.part")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str, writer: str = "") -> None:
    """Write a text as `atomic_write` does, in UTF-8."""
    with atomic_write(file, writer) as part:
        part.write_text(text, encoding="utf-8")


def write_json(file: Path, value: Any, writer: str = "", indent: int = 2, sort_keys: bool = False) -> None:
    """Write plain data as `atomic_write` does."""
    write_text(file, json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False) + "\n", writer)


def read_object(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none, or no whole one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


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
