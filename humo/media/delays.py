"""What encoders put before and after a sound, where the file does not say so: cut off, or every word comes late.

An encoder works in blocks and begins with silence of its own, 1,105 samples in an MP3, at 8 kHz a seventh of a second.
MP4, Ogg, CAF, Matroska and an MP3 with a table of contents mostly tell how much, and ffmpeg cuts it; what comes from a
pipe, a recorder or a broadcast does not. The lengths are those of the usual encoders, measured by `tests/abuse`. Ours.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_DELAYS = {
    "mp3": 1105, "mp3float": 1105, "mp2": 481, "mp2float": 481, "aac": 1024, "ac3": 256, "eac3": 256, "ra_144": 160,
}  # fmt: skip
"""Samples at the rate of the coding."""
_EVERYWHERE = {"dts": 512, "nellymoser": 128, "g723_1": 60}
"""Those that no container tells."""
_WMA = ((16_000, 512), (22_050, 1024), (384_000, 2048))
"""A frame, up to a rate in Hz."""
_LONGEST_PAGE = 1 << 17
"""Bytes of an Ogg page, and of its predecessor."""
_FAR_BELOW = 0.05
"""Of the loudest: what an encoder puts in front is quieter; a file that was cut out of another begins with sound."""


def cut_delay(samples: np.ndarray, rate: int, codec: str, is_told: bool) -> np.ndarray:
    """Cut off what the encoder put in front.

    Args:
        samples: as decoded, float32 (samples, channels).
        rate: Hz.
        codec: ffmpeg's name of the coding.
        is_told: whether the file says how much that is, and ffmpeg cut it off itself.

    Returns:
        The samples that follow; all of them where nothing is known, or the beginning is sound.
    """
    delay = _delay(rate, codec, is_told)
    beginning = np.abs(samples[: delay // 2])
    if not delay or len(samples) <= delay or beginning.max() > _FAR_BELOW * np.abs(samples).max():
        return samples
    return samples[delay:]


def _delay(rate: int, codec: str, is_told: bool) -> int:
    if codec in _EVERYWHERE:
        return _EVERYWHERE[codec]
    if is_told:
        return 0
    if codec in ("wmav1", "wmav2"):
        return next(delay for highest, delay in _WMA if rate <= highest)
    return 312 * rate // 48_000 if codec == "opus" else _DELAYS.get(codec, 0)


def cut_filling(samples: np.ndarray, path: Path, kind: str) -> np.ndarray:
    """Cut off with what the last block of a WAV was filled up, which its chunk "fact" tells."""
    num_samples = _read_fact(path) if kind == "WAV" else 0
    is_filling = 0 < num_samples < len(samples) <= num_samples + 4096
    return samples[:num_samples] if is_filling else samples


def _read_fact(path: Path) -> int:
    """Samples that a WAV says to have; 0 if it does not."""
    with path.open("rb") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                return 0
            if name == b"fact" and size >= 4:
                return int.from_bytes(file.read(4), "little")
            file.seek(size + size % 2, 1)
    return 0


def opus_delay(path: Path) -> int | None:
    """Samples at 48 kHz that precede the sound, as Opus itself says in the head of a Matroska or WebM file."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    place = head.find(b"OpusHead")
    return None if place < 0 or place + 12 > len(head) else int.from_bytes(head[place + 10 : place + 12], "little")


def vorbis_lengths(path: Path) -> tuple[int, int]:
    """Samples of a short block and of the whole, as an Ogg file of Vorbis says; 0 where it does not."""
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, path.stat().st_size - _LONGEST_PAGE))
        tail = file.read()
    begin, page = head.find(b"\x01vorbis"), tail.rfind(b"OggS\0")
    if begin < 0 or page < 0 or begin + 29 > len(head):
        return 0, 0
    return 1 << (head[begin + 28] & 15), int.from_bytes(tail[page + 6 : page + 14], "little", signed=True)
