"""humo.world.speech and visemes: voices, phoneme times and the mouth that follows them.

Run: python -m pytest tests/world/test_world_speech.py
"""

from __future__ import annotations

import numpy as np
import pytest

from humo.timing import FPS, SAMPLE_RATE
from humo.world import plan_clip, speak_plan
from humo.world.speech import RATES, VOICES, speak
from humo.world.visemes import REST, mouth_curves, mouth_shapes


@pytest.mark.parametrize("phoneme", ["p", "b", "m", "'m", "", "_", "_:"])
def test_lips_and_pauses_close_the_mouth(phoneme: str):
    assert all(openness == 0.0 for openness, _ in mouth_shapes(phoneme))


def test_open_vowels_open_rounded_ones_round_and_spread_ones_spread():
    assert mouth_shapes("A:")[0][0] > 0.9
    assert mouth_shapes("u:")[0][1] < 0.2 < 0.8 < mouth_shapes("i:")[0][1]
    first, last = mouth_shapes("'aI")
    assert first[0] > last[0] and first[1] < last[1], "a diphthong moves on"


@pytest.mark.parametrize("consonant", ["p", "b", "m"])
def test_the_mouth_closes_between_vowels_and_rests_outside_of_the_speech(consonant: str):
    phonemes = ((0.0, "A:"), (0.4, consonant), (0.56, "A:"), (0.96, "_"))
    openness, width = mouth_curves(phonemes, 1.0, start=-0.4, num_frames=50)
    frame = round((0.4 + 0.48) * FPS)
    assert openness[frame - 8 : frame - 3].max() > 0.8 and openness[frame + 3 : frame + 9].max() > 0.8
    assert openness[frame - 1 : frame + 1].min() < 0.05
    for outside in (slice(0, 8), slice(38, 50)):
        np.testing.assert_allclose(openness[outside], REST[0], atol=0.02)
        np.testing.assert_allclose(width[outside], REST[1], atol=0.02)


def test_curves_stay_in_range_and_silence_rests():
    for seed in range(20):
        speech = speak_plan(plan_clip(seed))
        for curve in mouth_curves(speech.phonemes, speech.duration, 0.3, 49):
            assert curve.shape == (49,) and curve.dtype == np.float32
            assert curve.min() >= 0.0 and curve.max() <= 1.0
    openness, width = mouth_curves((), 1.0, 0.0, 25)
    np.testing.assert_array_equal(openness, REST[0])
    np.testing.assert_array_equal(width, REST[1])


def test_many_voices_that_differ():
    assert len(VOICES) == len(set(VOICES)) >= 12
    said = {speak("we saw the moon", voice).waveform.tobytes() for voice in VOICES}
    assert len(said) == len(VOICES)


def test_phonemes_ascend_and_fit_the_sound():
    plans = [plan_clip(seed) for seed in range(16)] + [plan_clip(seed, "test") for seed in range(4)]
    for plan in [plan for plan in plans if plan.sentence]:
        speech = speak_plan(plan)
        times = [time for time, _ in speech.phonemes]
        assert times == sorted(times) and times[0] >= 0.0 and times[-1] <= speech.duration
        assert (
            speech.waveform.dtype == np.float32 and 0.05 < np.abs(speech.waveform).max() < 1.01
        )  # resampling overshoots
        assert 1.0 < speech.duration < 8.0


def test_the_mouth_is_open_while_the_voice_is_loud():
    speech = speak("ah! ... ah! ... ah!", VOICES[0], rate=100)
    frames = int(speech.duration * FPS)
    openness, _ = mouth_curves(speech.phonemes, speech.duration, 0.0, frames)
    samples = speech.waveform[: frames * SAMPLE_RATE // FPS].reshape(frames, -1)
    loudness = np.sqrt((samples**2).mean(1))
    assert np.corrcoef(openness, loudness)[0, 1] > 0.6
    assert openness[loudness > 0.5 * loudness.max()].mean() > 3 * openness[loudness < 0.01].mean()


def test_one_sentence_is_spoken_alike_each_time():
    first, second = (speak("my goodness, a beam of light", VOICES[3]) for _ in range(2))
    assert first.phonemes == second.phonemes
    np.testing.assert_array_equal(first.waveform, second.waveform)


def test_a_slower_voice_takes_longer():
    slow, fast = (speak("we saw the moon", rate=rate).duration for rate in (100, 220))
    assert slow > 1.4 * fast


@pytest.mark.parametrize("rate", RATES)
def test_phonemes_ascend_at_the_slowest_and_the_fastest(rate: int):
    for voice in VOICES[::5]:
        speech = speak("six people sat, talked and laughed; then they walked along the shore", voice, rate)
        times = [time for time, _ in speech.phonemes]
        assert times == sorted(times) and times[-1] <= speech.duration
