"""What a file holds, by its first bytes."""

from __future__ import annotations

from pathlib import Path

HEAD = 1024
"""Bytes that are looked at, after the tag that may stand before a sound."""
# (kind, offset, bytes), the first that fits.
# fmt: off
_MAGIC = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"), ("JPEG-LS", 0, b"\xff\xd8\xff\xf7"), ("JPEG", 0, b"\xff\xd8\xff"),
    ("GIF", 0, b"GIF8"), ("BMP", 0, b"BM"), ("TIFF", 0, b"II*\x00"), ("TIFF", 0, b"MM\x00*"), ("TIFF", 0, b"II+\x00"),
    ("TIFF", 0, b"MM\x00+"), ("WEBP", 8, b"WEBP"), ("AVIF", 4, b"ftypavif"), ("AVIF", 4, b"ftypavis"),
    ("HEIC", 4, b"ftyphei"), ("HEIC", 4, b"ftyphev"), ("HEIC", 4, b"ftypmif1"), ("HEIC", 4, b"ftypmsf1"),
    ("JPEG XL", 0, b"\xff\x0a"), ("JPEG XL", 4, b"JXL \r\n\x87\n"), ("JPEG 2000", 4, b"jP  \r\n\x87\n"),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"), ("Photoshop", 0, b"8BPS"),
    ("WAV", 8, b"WAVE"), ("W64", 0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"), ("FLAC", 0, b"fLaC"),
    ("OGG", 0, b"OggS"), ("AIFF", 8, b"AIF"), ("CAF", 0, b"caff"), ("AU", 0, b".snd"), ("AMR", 0, b"#!AMR"),
    ("AC3", 0, b"\x0b\x77"), ("WMA", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), ("AVI", 8, b"AVI "), ("FLV", 0, b"FLV"),
    ("MPEG", 0, b"\x00\x00\x01\xba"), ("WAVPACK", 0, b"wvpk"), ("TTA", 0, b"TTA1"), ("APE", 0, b"MAC "),
    ("MUSEPACK", 0, b"MPCK"), ("MUSEPACK SV7", 0, b"MP+"), ("REALAUDIO", 0, b".RMF"), ("REALAUDIO", 0, b".ra\xfd"),
    ("VOC", 0, b"Creative Voice File"), ("DTS", 0, b"\x7f\xfe\x80\x01"), ("WEBM", 0, b"\x1a\x45\xdf\xa3"),
    ("MP4", 4, b"ftyp"), ("MP4", 4, b"wide"), ("MP4", 4, b"mdat"), ("MP4", 4, b"moov"), ("MP4", 4, b"skip"),
    ("MP4", 4, b"free"), ("MP4", 4, b"pnot"), ("SILK", 0, b"#!SILK"), ("SILK", 1, b"#!SILK"),
    ("MIDI", 0, b"MThd"), ("PDF", 0, b"%PDF"), ("ZIP", 0, b"PK\x03\x04"),
)
# fmt: on
_TRANSPORT = ((0, 188), (4, 192))
"""Offset of the first G and bytes from one to the next in an MPEG transport stream, and in one of a camcorder."""
_MOST_TAGS = 8
"""That are looked at."""
_LAYERS = {0: "AAC", 1: "MP3", 2: "MP3", 3: "MP3"}
"""Kind by the layer bits of an MPEG frame; 0 is ADTS, and MPEG's layers 1 to 3 have one reader."""


def kind_of(path: str | Path) -> str:
    """Name what a file holds by its first bytes.

    Args:
        path: an existing file.

    Returns:
        "PNG", "JPEG", "SVG", "WAV", "MP3", "MP4", ... or "unknown".
    """
    begin = begin_of(path)
    with open(path, "rb") as file:
        file.seek(begin)
        kind = _kind_of_head(file.read(HEAD))
    return "MP3" if begin and kind == "unknown" else kind


def begin_of(path: str | Path) -> int:
    """Bytes of the ID3 tags that stand before whatever they are about."""
    begin = 0
    with open(path, "rb") as file:
        for _ in range(_MOST_TAGS):
            file.seek(begin)
            head = file.read(10)
            if head[:3] != b"ID3":
                break
            begin += _tag_size(head)
    return begin


def _tag_size(head: bytes) -> int:
    """Bytes of an ID3v2 tag with its header."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if len(head) > 5 and head[5] & 0x10 else 0)


def _kind_of_head(head: bytes) -> str:
    for kind, offset, magic in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if b"<svg" in head.lower():
        return "SVG"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _LAYERS[head[1] >> 1 & 3]
    for first, size in _TRANSPORT:
        if head[first::size][:3] == b"GGG":
            return "MPEG-TS"
    return "unknown"


def existing_file(path: str | Path, what: str) -> Path:
    """The path of a file with content.

    Args:
        path: of a file.
        what: it is, for the sentence.

    Raises:
        ValueError: if there is none.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{what} {path.name} does not exist: check the name.")
    if not path.is_file():
        raise ValueError(f"{what} {path.name} is a folder: give a file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{what} {path.name} is an empty file: give one with content.")
    return path
