"""humo.media.delays: no word comes late by what an encoder put in front of it, and none is cut for it.

Run: python -m pytest tests/media/test_delays.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe
from project import ROOT

from humo.media import read_sound
from humo.timing import SAMPLE_RATE

VOICE = ROOT / "assets" / "examples" / "woman.wav"


def convert(*arguments: str | Path, given: Path = VOICE) -> bytes:
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", given, *arguments]
    return subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout


def milliseconds_late(path: Path, voice: np.ndarray) -> float:
    heard = read_sound(path).waveform
    length = 1 << 17
    spectrum = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(voice, length))
    place = int(np.argmax(np.abs(np.fft.irfft(spectrum, length))))
    return 1000 * (place if place < length // 2 else place - length) / SAMPLE_RATE


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return soundfile.read(VOICE)[0]


@pytest.mark.parametrize("rate", ["8000", "16000", "44100"])
@pytest.mark.parametrize(
    ("codec", "name"),
    [("libmp3lame", "a.wav"), ("aac", "a.aac"), ("aac", "a.ts"), ("aac", "a.m4a"), ("wmav2", "a.wma")],
)
def test_words_are_in_time(tmp_path: Path, voice: np.ndarray, codec: str, name: str, rate: str) -> None:
    convert("-ar", rate, "-c:a", codec, tmp_path / name)
    assert abs(milliseconds_late(tmp_path / name, voice)) < 3
    filling = read_sound(tmp_path / name).duration - len(voice) / SAMPLE_RATE
    assert -0.001 < filling < 0.08, "a block at most"


@pytest.mark.parametrize("rate", ["8000", "44100"])
def test_an_mp3_from_a_pipe_is_in_time(tmp_path: Path, voice: np.ndarray, rate: str) -> None:
    (tmp_path / "a.mp3").write_bytes(convert("-ar", rate, "-c:a", "libmp3lame", "-f", "mp3", "pipe:1"))
    assert abs(milliseconds_late(tmp_path / "a.mp3", voice)) < 3


@pytest.mark.parametrize("rate", ["8000", "16000", "48000"])
def test_opus_is_believed_rather_than_the_webm_around_it(tmp_path: Path, voice: np.ndarray, rate: str) -> None:
    convert("-ar", rate, "-c:a", "libopus", tmp_path / "a.webm")
    assert abs(milliseconds_late(tmp_path / "a.webm", voice)) < 1
    assert len(read_sound(tmp_path / "a.webm").waveform) >= len(voice) - 8


def test_a_file_that_begins_within_a_word_keeps_its_beginning(tmp_path: Path, voice: np.ndarray) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 220 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    soundfile.write(tmp_path / "tone.wav", tone, SAMPLE_RATE)
    convert("-c:a", "aac", tmp_path / "tone.aac", given=tmp_path / "tone.wav")
    stream = (tmp_path / "tone.aac").read_bytes()
    second_half = stream[stream.index(stream[:2], len(stream) // 2) :]
    (tmp_path / "cut.aac").write_bytes(second_half)
    convert("-c:a", "pcm_s16le", tmp_path / "cut.wav", given=tmp_path / "cut.aac")
    assert len(read_sound(tmp_path / "cut.aac").original) == soundfile.info(tmp_path / "cut.wav").frames


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms"])
def test_the_filling_of_the_last_block_is_cut(tmp_path: Path, voice: np.ndarray, codec: str) -> None:
    convert("-ar", "8000", "-c:a", codec, tmp_path / "a.wav")
    assert read_sound(tmp_path / "a.wav").duration == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.001)


def test_times_that_lie_within_an_avi_put_no_silence_into_the_voice(tmp_path: Path, voice: np.ndarray) -> None:
    convert("-c:a", "g722", tmp_path / "a.avi")
    assert read_sound(tmp_path / "a.avi").duration == pytest.approx(len(voice) / SAMPLE_RATE, abs=0.02)


def test_a_sound_that_begins_after_the_picture_stays_late(tmp_path: Path, voice: np.ndarray) -> None:
    picture = ["-f", "lavfi", "-i", "color=s=64x64:r=25:d=3", "-map", "1:v", "-map", "0:a"]
    for name, codec in (("a.mp4", "aac"), ("a.mkv", "libopus")):
        late = tmp_path / f"late-{name}"
        convert(*picture, "-c:a", codec, "-ar", "48000", "-af", "asetpts=PTS+0.5/TB", late)
        assert milliseconds_late(late, voice) == pytest.approx(500, abs=3)
