"""Sounds whose header could not be finished, since they were written into a pipe: the sizes that it leaves out. Ours.

ffmpeg itself copes with WAV, FLAC, AU and CAF of that sort, and gives up at AIFF and W64.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from humo.media.kinds import begin_of

_HEAD = 4096
"""Bytes within which the samples begin."""
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_UNKNOWN = (0, 2**32 - 1, 2**31 - 1, -1, 2**63 - 1)
"""What stands for a size that nobody knew."""


@contextmanager
def repair_header(path: Path, kind: str) -> Iterator[Path]:
    """The file, or a copy of it with the sizes that its header leaves out, for as long as it is needed.

    Args:
        path: of the file.
        kind: what it is (`humo.media.kinds`).
    """
    changes = _missing_sizes(path) if kind in ("AIFF", "W64") else {}
    if not changes:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "sound"
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            for place, size in changes.items():
                file.seek(place)
                file.write(size)
        yield copy


def _missing_sizes(path: Path) -> dict[int, bytes]:
    """What has to be written where."""
    begin, length = begin_of(path), path.stat().st_size
    with path.open("rb") as file:
        file.seek(begin)
        head = file.read(_HEAD)
    rest = length - begin
    if head[:4] == b"riff":
        place, form, counted, first = head.find(_W64_DATA), "<q", 0, 16
    else:
        place, form, counted, first = head.find(b"SSND"), ">I", 8, 4
    if place < 0 or place + 24 > len(head) or struct.unpack_from(form, head, place + first)[0] not in _UNKNOWN:
        return {}
    sizes = {first: rest - counted, place + first: rest - place - counted}
    return {begin + where: struct.pack(form, size) for where, size in sizes.items()}
