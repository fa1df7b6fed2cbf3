"""humo.media.parts, headers and kinds: what is several files, what is none, and what is known by name alone.

Run: python -m pytest tests/media/test_parts.py
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humo.media import kind_of, read_sound
from humo.media.headers import repair_header
from humo.media.parts import begins_of_parts
from humo.timing import SAMPLE_RATE


def wav(seconds: float, pitch: float, rate: int = SAMPLE_RATE, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    tone = 0.3 * np.sin(pitch * np.arange(round(seconds * rate)) / rate)
    soundfile.write(file, tone, rate, format=form, subtype="PCM_16")
    return file.getvalue()


def test_all_files_of_one_are_heard_in_the_form_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    parts = [wav(0.5, 1_000), wav(0.25, 2_000), wav(1.0, 1_500)]
    path.write_bytes(b"".join(parts))
    assert begins_of_parts(path, "WAV") == [0, len(parts[0]), len(parts[0]) + len(parts[1])]
    assert read_sound(path).duration == pytest.approx(1.75)
    path.write_bytes(b"".join(wav(0.1, 1_000) for _ in range(20)))
    assert len(begins_of_parts(path, "WAV")) == 16 and read_sound(path).duration == pytest.approx(1.6)


def test_a_sound_that_only_looks_like_several_is_one(tmp_path: Path) -> None:
    content, path = bytearray(wav(1.0, 1_000)), tmp_path / "a.wav"
    content[9_000:9_016] = content[8:24]
    path.write_bytes(content)
    assert len(begins_of_parts(path, "WAV")) == 2
    assert read_sound(path).duration == pytest.approx(1.0)


@pytest.mark.parametrize(("kind", "place", "size"), [("AIFF", b"SSND", b"\0\0\0\0"), ("W64", b"data", b"\xff" * 8)])
def test_a_header_without_sizes_is_mended_in_a_copy(tmp_path: Path, kind: str, place: bytes, size: bytes) -> None:
    whole, path = wav(1.0, 1_000, form=kind), tmp_path / "a"
    begin = whole.index(place) + (4 if kind == "AIFF" else 16)
    torn = whole[:begin] + size + whole[begin + len(size) :]
    path.write_bytes(torn)
    assert read_sound(path).duration == pytest.approx(1.0)
    with repair_header(path, kind) as copy:
        assert copy != path and copy.read_bytes()[begin : begin + len(size)] == whole[begin : begin + len(size)]
    assert path.read_bytes() == torn and not copy.exists()
    path.write_bytes(whole)
    with repair_header(path, kind) as same:
        assert same == path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"#!SILK_V3", "SILK"),
        (b"\x02#!SILK_V3", "SILK"),
        (b"\0\0\0\x08free\0\0\0\x08mdat", "MP4"),
        (b"MP+\x07", "MUSEPACK SV7"),
        ((b"\1\2\3\4G" + bytes(187)) * 3, "MPEG-TS"),
        ((b"G" + bytes(187)) * 3, "MPEG-TS"),
        ((b"ID3\4\0\0\0\0\0\2" + bytes(2)) * 2 + b"RIFF\0\0\0\0WAVE", "WAV"),
        (b"ID3\4\0\0\0\0\0\2" + bytes(90), "MP3"),
    ],
)
def test_kinds_by_their_first_bytes(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert kind_of(tmp_path / "a") == kind


def test_what_a_messenger_keeps_of_voices_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.amr").write_bytes(b"\x02#!SILK_V3" + bytes(40))
    with pytest.raises(
        ValueError, match=r"a\.amr holds SILK sound, which we cannot decode: convert it to WAV or M4A\.$"
    ):
        read_sound(tmp_path / "a.amr")
