"""humo.world: clips are exact and repeatable, splits are apart, and every part of a clip agrees with the others.

Run: python -m pytest tests/world/test_world.py
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from humo.timing import FPS, SAMPLE_RATE
from humo.world import Clip, ClipPlan, plan_clip, render_clip, speak_plan
from humo.world.hibari import speak_english
from humo.world.people import BACKGROUNDS, COLOURS, FRAMINGS, IDENTITY_ATTRIBUTES, SKINS, Person, Setting
from humo.world.speech import VOICES, Speech, speak

FRAMES = 13
SILENCE = Speech(np.zeros(SAMPLE_RATE, np.float32), ())


@pytest.fixture(scope="module")
def plans() -> dict[str, list[ClipPlan]]:
    """Many plans of training, some of the others."""
    counts = {"train": 1600, "validation": 200, "test": 50}
    return {split: [plan_clip(seed, split) for seed in range(count)] for split, count in counts.items()}


@pytest.fixture(scope="module")
def bare() -> ClipPlan:
    """A still, hairless, beardless person without glasses in a shirt: the face is all skin but for its features."""
    person = Person("man", "tan", "bald", "black", "none", "none", "brown")
    setting = Setting("shirt", "green", "blue", "plain", "medium", "centre", "still")
    return replace(plan_clip(0), person=person, setting=setting, distractor="none")


def _digest(clip: Clip) -> str:
    arrays = (clip.frames, clip.face, clip.features, clip.reference, clip.waveform, clip.openness, clip.width)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _identity(person: Person) -> tuple[str, ...]:
    return tuple(getattr(person, name) for name in IDENTITY_ATTRIBUTES)


def _outfit(setting: Setting) -> tuple[str, ...]:
    return setting.garment, setting.colour, setting.background


def _with(plans: dict[str, list[ClipPlan]], distractor: str, count: int = 4) -> list[ClipPlan]:
    return [plan for plan in plans["train"] if plan.distractor == distractor][:count]


def _draw(plan: ClipPlan, size: int = 64, frames: int = FRAMES) -> Clip:
    return render_clip(plan, frames, size, SILENCE)


# Repeatable


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_same_seed_gives_the_same_clip(split: str):
    plan = plan_clip(5, split)
    assert plan == plan_clip(5, split)
    speech = speak_plan(plan)
    first, second = (render_clip(plan_clip(5, split), FRAMES, 64, speech) for _ in range(2))
    assert _digest(first) == _digest(second)
    assert _digest(first) != _digest(render_clip(plan_clip(6, split), FRAMES, 64, speech))


def test_splits_give_different_clips_for_one_seed():
    assert len({plan_clip(3, split).seed for split in ("train", "validation", "test")}) == 3


def test_what_is_drawn_does_not_hang_on_what_was_drawn_before():
    first = _digest(_draw(plan_clip(1)))
    _draw(plan_clip(2), size=48)
    assert _digest(_draw(plan_clip(1))) == first


# Splits


def test_people_and_outfits_of_the_test_split_are_never_in_training(plans: dict[str, list[ClipPlan]]):
    seen = plans["train"] + plans["validation"]
    for key in (lambda plan: _identity(plan.person), lambda plan: _outfit(plan.setting)):
        known, new = {key(plan) for plan in seen}, {key(plan) for plan in plans["test"]}
        assert known.isdisjoint(new)
        assert len(new) > 20, "too few held-out combinations to measure anything with"


def test_sentences_of_the_test_split_are_never_in_training(plans: dict[str, list[ClipPlan]]):
    said = {split: {plan.sentence for plan in plans[split]} - {""} for split in plans}
    assert (said["train"] | said["validation"]).isdisjoint(said["test"])
    pairs = {split: {pair for text in said[split] for pair in _word_pairs(text)} for split in said}
    shared = len(pairs["test"] & pairs["train"]) / len(pairs["test"])
    assert shared < 0.2, "test sentences must put their words together in new ways"


def _word_pairs(sentence: str) -> list[tuple[str, str]]:
    words = re.findall(r"[a-zA-Z]+", sentence.lower())
    return list(zip(words, words[1:], strict=False))


def test_every_kind_of_person_setting_and_distractor_occurs(plans: dict[str, list[ClipPlan]]):
    seen = plans["train"]
    assert {plan.person.skin for plan in seen} == set(SKINS)
    assert {plan.setting.colour for plan in seen} == set(COLOURS)
    assert {plan.setting.background for plan in seen} == set(BACKGROUNDS)
    assert {plan.setting.framing for plan in seen} == set(FRAMINGS)
    assert {plan.distractor for plan in seen} == {"none", "second", "balloon"}
    assert {bool(plan.sentence) for plan in seen} == {True, False}


# Drawing


def test_a_clip_has_everything_in_its_shape(plans: dict[str, list[ClipPlan]]):
    clip = render_clip(plans["train"][0], FRAMES, 64)
    assert clip.frames.shape == (FRAMES, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert clip.face.shape == clip.features.shape == (FRAMES, 64, 64)
    assert clip.face.dtype == bool and set(np.unique(clip.features)) == {0, 1, 2}
    assert clip.reference.shape == (64, 64, 3) and clip.reference.dtype == np.uint8
    assert clip.waveform.shape == (FRAMES * SAMPLE_RATE // FPS,) and clip.waveform.dtype == np.float32
    assert clip.openness.shape == clip.width.shape == (FRAMES,)


def test_sound_and_curves_are_cut_alike(plans: dict[str, list[ClipPlan]]):
    """Clips begin inside of their sentences, and must still hear what they show."""
    agreement = {0: [], 4: []}
    for plan in [plan for plan in plans["train"] if plan.sentence][:16]:
        clip = render_clip(plan, 49, 16)
        loudness = np.sqrt((clip.waveform.reshape(49, -1) ** 2).mean(1))
        for shift, found in agreement.items():
            found.append(np.corrcoef(np.roll(clip.openness, shift), loudness)[0, 1])
    assert np.mean(agreement[0]) > np.mean(agreement[4]) + 0.3


def test_the_face_mask_is_the_painted_face(bare: ClipPlan):
    clip = _draw(bare, size=128)
    skin = (np.abs(clip.frames.astype(int) - SKINS["tan"]).max(-1) <= 2) & _above_collar(clip)
    face = clip.face
    assert (skin & face).sum() / skin.sum() > 0.995, "skin outside of the mask"
    painted = skin | (clip.features > 0) & face  # eyes, nose and mouth are painted over the skin
    assert (painted & face).sum() / (painted | face).sum() > 0.95


def _above_collar(clip: Clip) -> np.ndarray:
    """Rows down to the chin, for a shirt's neck is a little darker skin."""
    rows = np.arange(clip.face.shape[1])[:, None]
    return np.broadcast_to(rows <= np.flatnonzero(clip.face[0].any(1)).max() + 1, clip.face.shape)


def test_the_face_mask_follows_framing_and_position(bare: ClipPlan):
    areas, centres = [], []
    for framing in ("wide", "medium", "close-up"):
        areas.append(_draw(replace(bare, setting=replace(bare.setting, framing=framing))).face.mean())
    for position in ("left", "centre", "right"):
        face = _draw(replace(bare, setting=replace(bare.setting, position=position, framing="wide"))).face[0]
        centres.append(np.flatnonzero(face.any(0)).mean() / face.shape[1])
    assert areas[0] * 1.3 < areas[1] and areas[1] * 1.2 < areas[2]
    assert centres[0] < 0.42 < 0.45 < centres[1] < 0.55 < 0.58 < centres[2]


def test_the_features_lie_on_the_face(bare: ClipPlan):
    clip = _draw(bare, size=128)
    eyes, mouth = clip.features[0] == 1, clip.features[0] == 2
    assert np.argwhere(eyes)[:, 0].mean() < np.argwhere(mouth)[:, 0].mean()
    assert (eyes & clip.face[0]).sum() > 0.9 * eyes.sum()
    assert (mouth & clip.face[0]).sum() > 0.8 * mouth.sum()


def test_a_longer_opening_is_a_darker_mouth(bare: ClipPlan):
    clip = render_clip(bare, 49, 128, speak("ah! ... ah! ... ah!", VOICES[6], rate=100))
    dark = (clip.frames.astype(int).sum(-1) < 140) & (clip.features == 2)
    assert np.corrcoef(dark.sum((1, 2)), clip.openness)[0, 1] > 0.95


@pytest.mark.parametrize("distractor", ["none", "second", "balloon"])
def test_the_voice_moves_the_speakers_mouth_and_nothing_else(plans: dict[str, list[ClipPlan]], distractor: str):
    for plan in _with(plans, distractor, 3):
        quiet, loud = _draw(plan), render_clip(plan, FRAMES, 64, _hum(seconds=1.0))
        moved = (quiet.frames != loud.frames).any(-1)
        assert moved.any()
        near = ndimage.binary_dilation(loud.features == 2, np.ones((1, 3, 3), bool))
        assert not (moved & ~near).any()


def _hum(seconds: float) -> Speech:
    wave = 0.3 * np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 0.05)
    return Speech(wave.astype(np.float32), ((0.0, "A:"), (0.3, "m"), (0.5, "A:")))


def test_a_second_person_leaves_the_speaker_his_mask(plans: dict[str, list[ClipPlan]]):
    for plan in _with(plans, "second"):
        clip = _draw(plan)
        assert ndimage.label(clip.face[0])[1] == 1
        centre = np.flatnonzero(clip.face[0].any(0)).mean() / 64
        assert (centre < 0.5) == (plan.setting.position == "left")
        alone = _draw(replace(plan, distractor="none"))
        assert (alone.frames[0] != clip.frames[0]).any(-1).mean() > 0.05, "nobody was added"


def test_a_balloon_floats_beside_the_face(plans: dict[str, list[ClipPlan]]):
    for plan in _with(plans, "balloon"):
        clip, alone = _draw(plan), _draw(replace(plan, distractor="none"))
        changed = (clip.frames != alone.frames).any(-1)
        assert changed.any((1, 2)).all() and not np.array_equal(changed[0], changed[-1])


def test_the_reference_is_the_same_person_elsewhere(plans: dict[str, list[ClipPlan]]):
    for split in plans:
        for plan in plans[split]:
            assert plan.reference_setting.colour != plan.setting.colour
            assert plan.reference_setting.background != plan.setting.background
    plan = next(p for p in plans["train"] if p.distractor == "none" and p.setting.motion == "still")
    clip = _draw(plan, size=128)
    for picture, setting in ((clip.frames[0], plan.setting), (clip.reference, plan.reference_setting)):
        assert _share(picture, BACKGROUNDS[setting.background]) > 0.1
        assert _share(picture, COLOURS[setting.colour]) > 0.02
        assert _share(picture, SKINS[plan.person.skin]) > 0.02


def _share(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(picture.astype(int) - colour).max(-1) <= 2).mean())


def test_both_sizes_show_one_scene(plans: dict[str, list[ClipPlan]]):
    for plan in plans["train"][:3] + _with(plans, "second", 1) + _with(plans, "balloon", 1):
        large, small = _draw(plan, 128, 5), _draw(plan, 64, 5)
        halved = large.frames.reshape(5, 64, 2, 64, 2, 3).mean((2, 4))
        assert np.abs(halved - small.frames).mean() < 1.5
        face = large.face[:, ::2, ::2]
        assert (face & small.face).sum() / (face | small.face).sum() > 0.93
        np.testing.assert_array_equal(large.openness, small.openness)


def test_eyes_close_at_times(bare: ClipPlan):
    clip = _draw(bare, size=128, frames=75)
    whites = ((clip.frames.min(-1) > 200) & (clip.features == 1)).sum((1, 2))
    assert whites.max() > 10 and whites.min() < 0.3 * whites.max()


# Errors


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: plan_clip(0, "training"), "split is 'training': use one of train, validation, test."),
        (lambda: render_clip(plan_clip(0), 0), "a clip of 0 frames at 128 pixels cannot be drawn"),
        (lambda: render_clip(plan_clip(0), 1, 8), "a clip of 1 frames at 8 pixels cannot be drawn"),
        (lambda: speak("hello", rate=450), "rate is 450: choose a whole number from 80 to 449."),
        (lambda: speak("hello", rate=79), "rate is 79: choose a whole number from 80 to 449."),
        (lambda: speak("hello", rate=165.0), "rate is 165.0: choose a whole number from 80 to 449."),
        (lambda: speak("hello", pitch=100), "pitch is 100: choose a whole number from 0 to 99."),
        (lambda: speak("hello", pitch_range=-1), "pitch_range is -1: choose a whole number from 0 to 99."),
        (lambda: speak_english("hello", 321), "rate is 321: choose a whole number from 80 to 320."),
        (lambda: speak("hello", "nobody"), "voice is 'nobody': use one of en-us+f1"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(call, expected: str):
    with pytest.raises(ValueError, match=re.escape(expected)) as error:
        call()
    assert str(error.value).count("\n") == 0
