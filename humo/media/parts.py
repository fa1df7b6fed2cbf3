"""Files that were put one after the other: `cat a.webm b.webm`, or a recorder that was paused. Ours.

Streams such as MP3 and Ogg go on, and ffmpeg with them; of files with an index it hears the first alone.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARKS = {
    "WAV": (8, 24), "AIFF": (8, 20), "W64": (0, 16), "CAF": (0, 28), "MP4": (0, 20), "WEBM": (0, 32), "FLV": (0, 13),
    "WMA": (0, 16), "TTA": (0, 14), "VOC": (0, 20), "REALAUDIO": (0, 10), "AMR": (0, 6),
}  # fmt: skip
"""Bytes of a file's beginning by its kind, from and to, that the next one of the same program repeats."""
_MOST = 16
"""Parts; what follows belongs to the last."""
_BLOCK = 1 << 20


def begins_of_parts(path: Path, kind: str) -> list[int]:
    """Where the files begin of which one is made.

    Args:
        path: of the file.
        kind: what it is (`humo.media.kinds`).

    Returns:
        Bytes, at first 0; only this where there is one.
    """
    begins = [0]
    if kind not in _MARKS:
        return begins
    first, last = _MARKS[kind]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        mark = content[first:last]
        place = content.find(mark, last) if len(mark) == last - first else -1
        while place >= 0 and len(begins) < _MOST:
            begins.append(place - first)
            place = content.find(mark, place + last)
    return begins


@contextmanager
def cut_out(path: Path, begin: int, end: int) -> Iterator[Path]:
    """A file of the bytes from `begin` to `end` of another, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        with path.open("rb") as source, part.open("wb") as target:
            source.seek(begin)
            left = end - begin
            while left > 0 and (block := source.read(min(left, _BLOCK))):
                target.write(block)
                left -= len(block)
        yield part
