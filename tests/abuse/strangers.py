"""Pictures that are refused: of kinds that are not read, and of more pixels than are allowed."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator

import numpy as np
from heif import heic
from imageio_ffmpeg import get_ffmpeg_exe
from patches import Shown, patchwork, saved
from rasters import bmp, png

ASKED = r"give a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture\."
UNKNOWN = rf"picture face\.bin has no picture inside that we know: {ASKED}"
FOREIGN = rf"picture face\.bin holds [\w -]+ data, not a picture that we read: {ASKED}"
DRAWING = rf"picture face\.bin is an SVG drawing, not pixels: {ASKED}"
HUGE = r"picture face\.bin has (\d+x\d+ = \d+ megapixels, at most 32 are allowed: shrink it|far too many pixels: .+)\."
DAMAGED = r"picture face\.bin is damaged and cannot be decoded: save it again as PNG\."
SMALL = r"picture face\.bin has \d+x\d+ pixels, at least 16 a side are needed: give a larger one\."
OF_PILLOW = "JPEG2000 ICO TGA PPM PCX SGI DDS ICNS QOI PDF EPS IM SPIDER"
OF_FFMPEG = {
    "exr": "EXR", "hdr": "HDR", "fits": "FITS", "dpx": "DPX", "sunrast": "Sun raster", "pam": "PAM", "pfm": "PFM",
    "xwd": "XWD", "jpegls": "JPEG-LS", "ljpeg": "lossless JPEG", "libjxl": "JPEG XL", "pgmyuv": "PGM of YUV",
    "xbm": "XBM", "wbmp": "WBMP", "jpeg2000": "JPEG 2000 stream", "phm": "PHM",
}  # fmt: skip
"""Encoders, and the names of what they write."""


def shown() -> Iterator[Shown]:
    """All of them."""
    yield from _other_kinds()
    yield from _too_large()
    yield from _too_small()


def _other_kinds() -> Iterator[Shown]:
    other = f"{UNKNOWN}|{FOREIGN}"
    for form in OF_PILLOW.split():
        yield Shown("other", f"{form} of Pillow", saved(patchwork(), form), None, says=other)
    for coder, name in OF_FFMPEG.items():
        says = DAMAGED if coder == "ljpeg" else other  # its first bytes are a JPEG's
        yield Shown("other", name, _of_ffmpeg(coder), None, says=says)
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'
    yield Shown("other", "SVG", svg, None, says=DRAWING)
    yield Shown("other", "PSD", b"8BPS\0\1" + bytes(60), None, says=FOREIGN)


def _of_ffmpeg(coder: str) -> bytes:
    size = patchwork().size
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:0", "-frames:v", "1"]
    command = [get_ffmpeg_exe(), "-v", "error", *given, "-strict", "-2", "-c:v", coder, "-f", "image2pipe", "pipe:1"]
    return subprocess.run(command, input=patchwork().tobytes(), capture_output=True, check=True).stdout


def _too_large() -> Iterator[Shown]:
    """Each kind with 33.6 megapixels; of most only the header says so, for it is all that may be looked at."""
    width, height = 6_000, 5_600
    yield Shown("PNG", "33.6 megapixels", png(np.zeros((height, width, 1), np.uint8), 0, 1), None, says=HUGE)
    content = bytearray(saved(patchwork(), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    yield Shown("JPEG", "33.6 megapixels", bytes(content), None, says=HUGE)
    content = bytearray(saved(patchwork(mode="P"), "GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    yield Shown("GIF", "33.6 megapixels", bytes(content), None, says=HUGE)
    content = bytearray(bmp(np.zeros((48, 96), int), 24))
    content[18:26] = struct.pack("<ii", width, height)
    yield Shown("BMP", "33.6 megapixels", bytes(content), None, says=HUGE)
    content = bytearray(saved(patchwork(), "WEBP", lossless=True))
    place = content.index(b"VP8L") + 9
    content[place : place + 4] = struct.pack("<I", width - 1 | height - 1 << 14)
    yield Shown("WebP", "33.6 megapixels", bytes(content), None, says=HUGE)
    content = bytearray(saved(patchwork(), "AVIF", speed=10, max_threads=1))
    yield Shown("AVIF", "33.6 megapixels", _with_extent(content, width, height), None, says=f"{HUGE}|{DAMAGED}")
    content = bytearray(heic(np.asarray(patchwork())))
    yield Shown("HEIC", "33.6 megapixels", _with_extent(content, width, height), None, says=f"{HUGE}|{DAMAGED}")


def _with_extent(content: bytearray, width: int, height: int) -> bytes:
    """HEIF that says of its picture what one likes."""
    place = content.index(b"ispe") + 8
    content[place : place + 8] = struct.pack(">II", width, height)
    return bytes(content)


def _too_small() -> Iterator[Shown]:
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF"):
        picture = patchwork().crop((0, 0, 96, 15))
        yield Shown({"WEBP": "WebP"}.get(form, form), "15 lines", saved(picture, form), None, says=SMALL)
