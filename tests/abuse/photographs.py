"""Pictures of known colours as telephones, cameras and the Web have them: JPEG, WebP, AVIF and HEIC."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from heif import heic
from imageio_ffmpeg import get_ffmpeg_exe
from images import ON_WHITE, SHARES
from patches import COLOURS, Shown, grey, patchwork, saved, spread
from PIL import Image, ImageChops
from profiles import P3, SPACES, grey_profile, grey_values

LOSSY = 6.0
"""By how much numbers differ after a coding at its best quality."""


def shown() -> Iterator[Shown]:
    """All of them."""
    yield from _jpeg()
    yield from _webp()
    yield from _avif()
    yield from _heic()


def turned(orientation: int, colours: np.ndarray = COLOURS) -> np.ndarray:
    """The patches as they have to be stored to be upright by EXIF's orientation, 1 to 8."""
    stored = colours.swapaxes(0, 1) if orientation > 4 else colours
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}[
        orientation
    ]
    return stored[::rows, ::columns]


def _orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def _jpeg() -> Iterator[Shown]:
    best = {"quality": 98, "subsampling": 0}
    for name, options in (
        ("4:4:4", {}),
        ("4:2:2", {"subsampling": 1}),
        ("4:2:0", {"subsampling": 2}),
        ("progressive", {"progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("restart markers", {"restart_marker_blocks": 2}),
        ("a comment", {"comment": b"a face"}),
        ("a small table", {"optimize": True}),
    ):
        yield Shown("JPEG", name, saved(patchwork(), "JPEG", **{**best, **options}), COLOURS, LOSSY)
    yield Shown("JPEG", "grey", saved(patchwork(mode="L"), "JPEG", **best), grey(), LOSSY)
    inks = 255 - COLOURS
    black = Image.merge("CMYK", [*patchwork(inks).split(), Image.new("L", patchwork().size, 51)])
    darker = np.rint(COLOURS * 0.8)
    for progressive in (False, True):
        how = ", progressive" * progressive
        options = {**best, "progressive": progressive}
        yield Shown("JPEG", f"CMYK{how}", saved(black, "JPEG", **options), darker, LOSSY)
        yield Shown("JPEG", f"YCCK{how}", _ycck(black, options), darker, LOSSY)
    for number in range(1, 9):
        stored = patchwork(turned(number))
        content = saved(stored, "JPEG", exif=_orientation(number), **best)
        yield Shown("JPEG", f"orientation {number}", content, COLOURS, LOSSY)
    for space in SPACES:
        numbers = np.rint(space.values(COLOURS)).astype(np.uint8)
        content = saved(patchwork(numbers), "JPEG", icc_profile=space.profile(), **best)
        yield Shown("JPEG", space.name, content, COLOURS, LOSSY)
    numbers = np.rint(grey_values(grey(), 1.8)).astype(np.uint8)
    content = saved(patchwork(numbers, "L"), "JPEG", icc_profile=grey_profile(1.8), **best)
    yield Shown("JPEG", "grey with a profile", content, grey(), LOSSY)
    several = saved(patchwork(), "MPO", save_all=True, append_images=[patchwork(inks)], **best)
    yield Shown("JPEG", "of several pictures (MPO)", several, COLOURS, LOSSY)


def _ycck(picture: Image.Image, options: dict) -> bytes:
    """CMYK whose first three stand as brightness and two colours, which Pillow only reads."""
    inks = Image.merge("RGB", picture.split()[:3])
    parts = [ImageChops.invert(channel) for channel in inks.convert("YCbCr").split()]
    content = saved(Image.merge("CMYK", [*parts, picture.getchannel("K")]), "JPEG", **options)
    begin = content.index(b"\xff\xee\x00\x0eAdobe")
    return content[: begin + 15] + b"\2" + content[begin + 16 :]


def _webp() -> Iterator[Shown]:
    with_alpha = Image.fromarray(spread(np.dstack((COLOURS, SHARES))))
    wide = patchwork(np.rint(P3.values(COLOURS)).astype(np.uint8))
    best, exact = {"quality": 100}, {"lossless": True}
    for name, picture, options, expected, tolerance in (
        ("lossy", patchwork(), best, COLOURS, 8.0),
        ("lossless", patchwork(), exact, COLOURS, 1.0),
        ("lossy with alpha", with_alpha, best, ON_WHITE, 8.0),
        ("lossless with alpha", with_alpha, exact, ON_WHITE, 1.0),
        ("animated", patchwork(), {**exact, "save_all": True, "append_images": [patchwork(255 - COLOURS)]}, COLOURS, 1),
        ("Display P3", wide, {**exact, "icc_profile": P3.profile()}, COLOURS, 3.0),
        ("on its side", patchwork(turned(6)), {**exact, "exif": _orientation(6)}, COLOURS, 1.0),
    ):
        yield Shown("WebP", name, saved(picture, "WEBP", **options), expected, tolerance)


def _avif() -> Iterator[Shown]:
    with_alpha = Image.fromarray(spread(np.dstack((COLOURS, SHARES))))
    wide = patchwork(np.rint(P3.values(COLOURS)).astype(np.uint8))
    best = {"quality": 100, "subsampling": "4:4:4", "speed": 10, "max_threads": 1}
    for name, picture, options, expected in (
        ("4:4:4", patchwork(), {}, COLOURS),
        ("4:2:0", patchwork(), {"subsampling": "4:2:0"}, COLOURS),
        ("numbers from 16 to 235", patchwork(), {"range": "limited"}, COLOURS),
        ("alpha", with_alpha, {}, ON_WHITE),
        ("grey", patchwork(mode="L"), {"subsampling": "4:0:0"}, grey()),
        ("animated", patchwork(), {"save_all": True, "append_images": [patchwork(255 - COLOURS)]}, COLOURS),
        ("Display P3", wide, {"icc_profile": P3.profile()}, COLOURS),
        ("on its side", patchwork(turned(8)), {"exif": _orientation(8)}, COLOURS),
    ):
        yield Shown("AVIF", name, saved(picture, "AVIF", **{**best, **options}), expected, LOSSY)
    for depth in (8, 10):
        yield Shown("AVIF", f"{depth} bits of ffmpeg", _avif_of_ffmpeg(depth), COLOURS, 9.0)


def _avif_of_ffmpeg(depth: int) -> bytes:
    size = patchwork().size
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:0", "-frames:v", "1"]
    form = {8: "yuv420p", 10: "yuv420p10le"}[depth]
    scaled = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,setparams=colorspace=bt709", "-pix_fmt", form]
    coding = ["-c:v", "libaom-av1", "-still-picture", "1", "-crf", "4", "-cpu-used", "8"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.avif"
        command = [get_ffmpeg_exe(), "-v", "error", *given, *scaled, *coding, str(path)]
        subprocess.run(command, input=patchwork().tobytes(), check=True)
        return path.read_bytes()


def _heic() -> Iterator[Shown]:
    pixels = spread(COLOURS)
    for depth in (8, 10):
        yield Shown("HEIC", f"{depth} bits", heic(pixels, depth), COLOURS, LOSSY)
    yield Shown("HEIC", "on its side", heic(spread(np.rot90(COLOURS, -1)).copy(), turns=1), COLOURS, LOSSY)
    wide = np.rint(P3.values(COLOURS)).astype(np.uint8)
    yield Shown("HEIC", "Display P3", heic(spread(wide), profile=P3.profile()), COLOURS, 8.0)
