"""humo.media.loudness: the model hears a voice at its usual level, and the video plays it as it was given.

Run: python -m pytest tests/media/test_loudness.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from humo.media import Sound, read_sound
from humo.media.loudness import HEARD_LEVEL, MAX_GAIN, level_sound, speech_level
from humo.pipeline import HuMoPipeline
from humo.requests.call import read_call
from humo.shots.cuts import Shot, cut_sound
from humo.shots.generation import make_shots
from humo.timing import SAMPLE_RATE
from humo.world import plan_clip, speak_plan
from humo.world.speech import VOICES, speak

SENTENCE = "we saw the moon above the quiet garden"


def voice(decibels: float = 0.0) -> np.ndarray:
    return speak(SENTENCE).waveform * np.float32(10 ** (decibels / 20))


def levelled(samples: np.ndarray) -> tuple[Sound, list[str]]:
    notes: list[str] = []
    return level_sound(read_sound((samples, SAMPLE_RATE)), HEARD_LEVEL, notes), notes


def test_every_voice_of_the_world_is_heard_as_it_is() -> None:
    for name in VOICES:
        sound, notes = levelled(speak(SENTENCE, name).waveform)
        np.testing.assert_array_equal(sound.waveform, sound.original[:, 0])
        assert notes == []


@pytest.mark.parametrize("decibels", [-14, -20, -34, 15])
def test_a_quiet_or_loud_voice_is_heard_at_the_usual_level_and_it_is_said(decibels: int) -> None:
    sound, notes = levelled(voice(decibels))
    assert speech_level(sound.waveform) == pytest.approx(HEARD_LEVEL, abs=0.1)
    np.testing.assert_array_equal(sound.original[:, 0], voice(decibels))
    level = speech_level(voice(decibels))
    kind, change = ("quiet", "louder") if decibels < 0 else ("loud", "softer")
    gain = abs(HEARD_LEVEL - level)
    assert notes == [f"The voice is {kind} ({level:.0f} dBFS): the model hears it {gain:.0f} dB {change}."]


def test_a_gain_has_its_limit() -> None:
    sound, notes = levelled(voice(-55))
    assert speech_level(sound.waveform) == pytest.approx(speech_level(voice(-55)) + MAX_GAIN, abs=0.1)
    assert notes[0].endswith("40 dB louder.")


def test_pauses_rumble_and_a_little_noise_do_not_count() -> None:
    rng = np.random.default_rng(0)
    alone = speech_level(voice())
    paused = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.float32), voice(), np.zeros(SAMPLE_RATE, np.float32)])
    assert speech_level(paused) == pytest.approx(alone, abs=0.1)
    rumble = 0.2 * np.sin(2 * np.pi * 40 * np.arange(len(paused)) / SAMPLE_RATE)
    assert speech_level(paused + rumble) == pytest.approx(alone, abs=0.5)
    assert speech_level(paused + 0.003 * rng.standard_normal(len(paused))) == pytest.approx(alone, abs=1.0)


def test_a_knock_does_not_count() -> None:
    quiet = np.concatenate([np.zeros(12 * 640, np.float32), voice(-30)])
    knocked = quiet.copy()
    knocked[800:2_400] += np.random.default_rng(0).uniform(-1, 1, 1_600).astype(np.float32)
    assert speech_level(knocked) == pytest.approx(speech_level(voice(-30)), abs=0.2)
    assert levelled(knocked)[1] == levelled(quiet)[1] != []


def test_a_rooms_noise_alone_is_not_lifted() -> None:
    for seed in range(8):
        spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(4 * SAMPLE_RATE))
        noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** (seed / 8)).astype(np.float32)
        noise *= 1e-3 / np.sqrt((noise**2).mean())
        sound, notes = levelled(noise)
        np.testing.assert_array_equal(sound.waveform, noise)
        assert notes == []


def test_the_pipeline_levels_where_its_config_says_so(tmp_path: Path, mini_pipeline: HuMoPipeline) -> None:
    levelling = tiny.pipeline("mini", heard_level=HEARD_LEVEL)
    assert mini_pipeline.config.heard_level is None
    quiet = (voice(-30)[:SAMPLE_RATE], SAMPLE_RATE)
    call, plain = (read_call(pipe, "a woman", audio=quiet) for pipe in (levelling, mini_pipeline))
    assert np.abs(call.heard).max() > 20 * np.abs(plain.heard).max() and "dB louder" in call.notes[0]
    np.testing.assert_array_equal(call.played[0], plain.played[0])
    assert speech_level(plain.heard) == pytest.approx(speech_level(quiet[0]), abs=0.5)


def test_shots_are_levelled_together(tmp_path: Path) -> None:
    """A shot in which somebody whispers stays softer than the others, and is made as such."""
    pipe = tiny.pipeline("mini", heard_level=HEARD_LEVEL)
    loud, soft = voice(-20)[: 9 * 640], voice(-40)[: 9 * 640]
    whole = read_sound((np.concatenate([loud, soft]), SAMPLE_RATE))
    shots = [Shot(1, 0, 9, "in a pause"), Shot(2, 9, 18, "the sound ends")]
    video = make_shots(pipe, shots, "a woman", tmp_path, whole, seed=1, num_inference_steps=1)
    assert [note for note in video.notes if "dB louder" in note] == [video.notes[0]]
    together = level_sound(whole, HEARD_LEVEL, [])
    part = cut_sound(together, 9, 18)
    alone = pipe("a woman", audio=part, num_frames=9, seed=2, num_inference_steps=1)
    np.testing.assert_array_equal(alone.frames, video.frames[9:18])
    assert speech_level(part.waveform) < HEARD_LEVEL - 10


def test_a_silent_clip_of_the_world_has_no_level() -> None:
    plan = next(plan for plan in map(plan_clip, range(100)) if not plan.sentence)
    assert speech_level(speak_plan(plan).waveform) is None
