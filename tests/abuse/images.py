"""Pictures of known colours in every kind that is read: drawn ones here, photographs in `photographs.py`."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import PIL
from patches import COLOURS, Shown, grey, patchwork, saved, spread
from pictures import chunk
from PIL import Image
from profiles import P3, SPACES, grey_profile, grey_values
from rasters import bmp, png

READS_TIFF = int(PIL.__version__.split(".")[0]) >= 12
UNSAFE = r"picture face\.bin is a TIFF, which Pillow [\d.]+ does not read safely: save it as PNG\."
SHARES = np.array(((255, 255, 255, 255), (255, 0, 128, 64)), np.uint8)
"""Alpha of the patches."""
ON_WHITE = np.rint(255 + (COLOURS.astype(float) - 255) * SHARES[..., None] / 255).astype(np.uint8)
"""What is seen of them."""
_NUMBERS = np.arange(8).reshape(2, 4)
_TWO = np.array(((0, 1, 0, 1), (1, 1, 0, 0)))


def shown() -> Iterator[Shown]:
    """All of them."""
    yield from _png_by_type()
    yield from _png_of_odd_colours()
    yield from _bmp()
    yield from _gif()
    yield from _tiff()


def _png_by_type() -> Iterator[Shown]:
    """Each colour type at each depth that PNG allows, in lines and interlaced."""
    colours, greys, alpha = spread(COLOURS), spread(grey()[..., :1]), spread(SHARES[..., None])
    flat = np.concatenate((grey(), SHARES[..., None]), axis=-1)
    grey_on_white = np.rint(255 + (flat[..., :3].astype(float) - 255) * flat[..., 3:] / 255)
    for interlaced in (False, True):
        how = ", interlaced" * interlaced
        for depth in (1, 2, 4, 8, 16):
            top = 2**depth - 1
            coarse = np.rint(greys / 255 * top).astype(int)
            expected = np.rint(coarse[::24, ::24] * 255 / top).repeat(3, axis=-1)
            yield Shown("PNG", f"grey, {depth} bits{how}", png(coarse, 0, depth, interlaced), expected)
            if depth < 16:
                chosen = _TWO if depth == 1 else _NUMBERS % 2**depth
                palette = COLOURS.reshape(-1, 3)[: 2**depth]
                extra = chunk(b"PLTE", palette.tobytes())
                content = png(spread(chosen)[..., None], 3, depth, interlaced, extra)
                yield Shown("PNG", f"palette, {depth} bits{how}", content, palette[chosen])
        for depth, by in ((8, 1), (16, 257)):
            for number, name, channels, expected in (
                (2, "RGB", (colours,), COLOURS),
                (4, "grey and alpha", (greys, alpha), grey_on_white),
                (6, "RGB and alpha", (colours, alpha), ON_WHITE),
            ):
                numbers = np.concatenate(channels, axis=-1).astype(int) * by
                yield Shown("PNG", f"{name}, {depth} bits{how}", png(numbers, number, depth, interlaced), expected)


def _png_of_odd_colours() -> Iterator[Shown]:
    """Transparent by one number, of another exponent, with colour profiles, turned, animated."""
    colours, greys = spread(COLOURS).astype(int), spread(grey()[..., :1]).astype(int)
    for place in ((0, 0), (1, 1)):
        red, tone = COLOURS[place], int(grey()[place][0])
        seen, seen_grey = (np.where((all_of == all_of[place]).all(-1, keepdims=True), 255, all_of)
                           for all_of in (COLOURS, grey()))  # fmt: skip
        for depth, by in ((8, 1), (16, 257)):
            rgb = png(colours * by, 2, depth, extra=chunk(b"tRNS", struct.pack(">3H", *(red.astype(int) * by))))
            yield Shown("PNG", f"RGB without its {red}, {depth} bits", rgb, seen)
            one = png(greys * by, 0, depth, extra=chunk(b"tRNS", struct.pack(">H", tone * by)))
            yield Shown("PNG", f"grey without its {tone}, {depth} bits", one, seen_grey)
    table = chunk(b"PLTE", COLOURS.tobytes()) + chunk(b"tRNS", SHARES.tobytes())
    yield Shown("PNG", "palette and alpha", png(spread(_NUMBERS)[..., None], 3, 8, extra=table), ON_WHITE)
    for exponent in (1.0, 1.8):
        darker = np.rint(grey_values(COLOURS, exponent) * 257).astype(int)
        gamma = chunk(b"gAMA", struct.pack(">I", round(100_000 / exponent)))
        yield Shown("PNG", f"of exponent {exponent}", png(spread(darker), 2, 16, extra=gamma), COLOURS, 8.0)
    same = chunk(b"gAMA", struct.pack(">I", 45_455))
    yield Shown("PNG", "of exponent 2.2", png(colours, 2, 8, extra=same), COLOURS)
    yield Shown("PNG", "sRGB and an exponent", png(colours, 2, 8, extra=chunk(b"sRGB", b"\0") + same), COLOURS)
    for space in SPACES:
        extra = _profile(space.profile())
        for depth, by in ((8, 1), (16, 257)):
            numbers = np.rint(spread(space.values(COLOURS)) * by).astype(int)
            yield Shown("PNG", f"{space.name}, {depth} bits", png(numbers, 2, depth, extra=extra), COLOURS, 3.0)
    numbers = np.rint(P3.values(COLOURS)).astype(np.uint8)
    table = _profile(P3.profile()) + chunk(b"PLTE", numbers.tobytes())
    yield Shown("PNG", "palette in Display P3", png(spread(_NUMBERS)[..., None], 3, 8, extra=table), COLOURS, 3.0)
    both = np.concatenate((spread(numbers), spread(SHARES[..., None])), axis=-1)
    with_alpha = png(both, 6, 8, extra=_profile(P3.profile()))
    yield Shown("PNG", "Display P3 and alpha", with_alpha, ON_WHITE, 3.0)
    dark = np.rint(spread(grey_values(grey(), 1.8)[..., :1])).astype(int)
    profile = _profile(grey_profile(1.8))
    yield Shown("PNG", "grey with a profile", png(dark, 0, 8, extra=profile), grey(), 3.0)
    both = np.concatenate((dark, np.full_like(dark, 255)), axis=-1)
    yield Shown("PNG", "grey and alpha with a profile", png(both, 4, 8, extra=profile), grey(), 3.0)
    exif = Image.Exif()
    exif[0x0112] = 3
    yield Shown("PNG", "upside down", saved(patchwork(COLOURS[::-1, ::-1]), "PNG", exif=exif), COLOURS)
    more = [patchwork(255 - COLOURS)]
    yield Shown("PNG", "animated", saved(patchwork(), "PNG", save_all=True, append_images=more), COLOURS)


def _profile(content: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(content))


def _bmp() -> Iterator[Shown]:
    palette = COLOURS.reshape(-1, 3)
    numbers, two = spread(_NUMBERS), spread(_TWO)
    for header in (12, 40, 64, 108, 124):
        content = bmp(numbers, 8, palette=palette, header=header)
        yield Shown("BMP", f"palette, header of {header} bytes", content, COLOURS)
    yield Shown("BMP", "palette, 1 bit", bmp(two, 1, palette=palette[:2]), palette[_TWO])
    yield Shown("BMP", "palette, 4 bits", bmp(numbers, 4, palette=palette), COLOURS)
    yield Shown("BMP", "palette, the first line first", bmp(numbers, 8, palette=palette, is_top_down=True), COLOURS)
    for depth in (4, 8):
        content = bmp(numbers, depth, palette=palette, run_lengths=True)
        yield Shown("BMP", f"run-lengths of {depth} bits", content, COLOURS)
    red, green, blue = np.moveaxis(spread(COLOURS).astype(int), -1, 0)
    full = red << 16 | green << 8 | blue
    yield Shown("BMP", "24 bits", bmp(full, 24), COLOURS)
    yield Shown("BMP", "24 bits, the first line first", bmp(full, 24, is_top_down=True), COLOURS)
    yield Shown("BMP", "32 bits, the last ones unused", bmp(full, 32), COLOURS)
    yield Shown("BMP", "16 bits", bmp((red >> 3) << 10 | (green >> 3) << 5 | blue >> 3, 16), COLOURS, 8.0)
    masks = (0xF800, 0x07E0, 0x001F)
    packed = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    yield Shown("BMP", "16 bits as 5, 6 and 5", bmp(packed, 16, masks=masks), COLOURS, 8.0)
    with_alpha = full | spread(SHARES).astype(int) << 24
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for header in (56, 108, 124):
        content = bmp(with_alpha, 32, masks=masks, header=header)
        yield Shown("BMP", f"32 bits with alpha, header of {header} bytes", content, ON_WHITE)


def _gif() -> Iterator[Shown]:
    palette = Image.fromarray(spread(_NUMBERS).astype(np.uint8))
    palette.putpalette(COLOURS.tobytes())
    seen = np.where((COLOURS == 0).all(axis=-1, keepdims=True), 255, COLOURS)
    other = patchwork(255 - COLOURS)
    for name, options, expected in (
        ("in lines", {"interlace": False}, COLOURS),
        ("interlaced", {"interlace": True}, COLOURS),
        ("with a transparent colour", {"transparency": 5}, seen),
        ("animated", {"save_all": True, "append_images": [other]}, COLOURS),
        ("with a comment", {"comment": b"a face"}, COLOURS),
    ):
        yield Shown("GIF", name, saved(palette, "GIF", **options), expected)
    yield Shown("GIF", "grey", saved(patchwork(mode="L"), "GIF"), grey())
    yield Shown("GIF", "of many colours", saved(patchwork(), "GIF"), COLOURS)


def _tiff() -> Iterator[Shown]:
    for name, picture, options, expected, tolerance in (
        ("plain", patchwork(), {}, COLOURS, 1),
        ("LZW", patchwork(), {"compression": "tiff_lzw"}, COLOURS, 1),
        ("deflate", patchwork(), {"compression": "tiff_deflate"}, COLOURS, 1),
        ("JPEG inside", patchwork(), {"compression": "jpeg", "quality": 95}, COLOURS, 8),
        ("grey", patchwork(mode="L"), {}, grey(), 1),
        ("grey, 16 bits", Image.fromarray(np.asarray(patchwork(mode="L")).astype(np.uint16) * 257), {}, grey(), 1),
        ("grey, 32 bits", Image.fromarray(np.asarray(patchwork(mode="L")).astype(np.int32) * 257), {}, grey(), 1),
        ("grey, floats", Image.fromarray((np.asarray(patchwork(mode="L")) / 255).astype("f4")), {}, grey(), 1),
        ("alpha", Image.fromarray(spread(np.dstack((COLOURS, SHARES)))), {}, ON_WHITE, 1),
        ("CMYK", patchwork(mode="CMYK"), {}, COLOURS, 1),
        ("pages", patchwork(), {"save_all": True, "append_images": [patchwork(255 - COLOURS)]}, COLOURS, 1),
        ("Display P3", patchwork(np.rint(P3.values(COLOURS)).astype(np.uint8)), {"icc_profile": P3.profile()},
         COLOURS, 3),
    ):  # fmt: skip
        content = saved(picture, "TIFF", **options)
        read = (expected, tolerance, "") if READS_TIFF else (None, 1.0, UNSAFE)
        yield Shown("TIFF", name, content, *read)
