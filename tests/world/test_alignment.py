"""humo.world.alignment: phones of a recording whose words are known, and the mouth that follows them.

Run: python -m pytest tests/world/test_alignment.py
"""

from __future__ import annotations

import numpy as np
import pytest

from humo.evaluation.metrics import correlation
from humo.timing import FPS, SAMPLE_RATE
from humo.world import plan_clip, speak_plan
from humo.world.alignment import align, as_phonemes, spoken_words, unknown_words
from humo.world.speech import Speech, speak
from humo.world.visemes import mouth_curves


@pytest.mark.slow
def test_the_mouth_of_the_alignment_is_nearly_that_of_the_synthesisers_own_phonemes() -> None:
    agreement = []
    for plan in [plan for plan in map(plan_clip, range(16)) if plan.sentence]:
        speech = speak_plan(plan)
        aligned = Speech(speech.waveform, as_phonemes(align(speech.waveform, plan.sentence)))
        frames = int(speech.duration * FPS)
        curves = [mouth_curves(each.phonemes, each.duration, 0.0, frames) for each in (speech, aligned)]
        agreement.append([correlation(one, other) for one, other in zip(*curves, strict=True)])
    openness, width = np.mean(agreement, axis=0)
    assert openness > 0.75 and width > 0.8


def test_words_after_digital_silence_are_found_where_they_are() -> None:
    text = "my brother opened the window today"
    speech = speak(text)
    late = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), 0.01 * speech.waveform])
    phones = align(late, text)
    spoken = [phone for phone in phones if phone.name != "SIL"]
    assert " ".join(phone.name for phone in spoken) == "M AY B R AH DH ER OW P AH N D DH AH W IH N D OW T AH D EY"
    early = [phone for phone in align(speech.waveform, text) if phone.name != "SIL"]
    moved = [late_phone.start - 2.0 - phone.start for late_phone, phone in zip(spoken, early, strict=True)]
    assert np.abs(moved).max() < 0.05
    assert all(one.end <= other.start + 1e-9 for one, other in zip(phones, phones[1:], strict=False))


def test_the_same_sound_gives_the_same_phones_whatever_came_before() -> None:
    text = "garage island quick thumb"
    speech = speak(text)
    first = align(speech.waveform, text)
    align(speak("we saw the moon").waveform, "we saw the moon")
    assert align(speech.waveform, text) == first


def test_phones_take_espeaks_names_and_a_vowel_without_stress_is_weak() -> None:
    text = "the sofa is enough, mother"
    names = [name for _, name in as_phonemes(align(speak(text).waveform, text))]
    assert " ".join(name for name in names if name != "_") == "D @ s oU f @ I z I n V f m V D 3:"
    assert as_phonemes(()) == ()


def test_a_text_is_read_as_the_dictionary_writes_it() -> None:
    assert spoken_words("Don’t stop - 'tis the  END.") == ["don't", "stop", "'tis", "the", "end"]
    assert unknown_words("we xyzzy in 1999, xyzzy") == ["xyzzy", "1999"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("the year 1999", "lacks 1999"), ("...", "has no words"), ("we saw the moon", "cannot be found in 0.10 s")],
)
def test_what_cannot_be_aligned_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        align(np.zeros(SAMPLE_RATE // 10, np.float32), text)
