"""Hostile sounds: torn, with lying headers, of impossible numbers, of other kinds than they say, and odd ones."""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from corpus import FINE_SOUND, Case, sound_case
from pictures import flipped, picture, torn, written

RATE = 8_000
FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III", "AIFF": "PCM_16"}
REFUSED = (
    r"^Sound voice\.\w+ (is damaged and cannot be decoded|has no sound (inside|that can be decoded)|is empty|"
    r"lasts 0\.\d\d s, at least|is silent|has \d+ channels|has a sample rate of|contains invalid numbers|"
    r"lasts [\d.]+ minutes|holds more than \d+ million samples|holds \w+ data)"
)
EITHER = rf"{REFUSED}|{FINE_SOUND}"
"""Some decoders play what is left, and some headers lie only about what nobody reads."""
UNDECODABLE = r"^Sound voice\.\w+ holds [\w ]+ sound, which we cannot decode"
FOREIGN = r"^Sound voice\.\w+ (has no sound inside|holds \w+ data, not a sound)"
LENGTHS = (1, 30, 46, 90, 0.4, 0.9)
"""Of torn files: bytes, or shares."""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _damaged()
    yield from _lying()
    yield from _impossible()
    yield from _foreign()
    yield from _odd()


def voice(seconds: float = 4.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A tone that swells, (samples, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 220 * time) * np.abs(np.sin(7 * time))
    return np.repeat(tone.astype(np.float32)[:, None], channels, axis=1)


def encoded(samples: np.ndarray, kind: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    """The sound as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype or FORMATS[kind])
    return file.getvalue()


def wav(
    data: bytes,
    *,
    form: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    block: int = 2,
    says: int | None = None,
) -> bytes:
    """A WAV that says of itself what one likes; `says` is the size of its data."""
    head = struct.pack("<HHIIHH", form, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    size = len(data) if says is None else says
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@cache
def video(has_sound: bool) -> bytes:
    """An mp4 of 4 s."""
    from imageio_ffmpeg import get_ffmpeg_exe

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        tone = ["-f", "lavfi", "-i", "sine=duration=4"] * has_sound
        given = ["-f", "lavfi", "-i", "color=size=64x64:duration=4:rate=5", *tone, "-fflags", "+bitexact", str(path)]
        subprocess.run([get_ffmpeg_exe(), "-v", "error", *given], check=True)
        return path.read_bytes()


def _damaged() -> Iterator[Case]:
    for kind in FORMATS:
        whole, ending = encoded(voice(), kind), f".{kind.lower()}"
        for length in LENGTHS:
            yield sound_case(f"{kind} torn at {length}", torn(whole, length), EITHER, ending)
        for seed in range(3):
            yield sound_case(f"{kind} with flipped bits {seed}", flipped(whole, seed), EITHER, ending)
    for length in (12, 40, 400, 0.5, 0.9):
        yield sound_case(f"MP4 torn at {length}", torn(video(True), length), EITHER, ".m4a")
    for seed in range(4):
        yield sound_case(f"MP4 with flipped bits {seed}", flipped(video(True), seed), EITHER, ".m4a")


def _lying() -> Iterator[Case]:
    data = (voice()[:, 0] * 32_767).astype("<i2").tobytes()
    yield sound_case("WAV that says 4 GB", wav(data, says=0xFFFFFFFF), EITHER)
    yield sound_case("WAV that says it is empty", wav(data, says=0), EITHER)
    yield sound_case("WAV of half a sample", wav(data[:20_001]), EITHER)
    yield sound_case("WAV at no rate", wav(data, rate=0), REFUSED)
    yield sound_case("WAV at 1 Hz", wav(data, rate=1), REFUSED)
    yield sound_case("WAV at 4 GHz", wav(data, rate=4_000_000_000), REFUSED)
    yield sound_case("WAV of no channels", wav(data, channels=0), REFUSED)
    yield sound_case("WAV of 1,000 channels", wav(data, channels=1_000, block=2_000), REFUSED)
    yield sound_case("WAV of 65,535 channels", wav(data, channels=65_535, block=65_534), REFUSED)
    yield sound_case("WAV of 0 bits", wav(data, bits=0), rf"{EITHER}|{UNDECODABLE}")
    yield sound_case("WAV of 7 bits", wav(data, bits=7), EITHER)
    yield sound_case("WAV of 64 bits", wav(data, bits=64, block=8), None)
    yield sound_case("WAV in blocks of nothing", wav(data, block=0), EITHER)
    yield sound_case("WAV of an unknown form", wav(data, form=0x7777), UNDECODABLE)
    yield sound_case("WAV without a form", b"RIFF\x0c\x00\x00\x00WAVEdata\x00\x00\x00\x00", REFUSED)
    flac = bytearray(encoded(voice(), "FLAC"))
    flac[21:26] = bytes([flac[21] | 0x0F]) + b"\xff" * 4
    yield sound_case("FLAC that says 2^36 samples", bytes(flac), EITHER, ".flac")
    tag = b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f"
    yield sound_case("MP3 with a tag of 256 MB", tag + encoded(voice(), "MP3"), EITHER, ".mp3")
    ogg = encoded(voice(), "OGG")
    last = ogg.rindex(b"OggS")
    yield sound_case(
        "OGG that says 2^62 samples", ogg[: last + 6] + b"\xff" * 7 + b"\x3f" + ogg[last + 14 :], EITHER, ".ogg"
    )


def _impossible() -> Iterator[Case]:
    invalid = r"contains invalid numbers \(NaN or infinity\)"
    for number in ("nan", "inf", "-inf"):
        samples = voice()
        samples[1_000] = float(number)
        yield sound_case(f"a sample is {number}", encoded(samples, subtype="FLOAT"), invalid)
    yield sound_case("all are nan", encoded(voice() * np.float32("nan"), subtype="FLOAT"), invalid)
    yield sound_case("doubles beyond float32", encoded(voice().astype(np.float64) * 1e300, subtype="DOUBLE"), invalid)
    yield sound_case(
        "as loud as floats can be",
        encoded(np.sign(voice()) * np.float32(3e38), subtype="FLOAT"),
        r"is 3e\+38 times too loud",
    )
    yield sound_case("silence", encoded(voice() * 0), r"is silent")
    yield sound_case("denormal numbers", encoded(voice() * np.float32(1e-40), subtype="FLOAT"), r"is silent")
    yield sound_case("no samples", encoded(voice(0)), r"is empty, it has no samples")
    yield sound_case("one sample", encoded(voice()[-1:]), r"lasts 0\.00 s, at least 0\.2 s")
    yield sound_case("0.19 s", encoded(voice(0.19)), r"lasts 0\.19 s, at least 0\.2 s")
    yield sound_case("a minute too long", encoded(voice(61)), r"^The voice lasts 61\.0 s")
    yield sound_case(
        "601 s",
        encoded(np.zeros(601 * RATE, np.float32), "FLAC"),
        r"lasts 10 minutes or more, less is allowed",
        ".flac",
    )
    many = encoded(np.zeros((599 * RATE, 8), np.float32), "FLAC")
    yield sound_case("599 s of eight silent channels", many, r"is silent", ".flac")
    yield sound_case("9 channels", encoded(voice(channels=9)), r"has 9 channels")
    yield sound_case("4 kHz", encoded(voice(rate=4_000), rate=4_000), r"has a sample rate of 4000 Hz")


def _foreign() -> Iterator[Case]:
    for name, content, ending in (
        ("HTML", b"<!doctype html><script>alert(1)</script>", ".wav"),
        ("text", b"hello", ".wav"),
        ("zeros", bytes(10_000), ".wav"),
        ("PNG", written(picture()), ".wav"),
        ("GIF", written(picture(), "GIF"), ".mp3"),
        ("a playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", ".m3u8"),
        ("a list for ffmpeg", b"ffconcat version 1.0\nfile /etc/passwd\n", ".wav"),
        ("a session description", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n", ".sdp"),
        ("MIDI", b"MThd\x00\x00\x00\x06" + bytes(40), ".mid"),
        ("PDF", b"%PDF-1.7\n", ".wav"),
        ("raw samples", np.full(4_000, 1_234, "<i2").tobytes(), ".raw"),
    ):
        yield sound_case(f"{name} as {ending}", content, FOREIGN, ending)
    yield sound_case("empty", b"", r"^Sound voice\.wav is an empty file")
    yield sound_case("WebP's first bytes and a sound's name", b"RIFF\x24\x00\x00\x00WEBP" + bytes(40), FOREIGN)
    yield sound_case("video without sound", video(False), r"has no sound that can be decoded", ".mp4")
    yield sound_case(
        "MP4 of nothing", b"\x00\x00\x00\x18ftypisom" + bytes(60), r"is damaged and cannot be decoded", ".m4a"
    )
    yield sound_case("WebM of nothing", b"\x1a\x45\xdf\xa3" + bytes(60), r"is damaged and cannot be decoded", ".webm")
    yield sound_case("ADTS of nothing", b"\xff\xf1" + bytes(60), REFUSED, ".aac")


def _odd() -> Iterator[Case]:
    """Unusual, and heard all the same; the last ones in a video."""
    yield sound_case("the sound of a video", video(True), ending=".mp4")
    yield sound_case("MP3 named WAV", encoded(voice(), "MP3"))
    for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "MS_ADPCM"):
        yield sound_case(f"WAV as {subtype}", encoded(voice(), subtype=subtype))
    for rate, channels in ((192_000, 1), (11_025, 2), (48_000, 8)):
        yield sound_case(f"{channels} channels at {rate} Hz", encoded(voice(1.2, rate, channels), rate=rate))
    yield sound_case("three times too loud", encoded(voice(0.25) * 3, subtype="FLOAT"), None)
    yield sound_case("as short as may be", encoded(voice(0.2), "FLAC"), None, ".flac")
    yield sound_case("one loud sample in silence", encoded(np.eye(2_000, 1, -900, dtype=np.float32)), None)
