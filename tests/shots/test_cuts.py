"""humo.shots.cuts: sounds are cut at pauses and never in words beside one, every frame is covered once, nothing drifts.

Run: python -m pytest tests/shots/test_cuts.py
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import tiny

from humo.evaluation.voices.degradations import make_music
from humo.media import read_sound
from humo.media.voice_activity import find_pauses, find_speech
from humo.shots.cuts import Shot, cut_sound, plan_shots
from humo.timing import FPS
from humo.world.speech import VOICES, Speech, speak

RATE = 16_000
STORY = (
    "Hello there, my friend. This is a story about a dog and a cat. They lived in a small house by the sea. "
    "Every morning they walked along the shore, and in the evening they came home."
)
SENTENCES = (
    "we saw the moon above the quiet garden",
    "five old men walked along the narrow road",
    "please bring some bread and a little butter",
)


def check_plan(shots: list[Shot], num_samples: int, rate: int, max_frames: int, min_frames: int) -> None:
    total = -(-num_samples * FPS // rate)
    assert [frame for shot in shots for frame in range(shot.start, shot.stop)] == list(range(total))
    assert [shot.number for shot in shots] == list(range(1, len(shots) + 1))
    for shot in shots:
        assert shot.num_frames <= shot.num_frames_made <= max_frames
        assert shot.num_frames_made % 4 == 1 and shot.num_frames_made - shot.num_frames < 4
        assert shot.num_frames >= min_frames or len(shots) == 1
    assert shots[-1].note == "the sound ends"


def instants_of_words(speech: Speech) -> np.ndarray:
    """Seconds, 2 ms apart, at which a phoneme sounds."""
    ends = [time for time, _ in speech.phonemes[1:]] + [speech.duration]
    spoken = [(*one, end) for one, end in zip(speech.phonemes, ends, strict=True) if one[1] not in ("", "_", "_:")]
    return np.concatenate([np.arange(start, end, 0.002) for start, _, end in spoken])


def test_speech_is_cut_at_its_pauses() -> None:
    speech = speak(STORY)
    shots = plan_shots(speech.waveform, RATE)
    check_plan(shots, len(speech.waveform), RATE, 97, 32)
    assert len(shots) <= 5
    loud = np.abs(speech.waveform).max()
    for shot in shots[:-1]:
        assert re.fullmatch(r"in a pause of 0\.\d\d s", shot.note)
        cut = shot.stop * RATE // FPS
        assert np.abs(speech.waveform[cut - 480 : cut + 480]).max() < 0.02 * loud


@pytest.mark.parametrize("max_frames", [33, 97])
@pytest.mark.parametrize("case", ["plain", "quiet", "after a knock", "in a room"])
def test_no_cut_in_a_pause_lies_in_a_word(case: str, max_frames: int) -> None:
    for voice in VOICES[::9]:
        speech = speak(STORY, voice)
        waveform = speech.waveform if case == "plain" else 0.01 * speech.waveform
        if case == "after a knock":  # 40 dB above the voice
            waveform[800:2400] += tiny.noise((0.1, 0.9)) * np.linspace(1, 0, 1600, dtype=np.float32)
        if case == "in a room":
            waveform = waveform + tiny.noise((speech.duration, 1e-4))[: len(waveform)]
        words, shots = instants_of_words(speech), plan_shots(waveform, RATE, max_frames)
        paused = [shot for shot in shots if shot.note.startswith("in a pause of ")]
        assert len(paused) >= 2 and all(np.abs(words - shot.stop / FPS).min() > 0.005 for shot in paused)


@pytest.mark.slow
def test_a_cut_lies_in_speech_only_where_no_pause_is_within_reach() -> None:
    notes = set()
    for number, pauses in enumerate(np.random.default_rng(2).uniform(0.12, 0.7, (6, 4))):
        waveform = tiny.said(*(part for pause in pauses for part in (SENTENCES[number % 3], float(pause))))
        for max_frames, min_frames in ((49, 16), (33, 1), (65, 33)):
            shots = plan_shots(waveform, RATE, max_frames, min_frames)
            found = find_pauses(find_speech(waveform), len(waveform) / RATE)
            insides = [(begin + gap, end - gap) for begin, end in found for gap in (min(0.08, 0.3 * (end - begin)),)]
            for shot, after in itertools.pairwise(shots):
                earliest = max(shot.start + min_frames, after.stop - max_frames)
                latest = min(shot.start + max_frames, after.stop - min_frames)
                reach = np.arange(earliest, latest + 1) / FPS
                if any(((begin < reach) & (reach < end)).any() for begin, end in insides) and min_frames > 1:
                    assert shot.note.startswith("in a pause of "), shot
                elif any(((begin < reach) & (reach < end)).any() for begin, end in found):
                    assert re.match("(in|at the edge of) a pause of ", shot.note), shot
                else:
                    assert shot.note.startswith("no pause within reach: "), shot
                notes.add(re.sub(r"[\d.]+", "#", shot.note))
    assert notes >= {"in a pause of # s", "no pause within reach: # dB below the sound around it"}


def test_the_middle_of_the_longest_pause_is_taken() -> None:
    parts = (SENTENCES[0], 0.2, "yes", 0.6, SENTENCES[1])
    waveform = tiny.said(*parts)
    middle = (len(tiny.said(*parts[:3])) / RATE) + 0.3
    first, second = plan_shots(waveform, RATE)
    assert abs(first.stop / FPS - middle) <= 1 / FPS
    assert re.fullmatch(r"in a pause of 0\.(5[789]|6[012]) s", first.note)
    assert second.note == "the sound ends"


@pytest.mark.slow
def test_without_speech_silences_and_quiet_moments_are_taken_and_said() -> None:
    silent = plan_shots(tiny.noise((1.5, 0.5), (0.2, 0), (0.5, 0.5), (0.6, 0), (0.7, 0.5), (0.2, 0), (1.3, 0.5)), RATE)
    assert len(silent) == 2 and abs(silent[0].stop / FPS - 2.5) <= 1 / FPS
    assert re.fullmatch(r"in a silence of 0\.(5[789]|6\d) s without speech", silent[0].note)
    quiet = plan_shots(tiny.noise((2.2, 0.5), (0.12, 0.05), (2.7, 0.5)), RATE)
    assert len(quiet) == 2 and 2.2 <= quiet[0].stop / FPS <= 2.32
    assert re.fullmatch(r"no speech: (1[5-9]|20) dB below the sound around it", quiet[0].note)
    music = plan_shots(make_music(np.random.default_rng(0), 20 * RATE), RATE)
    check_plan(music, 20 * RATE, RATE, 97, 32)
    assert all(re.fullmatch(r"no speech: \d+ dB below the sound around it", shot.note) for shot in music[:-1])
    knock = tiny.noise((2, 0.003), (0.3, 0), (2.7, 0.003))
    knock[8_000:8_040] = 1.0
    assert 2 < plan_shots(knock, RATE)[0].stop / FPS < 2.3


def test_shots_are_even_where_nothing_speaks_for_another_cut() -> None:
    time = np.arange(20 * RATE) / RATE
    shots = plan_shots(np.sin(2 * np.pi * 200 * time).astype(np.float32), RATE)
    assert len(shots) == 6
    assert all(75 <= shot.num_frames <= 90 for shot in shots)


def test_a_knock_and_long_silence_hide_no_pause() -> None:
    waveform = 0.01 * tiny.said(SENTENCES[0], 0.4, SENTENCES[1], 20.0, SENTENCES[2])
    waveform[800:840] = 1.0
    shots = plan_shots(waveform, RATE)
    check_plan(shots, len(waveform), RATE, 97, 32)
    assert all(shot.note.startswith("in a pause") for shot in shots[:-1])
    pause = len(tiny.said(SENTENCES[0])) / RATE
    assert pause < shots[0].stop / FPS < pause + 0.4


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_every_frame_is_covered_once(rate: int) -> None:
    draw = np.random.default_rng(rate)
    for max_frames in (5, 9, 49, 97):
        num_samples = int(draw.integers(0.2 * rate + 1, 12 * rate))
        waveform = tiny.noise((num_samples / rate, 0.3), rate=rate)
        check_plan(plan_shots(waveform, rate, max_frames), num_samples, rate, max_frames, max_frames // 3)
    for num_samples in (97 * rate // FPS, 97 * rate // FPS + 1, 98 * rate // FPS + 1):  # around the limit
        shots = plan_shots(tiny.noise((num_samples / rate, 0.3), rate=rate), rate)
        check_plan(shots, num_samples, rate, 97, 32)
        assert (len(shots) == 1) == (num_samples * FPS <= 97 * rate)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000, 8_001])
def test_the_drift_is_zero(rate: int) -> None:
    """The sounds of the shots, one after the other, are the whole sound: to the sample, however many shots."""
    waveform = np.stack([tiny.noise((30.007, 0.3), rate=rate), tiny.noise((30.007, 0.2), rate=rate)], axis=1)
    sound = read_sound((waveform, rate))
    shots = plan_shots(waveform, rate, 49)
    assert len(shots) >= 16
    parts = [cut_sound(sound, shot.start, shot.stop) for shot in shots]
    for name, per_frame in (("waveform", RATE / FPS), ("original", rate / FPS)):
        joined, whole = np.concatenate([getattr(part, name) for part in parts]), getattr(sound, name)
        np.testing.assert_array_equal(joined[: len(whole)], whole)
        assert len(joined) == round(shots[-1].stop * per_frame) and not joined[len(whole) :].any()
    for shot in shots:  # what is heard while a shot is made begins where it is played, and goes on for 4k+1 frames
        heard = cut_sound(sound, shot.start, shot.start + shot.num_frames_made).waveform
        assert len(heard) == shot.num_frames_made * 640
        expected = sound.waveform[shot.start * 640 :][: len(heard)]
        np.testing.assert_array_equal(heard[: len(expected)], expected)
    drift = shots[-1].stop / FPS - len(waveform) / rate
    assert 0 <= drift < 1 / FPS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_frames": 96}, "must be 4k\\+1 \\(5, 9, … 97\\) but is 96: use 93"),
        ({"max_frames": 1}, "but is 1: use 5"),
        ({"min_frames": 60}, "must be 1 to 49 but is 60"),
        ({"waveform": np.zeros(RATE, np.float32)}, "silent"),
        ({"waveform": np.ones(9, np.float32)}, "0.00 s, at least 0.2 s"),
    ],
)
def test_plans_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_shots(**{"waveform": tiny.voice(5)[0], "sample_rate": RATE, **arguments})
