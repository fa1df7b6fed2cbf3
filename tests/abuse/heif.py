"""Writes HEIC, the telephones' pictures, which pi-heif only reads: a picture of x265 in the boxes of HEIF."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

_FULL_RANGE = b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)
"""BT.709's primaries, sRGB's curve, BT.601's matrix, numbers from 0 to 255."""


def heic(pixels: np.ndarray, depth: int = 8, profile: bytes | None = None, turns: int = 0) -> bytes:
    """A HEIC.

    Args:
        pixels: uint8 RGB (h, w, 3).
        depth: 8 or 10 bits.
        profile: ICC.
        turns: quarters by which readers turn it, against the clock.
    """
    config, coded = _encoded(pixels, depth)
    height, width = pixels.shape[:2]
    properties = [config, _full(b"ispe", struct.pack(">II", width, height)), _box(b"colr", _FULL_RANGE)]
    if profile is not None:
        properties.append(_box(b"colr", b"prof" + profile))
    if turns:
        properties.append(_box(b"irot", bytes([turns])))
    numbers = bytes(number + 1 | 0x80 * (number == 0) for number in range(len(properties)))
    associations = _full(b"ipma", struct.pack(">IHB", 1, 1, len(numbers)) + numbers)
    head = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    meta = _meta(properties, associations, len(coded), 0)
    meta = _meta(properties, associations, len(coded), len(head) + len(meta) + 8)
    return head + meta + _box(b"mdat", coded)


def _meta(properties: list[bytes], associations: bytes, length: int, begin: int) -> bytes:
    entry = _box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0")
    return _full(
        b"meta",
        _full(b"hdlr", bytes(4) + b"pict" + bytes(13))
        + _full(b"pitm", struct.pack(">H", 1))
        + _full(b"iloc", struct.pack(">HHHHHII", 0x4400, 1, 1, 0, 1, begin, length))
        + _full(b"iinf", struct.pack(">H", 1) + entry)
        + _box(b"iprp", _box(b"ipco", b"".join(properties)) + associations),
    )


def _encoded(pixels: np.ndarray, depth: int) -> tuple[bytes, bytes]:
    """The decoder's settings, as a box, and the picture."""
    height, width = pixels.shape[:2]
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "pipe:0", "-frames:v", "1"]
    scaled = ["-vf", "scale=out_color_matrix=bt601:out_range=pc", "-pix_fmt", {8: "yuvj420p", 10: "yuv420p10le"}[depth]]
    coding = ["-c:v", "libx265", "-x265-params", "log-level=none:range=full:colormatrix=smpte170m", "-crf", "4"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.mp4"
        command = [get_ffmpeg_exe(), "-v", "error", *given, *scaled, *coding, "-tag:v", "hvc1", str(path)]
        subprocess.run(command, input=pixels.tobytes(), check=True)
        movie = path.read_bytes()
    config = _found(movie, b"hvcC")
    return config, _found(movie, b"mdat")[8:]


def _found(movie: bytes, name: bytes) -> bytes:
    """A box, wherever it is."""
    begin = movie.index(name) - 4
    return movie[begin : begin + struct.unpack_from(">I", movie, begin)[0]]


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full(name: bytes, content: bytes) -> bytes:
    return _box(name, bytes(4) + content)
