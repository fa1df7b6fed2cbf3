"""Writes PNG and BMP as Pillow does not: every colour type and depth, interlaced, run-lengths, bit fields."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pictures import chunk

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, rows apart and columns apart of the seven passes."""


def png(numbers: np.ndarray, colour: int, depth: int, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG.

    Args:
        numbers: what stands in it, whole numbers (h, w, channels).
        colour: type 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        depth: bits a number.
        interlaced: in seven passes.
        extra: chunks before the pixels.
    """
    height, width = numbers.shape[:2]
    passes = [numbers[row::down, column::right] for row, column, down, right in ADAM7] if interlaced else [numbers]
    data = b"".join(b"\0" + _packed(line, depth) for part in passes if part.size for line in part)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _packed(line: np.ndarray, depth: int) -> bytes:
    """Whole numbers as bits, to full bytes."""
    if depth == 16:
        return line.astype(">u2").tobytes()
    shifts = np.arange(depth - 1, -1, -1)
    return np.packbits((line.reshape(-1, 1) >> shifts & 1).astype(np.uint8)).tobytes()


def bmp(
    numbers: np.ndarray,
    depth: int,
    *,
    palette: np.ndarray | None = None,
    masks: tuple[int, ...] = (),
    run_lengths: bool = False,
    is_top_down: bool = False,
    header: int = 40,
) -> bytes:
    """A BMP.

    Args:
        numbers: of the palette or pixels as whole numbers, (h, w).
        depth: bits a pixel.
        palette: uint8 (n, 3), RGB.
        masks: bits of red, green, blue and alpha in a pixel; says so in the header.
        run_lengths: pack runs, at 4 or 8 bits.
        is_top_down: the first line first.
        header: its size in bytes; 12 is OS/2's.
    """
    height, width = numbers.shape
    lines = numbers if is_top_down else numbers[::-1]
    data = _runs(lines, depth) if run_lengths else b"".join(_padded(line, depth) for line in lines)
    kind = 0
    if run_lengths:
        kind = 1 if depth == 8 else 2
    if masks:
        kind = 6 if header == 40 and len(masks) == 4 else 3
    number_of_colours = 0 if palette is None else len(palette)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, -height if is_top_down else height, 1, depth, kind,
                           len(data), 2_835, 2_835, number_of_colours, 0)  # fmt: skip
        head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0")
    if palette is not None:
        head += b"".join(bytes(colour[::-1]) + bytes(header != 12) for colour in palette)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data


def _padded(line: np.ndarray, depth: int) -> bytes:
    if depth >= 16:
        packed = line.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : depth // 8].tobytes()
    else:
        packed = _packed(line, depth)
    return packed + bytes(-len(packed) % 4)


def _runs(lines: np.ndarray, depth: int) -> bytes:
    data = b""
    for line in lines:
        ends = [*(np.flatnonzero(np.diff(line)) + 1), len(line)]
        begin = 0
        for end in ends:
            number = int(line[begin])
            data += bytes((int(end) - begin, number if depth == 8 else number << 4 | number))
            begin = int(end)
        data += b"\0\0"
    return data + b"\0\1"
