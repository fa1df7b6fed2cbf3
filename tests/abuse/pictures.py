"""Hostile pictures: torn, flipped, far too large, of other kinds than they say, and odd ones that are fine."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from corpus import FINE_PICTURE, Case, picture_case
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
REFUSED = (
    r"^Picture face\.\w+ (is damaged(, or a TIFF of a rare kind,)? and cannot be decoded|has no picture inside|"
    r"is an empty file)"
)
EITHER = rf"{REFUSED}|{FINE_PICTURE}|^Picture face\.\w+ has \d+x\d+"
"""Damage may strike what no decoder reads."""
FOREIGN = (
    r"^Picture face\.\w+ (has no picture inside|holds \w+ data, not a picture that we read|is an SVG drawing|"
    r"is a HEIC, which needs|is damaged)"
)
HUGE = r"^Picture face\.\w+ has .*megapixels|^Picture face\.\w+ is damaged"
LENGTHS = (1, 21, 60, 0.4, 0.95)
"""Of torn files: bytes, or shares."""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*_damaged(), *_huge(), *_foreign(), *_odd(), *_odd_in_a_video())
    faceless = ("face.png", written(picture()))
    yield Case(name="picture, no face to be drawn", says=r"^No face is found in the picture", image=faceless)


def picture(width: int = 60, height: int = 80, mode: str = "RGB") -> Image.Image:
    """A gradient with some noise, so that no format makes it tiny."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width))
    channels = (rows * 200 // max(1, height) + noise, columns * 255 // max(1, width), 90 + noise)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).convert(mode)


def written(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def torn(content: bytes, length: float) -> bytes:
    """The beginning: so many bytes, or such a share."""
    return content[: length if isinstance(length, int) else int(len(content) * length)]


def flipped(content: bytes, seed: int) -> bytes:
    """With eight bits turned over, the first ones at the beginning, where the header stands."""
    rng, changed = random.Random(seed), bytearray(content)
    for number in range(8):
        changed[rng.randrange(64 if number < 4 else len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG that says of itself what one likes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def _damaged() -> Iterator[Case]:
    for kind in FORMATS:
        whole, ending = written(picture(), kind), f".{kind.lower()}"
        for length in LENGTHS:
            yield picture_case(f"{kind} torn at {length}", torn(whole, length), EITHER, ending)
        for seed in range(4):
            yield picture_case(f"{kind} with flipped bits {seed}", flipped(whole, seed), EITHER, ending)
        yield picture_case(f"{kind}, only zeros after the header", whole[:40] + bytes(len(whole) - 40), EITHER, ending)
    yield picture_case("GIF without a picture", b"GIF89a\x20\x00\x20\x00\x80\x00\x00" + bytes(6) + b";", REFUSED)
    yield picture_case("PNG without pixels", png(40, 40), REFUSED)
    yield picture_case("PNG of no size", png(0, 0), HUGE)
    yield picture_case("PNG of an unknown colour type", png(40, 40, colour=5), REFUSED)
    yield picture_case(
        "TIFF whose directory points at itself", b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00", REFUSED
    )


def _huge() -> Iterator[Case]:
    yield picture_case("PNG that says 100,000 x 100,000", png(100_000, 100_000), HUGE)
    yield picture_case("PNG that says 2^31 x 2^31", png(2**31 - 1, 2**31 - 1), HUGE)
    yield picture_case("PNG of 36 megapixels", written(Image.new("1", (6_000, 6_000))), HUGE)
    yield picture_case("JPEG of 36 megapixels", written(Image.new("L", (6_000, 6_000)), "JPEG"), HUGE, ".jpeg")
    yield picture_case(
        "GIF that says 65,535 x 65,535", b"GIF89a\xff\xff\xff\xff" + written(picture(), "GIF")[10:], HUGE
    )
    bitmap = bytearray(written(picture(), "BMP"))
    bitmap[18:26] = struct.pack("<ii", 2**30, 2**30)
    yield picture_case("BMP that says 2^30 x 2^30", bytes(bitmap), HUGE)
    canvas = b"VP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\xfe\xff\xff" * 2
    webp = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas
    yield picture_case("WebP that says 2^24 x 2^24", webp, HUGE, ".webp")
    tags = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    yield picture_case("TIFF that says 60,000 x 60,000", b"II*\x00\x08\x00\x00\x00" + directory, HUGE, ".tiff")
    bomb = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(70 << 20), 9))
    rows = (b"\x00" + bytes(120)) * 40
    yield picture_case("PNG with 70 MB of text in 70 kB", png(40, 40, pixels=rows, extra=bomb), EITHER)
    profile = chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(70 << 20), 9))
    yield picture_case("PNG with 70 MB of colour profile", png(40, 40, pixels=rows, extra=profile), EITHER)
    yield picture_case("PNG with more pixels than it says", png(40, 40, pixels=bytes(50 << 20)), EITHER)


def _foreign() -> Iterator[Case]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><script>alert(1)</script></svg>'
    page = b"<!doctype html><html><body><img src=x onerror=alert(1)></body></html>"
    for name, content, ending in (
        ("SVG", svg, ".svg"),
        ("SVG named PNG", svg, ".png"),
        ("SVG after a comment", b"\xef\xbb\xbf<?xml version='1.0'?><!-- " + b"x" * 500 + b" -->" + svg, ".png"),
        ("SVG with a file of the server", svg.replace(b"<script>", b"<image href='file:///etc/passwd'/>"), ".png"),
        ("HTML", page, ".png"),
        ("text", b"a face", ".png"),
        ("zeros", bytes(10_000), ".png"),
        ("noise", random.Random(0).randbytes(10_000), ".png"),
        ("PDF", b"%PDF-1.7\n1 0 obj\n<< >>\n", ".png"),
        ("ZIP", b"PK\x03\x04" + bytes(60), ".png"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/etc/passwd) run\n", ".png"),
        ("PPM", b"P6 40 40 255\n" + bytes(4_800), ".png"),
        ("PSD", b"8BPS\x00\x01" + bytes(60), ".png"),
        ("icon", b"\x00\x00\x01\x00\x01\x00" + bytes(60), ".ico"),
        ("a program", b"\x7fELF\x02\x01\x01" + bytes(60), ".png"),
        ("HEIC", b"\x00\x00\x00\x18ftypheic" + bytes(60), ".heic"),
        ("a playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", ".png"),
        ("a pickle", b"cos\nsystem\n(S'id'\ntR.", ".png"),
        ("WAV", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), ".png"),
        ("MP4", b"\x00\x00\x00\x18ftypisom" + bytes(60), ".png"),
    ):
        yield picture_case(f"{name} as {ending}", content, FOREIGN, ending)
    yield picture_case("empty", b"", r"^Picture face\.png is an empty file")
    yield picture_case("HTML after PNG's first bytes", b"\x89PNG\r\n\x1a\n" + page, REFUSED)
    yield picture_case("AVIF that is none", b"\x00\x00\x00\x18ftypavif" + bytes(60), REFUSED)


def _odd() -> Iterator[Case]:
    """Unusual, and read all the same."""
    whole = written(picture())
    for name, content, ending in (
        ("PNG named text", whole, ".txt"),
        ("PNG named SVG", whole, ".svg"),
        ("PNG named as a program", whole, ".exe"),
        ("PNG without an ending", whole, ""),
        ("JPEG named PNG", written(picture(), "JPEG"), ".png"),
        ("PNG that is a ZIP too", whole + b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18), ".png"),
        ("GIF that is a script too", b"GIF89a" + written(picture(), "GIF")[6:] + b"*/=1;alert(1)", ".js"),
        ("JPEG with a page as its comment", written(picture(), "JPEG", comment=b"<script>alert(1)</script>"), ".html"),
        ("JPEG with an SVG as its EXIF", written(picture(), "JPEG", exif=b"Exif\x00\x00<svg/>"), ".jpeg"),
        ("APNG", written(picture(), save_all=True, append_images=[picture(mode="L").convert("RGB")] * 20), ".png"),
        ("WebP of 20 pictures", written(picture(), "WEBP", save_all=True, append_images=[picture()] * 20), ".webp"),
        ("TIFF of 20 pages", written(picture(), "TIFF", save_all=True, append_images=[picture()] * 20), ".tiff"),
        ("1 bit", written(picture(mode="1")), ".png"),
        ("grey and alpha", written(picture(mode="LA")), ".png"),
        ("16 x 16", written(picture(16, 16)), ".png"),
        ("grey TIFF of 32-bit floats", written(picture(mode="F"), "TIFF"), ".tiff"),
        ("TIFF in CIELAB", written(Image.new("LAB", (40, 40)), "TIFF"), ".tiff"),
        ("grey of 32-bit integers", written(picture(mode="L").convert("I"), "TIFF"), ".tiff"),
        ("JPEG, progressive and YCCK-like", written(picture(mode="CMYK"), "JPEG", progressive=True), ".jpeg"),
    ):
        yield picture_case(name, content, ending=ending)
    for orientation in (0, 3, 5, 8, 9, 65_535):
        content = written(picture(), "JPEG", exif=_turned(orientation))
        yield picture_case(f"EXIF orientation {orientation}", content, ending=".jpeg")
    for width, height in ((1, 1), (15, 300), (300, 15), (1, 30_000)):
        yield picture_case(
            f"{width} x {height}", written(picture(width, height)), r"has \d+x\d+ pixels, at least 16 a side"
        )


def _odd_in_a_video() -> Iterator[Case]:
    """Unusual, and made into a video: what the model is shown is not what most visitors give."""
    deep = Image.fromarray(np.asarray(picture(mode="L")).astype(np.uint16) * 256)
    palette = picture().quantize(16)
    for name, content, ending in (
        ("16 x 16,000", written(Image.new("L", (16, 16_000), 90)), ".png"),
        ("16,000 x 16", written(Image.new("L", (16_000, 16), 90)), ".png"),
        ("CMYK", written(picture(mode="CMYK"), "JPEG"), ".jpeg"),
        ("grey of 16 bits", written(deep), ".png"),
        ("palette with transparency", written(palette, transparency=bytes(range(0, 256, 16))), ".png"),
        ("wholly transparent", written(Image.new("RGBA", (40, 40))), ".png"),
        ("EXIF orientation 6", written(picture(), "JPEG", exif=_turned(6)), ".jpeg"),
        (
            "GIF of 200 pictures",
            written(picture(), "GIF", save_all=True, append_images=[picture(mode="L")] * 200),
            ".gif",
        ),
        ("31 megapixels", written(Image.new("L", (5_600, 5_600), 90)), ".png"),
    ):
        yield picture_case(name, content, None, ending)


def _turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()
