"""The texts that an mp4 carries about itself, read without decoding anything.

Only sizes, names and the wanted texts are read, in the nesting that ffmpeg writes: moov, udta, meta, ilst, item, data.
Every number of the file is checked against what is around it, so a crafted file ends in a sentence.

Source: ISO/IEC 14496-12 (boxes) and Apple's QuickTime metadata list (`ilst`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from humo.media import kind_of

MAX_BOXES = 10_000
"""Boxes looked at in one file; ours have about fifty."""
MAX_VALUE = 1 << 17
"""Bytes of one text."""
_NAMES = {b"desc": "description", b"\xa9cmt": "comment"}
_UTF8 = 1
"""Type of a text's data."""


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    """First byte of its content."""
    end: int
    """Byte after its content."""


class _Damaged(Exception):
    """The sizes do not fit into each other."""


class _Reader:
    """Walks through boxes, as many as `MAX_BOXES` of them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.left = MAX_BOXES

    def bytes_at(self, start: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        self.file.seek(start)
        found = self.file.read(length)
        if len(found) != length:
            raise _Damaged
        return found

    def boxes(self, start: int, end: int) -> Iterator[_Box]:
        """The boxes side by side between two bytes of the file."""
        while end - start >= 8:
            self.left -= 1
            if self.left < 0:
                raise _Damaged
            head = self.bytes_at(start, 8)
            size, content = int.from_bytes(head[:4]), start + 8
            if size == 1:
                size, content = int.from_bytes(self.bytes_at(start + 8, 8)), start + 16
            elif size == 0:
                size = end - start
            if size < content - start or start + size > end:
                raise _Damaged
            yield _Box(head[4:], content, start + size)
            start += size

    def first(self, kind: bytes, start: int, end: int) -> _Box:
        """The first box of a kind; an empty one if there is none."""
        found = (box for box in self.boxes(start, end) if box.kind == kind)
        return next(found, _Box(kind, end, end))


def read_texts(path: Path) -> dict[str, str]:
    """Read an mp4's "comment" and "description".

    Args:
        path: an existing file.

    Returns:
        Those that it has.

    Raises:
        ValueError: in one sentence, if the file is no mp4 by its content, or is damaged or cut off.
    """
    if kind_of(path) != "MP4":
        raise ValueError(f"video {path.name} is no mp4 by its content: give the file as it was downloaded here.")
    try:
        with open(path, "rb") as file:
            return _texts(_Reader(file), path.stat().st_size)
    except _Damaged:
        raise ValueError(f"video {path.name} is damaged or cut off: give the file as it was downloaded here.") from None


def _texts(reader: _Reader, size: int) -> dict[str, str]:
    box = reader.first(b"moov", 0, size)
    for kind, skipped in ((b"udta", 0), (b"meta", 0), (b"ilst", 4)):  # a meta begins with four bytes of version
        box = reader.first(kind, min(box.start + skipped, box.end), box.end)
    texts = {}
    for item in reader.boxes(box.start, box.end):
        if item.kind in _NAMES and (text := _text(reader, item)) is not None:
            texts[_NAMES[item.kind]] = text
    return texts


def _text(reader: _Reader, item: _Box) -> str | None:
    data = reader.first(b"data", item.start, item.end)
    length = data.end - data.start - 8  # after type and language
    if not 0 <= length <= MAX_VALUE or int.from_bytes(reader.bytes_at(data.start, 4)) != _UTF8:
        return None
    try:
        return reader.bytes_at(data.start + 8, length).decode("utf-8")
    except UnicodeDecodeError:
        raise _Damaged from None
