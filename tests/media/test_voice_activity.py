"""humo.media.voice_activity: speech is found at any level, beside knocks, noise and music, and nowhere where nobody
speaks.

Run: python -m pytest tests/media/test_voice_activity.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny

import humo
from humo.evaluation.voices import degradations as spoiling
from humo.media import voice_activity
from humo.media.voice_activity import find_pauses, find_speech, percentile_around, stretches
from humo.timing import SAMPLE_RATE
from humo.world.hibari import speak_english
from humo.world.speech import VOICES, speak

MOON, ROAD, HOME = "we saw the moon above the quiet garden", "five old men walked along the road", "please come home"
TEXT = "Hello there, my friend. Six people sat, talked, and laughed. They lived in a small house by the sea."


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Three sentences with pauses, and a gap that is too short for one."""
    return tiny.said(0.5, MOON, 0.4, HOME, 0.06, ROAD, 0.3)


def pauses(waveform: np.ndarray) -> np.ndarray:
    return np.array(find_pauses(find_speech(waveform), len(waveform) / SAMPLE_RATE))


def knock(waveform: np.ndarray, at: float, seconds: float) -> np.ndarray:
    """A voice 40 dB softer than a bang, which rings for some seconds."""
    rng, length = np.random.default_rng(3), round(seconds * SAMPLE_RATE)
    bang = rng.uniform(-1, 1, length) * np.exp(-5 * np.arange(length) / length)
    softer = 0.01 * waveform
    first = round(at * SAMPLE_RATE)
    softer[first : first + length] += bang[: len(softer) - first]
    return softer.astype(np.float32)


def after_music(waveform: np.ndarray) -> np.ndarray:
    """Six seconds of loud music, then a voice 40 dB softer."""
    music = 5 * spoiling.make_music(np.random.default_rng(1), 6 * SAMPLE_RATE)
    return np.concatenate([music, 0.01 * waveform]).astype(np.float32)


def test_pauses_lie_where_nothing_is_said(voice: np.ndarray) -> None:
    first, second = 0.5 + len(tiny.said(MOON)) / SAMPLE_RATE, len(voice) / SAMPLE_RATE
    expected = [(0.0, 0.5), (first, first + 0.4), (second - 0.3, second)]
    np.testing.assert_allclose(pauses(voice), expected, atol=0.03)


@pytest.mark.parametrize(
    "change",
    [
        lambda voice: 0.01 * voice,
        lambda voice: (0.002 * voice).astype(np.float32),
        lambda voice: np.clip(10 * voice, -1, 1),
        spoiling.telephone,
        lambda voice: knock(voice, 0.1, 0.02),
        lambda voice: knock(voice, 0.0, 0.4),
        lambda voice: knock(voice, 2.7, 0.1),
        lambda voice: knock(voice, 1.5, 0.01),
        lambda voice: spoiling.white_noise(voice, np.random.default_rng(0), 25),
        lambda voice: spoiling.room_noise(spoiling.gain(voice, -40), np.random.default_rng(0), 20),
        lambda voice: spoiling.mixed(voice, spoiling.make_music(np.random.default_rng(0), len(voice)), 20),
    ],
    ids=["-40 dB", "-54 dB", "clipped", "phone", "knock", "slam", "in a pause", "in a word", "hiss", "room", "music"],
)
def test_what_happens_to_a_voice_moves_no_pause(voice: np.ndarray, change: Callable) -> None:
    np.testing.assert_allclose(pauses(change(voice)), pauses(voice), atol=0.12)


def test_a_voice_after_loud_music_is_found(voice: np.ndarray) -> None:
    found = pauses(after_music(voice))
    np.testing.assert_allclose(found[1:], 6 + pauses(voice)[1:], atol=0.1)
    assert found[0, 0] == 0 and 5.9 < found[0, 1] < 6.7


@pytest.mark.parametrize("name", [*VOICES[::5], "hibari"])
def test_no_word_is_a_pause(name: str) -> None:
    if name == "hibari":  # tells no phonemes: where it is loud it speaks
        waveform = speak_english(TEXT)
        loud = np.abs(waveform) > 0.1 * np.abs(waveform).max()
        spoken = np.flatnonzero(loud) / SAMPLE_RATE
    else:
        speech = speak(TEXT, name)
        waveform = speech.waveform
        ends = [time for time, _ in speech.phonemes[1:]] + [speech.duration]
        words = [(*one, end) for one, end in zip(speech.phonemes, ends, strict=True) if one[1] not in ("", "_", "_:")]
        spoken = np.concatenate([np.arange(start + 0.01, end - 0.01, 0.002) for start, _, end in words])
    found = pauses(waveform)
    assert 2 <= len(found) <= 6
    for begin, end in found:
        assert not ((begin + 0.03 < spoken) & (spoken < end - 0.03)).any()


def _sounds_without_speech() -> dict[str, np.ndarray]:
    rng, time = np.random.default_rng(5), np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    hiss = rng.standard_normal(len(time)).astype(np.float32)
    return {
        "hiss": 0.1 * hiss,
        "hiss in bursts": 0.1 * hiss * (time % 1 < 0.6),
        "room": spoiling.room_noise(np.full(len(time), 0.01, np.float32), rng, 0) - 0.01,
        "tone": 0.3 * np.sin(2 * np.pi * 200 * time),
        "beeps": 0.3 * np.sin(2 * np.pi * 440 * time) * (time % 2 > 1.5),
        "music": spoiling.make_music(rng, len(time)),
        "quiet music": 0.01 * spoiling.make_music(rng, len(time)),
        "a click": np.eye(1, len(time), 40_000)[0],
    }


def test_music_and_noise_are_no_speech() -> None:
    found = {name: find_speech(sound) for name, sound in _sounds_without_speech().items()}
    assert found == dict.fromkeys(found, [])


def test_short_and_long_sounds_are_heard_whole(voice: np.ndarray) -> None:
    for length in (1, 511, 512, 513, 3_200):
        found = find_speech(voice[8_000 : 8_000 + length])
        assert found in ([], [(0.0, pytest.approx(length / SAMPLE_RATE, abs=0.05))]) and (found or length < 3_200)
    assert find_speech(tiny.said(MOON)) == [(0.0, pytest.approx(len(tiny.said(MOON)) / SAMPLE_RATE, abs=0.03))]
    times = 6  # more than are computed at once
    expected = np.concatenate([pauses(voice)[1:2] + number * len(voice) / SAMPLE_RATE for number in range(times)])
    long = pauses(np.tile(voice, times))
    assert len(long) == 2 * times + 1
    np.testing.assert_allclose(long[1::2], expected, atol=0.07)


def test_pauses_are_what_lies_between() -> None:
    speech = [(0.05, 1.0), (1.3, 2.0)]
    assert find_pauses(speech, 2.5) == [(1.0, 1.3), (2.0, 2.5)]
    assert find_pauses(speech, 2.5, 0.4) == [(2.0, 2.5)]
    assert find_pauses(speech, 2.5, 0.0) == [(0.0, 0.05), (1.0, 1.3), (2.0, 2.5)]
    assert find_pauses([], 2.5) == [(0.0, 2.5)]
    assert stretches(np.array([True, False, True, True])) == [(0, 1), (2, 4)] and stretches(np.zeros(3, bool)) == []


def test_percentiles_around_are_those_of_the_mirrored_values() -> None:
    draw = np.random.default_rng(4)
    for count, share, before, after in (
        (1, 80, 5, 5),
        (3, 50, 20, 0),
        (7, 80, 0, 124),
        (40, 10, 124, 0),
        (300, 95, 50, 50),
    ):
        values = draw.random(count)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, (before, after), mode="symmetric"), before + after + 1
        )
        expected = np.sort(windows, axis=1)[:, int(share / 100 * (before + after + 1))]
        np.testing.assert_array_equal(percentile_around(values, share, before, after), expected)


def test_the_same_sound_is_heard_alike_each_time() -> None:
    sound, junk = tiny.voice(0.6)[0], []
    found = find_speech(sound)
    for number in range(20):
        junk.append(np.full(1_000 * (number + 1), 1e9))  # left in memory that is used again
        del junk[:-1]
        assert find_speech(sound) == found


def test_neither_torch_nor_the_package_is_loaded() -> None:
    """silero_vad would set torch, and with it the pipeline, to one thread."""
    code = (
        "import sys, numpy; from humo.media.voice_activity import find_speech;"
        "find_speech(numpy.ones(9000, numpy.float32)); assert not {'torch', 'silero_vad'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(humo.__file__).parents[1], check=True)


def test_a_missing_package_is_named(voice: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    voice_activity._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(ValueError, match="finding pauses needs the package silero-vad: pip install silero-vad"):
        find_speech(voice)
