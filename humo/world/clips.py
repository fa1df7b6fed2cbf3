"""Clips of the world: who, what, how and with which voice, all from a seed; and their rendering.

A clip has everything that HuMo's training triplets have, exactly: frames, caption, cross-paired reference picture,
sound, face mask and the true mouth curves. Some clips hold a distractor (a second, silent person or a balloon with a
painted face), so that "which region does the sound drive?" is a real question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from humo.timing import FPS, SAMPLE_RATE
from humo.world.captions import write_caption
from humo.world.drawing import Pose, draw_background, draw_distractor, draw_person
from humo.world.people import (
    COLOURS,
    FRAMINGS,
    POSITIONS,
    Person,
    Setting,
    change_clothes,
    sample_cast,
    sample_person,
)
from humo.world.sentences import sample_sentence
from humo.world.shapes import Scene
from humo.world.speech import VOICES, Speech, speak
from humo.world.visemes import mouth_curves

_SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Voice:
    """How a sentence is spoken: espeak-ng voice, words a minute, pitch and its range."""

    name: str
    rate: int
    pitch: int
    pitch_range: int


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Everything about a clip but its pixels and samples.

    Attributes:
        seed: of the movement.
        person, setting: who and where.
        reference_setting: clothes and background of the reference picture.
        sentence: what is said; "" for a silent clip.
        voice: how.
        distractor: "none", "second" or "balloon".
        held_out: whether the clip belongs to the test split.
    """

    seed: int
    person: Person
    setting: Setting
    reference_setting: Setting
    sentence: str
    voice: Voice
    distractor: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered clip.

    Attributes:
        plan: what it shows.
        frames: (f, s, s, 3) uint8.
        face: exact face mask, (f, s, s) bool.
        features: areas of the mouth (2) and the eyes (1), (f, s, s) uint8; losses and measurements weigh them.
        reference: (s, s, 3) uint8, the same person in other clothes.
        waveform: float32 mono at 16 kHz, as long as the frames.
        openness: of the mouth, (f,) in 0..1.
        width: of the mouth, (f,) in 0..1.
    """

    plan: ClipPlan
    frames: np.ndarray
    face: np.ndarray
    features: np.ndarray
    reference: np.ndarray
    waveform: np.ndarray
    openness: np.ndarray
    width: np.ndarray

    def caption(self, rng: np.random.Generator, name_person: bool = True, detail: float = 0.85) -> str:
        """A caption in fresh words; without `name_person` the looks are left to the reference."""
        plan = self.plan
        person = plan.person if name_person else None
        return write_caption(rng, person, plan.setting, bool(plan.sentence), plan.distractor, detail)


def plan_clip(seed: int, split: str = "train") -> ClipPlan:
    """Plans a clip.

    Args:
        seed: of the clip; the same seed and split give the same clip everywhere.
        split: "train", "validation" or "test". The last has people, outfits and sentences that the others never have.

    Raises:
        ValueError: if the split is unknown.
    """
    if split not in _SPLITS:
        raise ValueError(f"split is {split!r}: use one of {', '.join(_SPLITS)}.")
    rng = np.random.default_rng((_SPLITS[split], seed))
    held_out = split == "test"
    person, setting = sample_cast(rng, held_out)
    gendered = [name for name in VOICES if f"+{'f' if person.gender == 'woman' else 'm'}" in name]
    voice = Voice(
        gendered[rng.integers(len(gendered))], int(rng.integers(120, 200)), int(rng.integers(25, 76)),
        int(rng.integers(30, 80)),
    )  # fmt: skip
    sentence = "" if rng.random() < 0.06 else sample_sentence(rng, held_out)
    distractor = str(rng.choice(("none", "second", "balloon"), p=(0.76, 0.12, 0.12)))
    if distractor == "second":
        setting = replace(setting, framing="wide", position=str(rng.choice(("left", "right"))))
    reference = change_clothes(rng, setting)
    return ClipPlan(int(rng.integers(2**31)), person, setting, reference, sentence, voice, distractor, held_out)


def speak_plan(plan: ClipPlan) -> Speech:
    """The speech of a clip; silence for a clip in which nobody talks."""
    if not plan.sentence:
        return Speech(np.zeros(SAMPLE_RATE, np.float32), ())
    voice = plan.voice
    return speak(plan.sentence, voice.name, voice.rate, voice.pitch, voice.pitch_range)


def render_clip(plan: ClipPlan, num_frames: int = 49, size: int = 128, speech: Speech | None = None) -> Clip:
    """Renders a clip with its sound.

    Args:
        plan: from `plan_clip`.
        num_frames: frames at 25 a second.
        size: side in pixels.
        speech: what is said; by default the plan's own sentence. The clip begins somewhere in its first part, and
            silence follows its end.

    Raises:
        ValueError: if size or num_frames is not positive.
    """
    if num_frames < 1 or size < 16:
        raise ValueError(
            f"a clip of {num_frames} frames at {size} pixels cannot be drawn: use 1 or more at 16 or more."
        )
    rng = np.random.default_rng(plan.seed)
    speech = speak_plan(plan) if speech is None else speech
    slack = max(0.0, speech.duration - num_frames / FPS)
    start = int(rng.uniform(0.0, min(slack, 2.0)) * FPS) / FPS
    waveform = _cut(speech.waveform, round(start * SAMPLE_RATE), round(num_frames / FPS * SAMPLE_RATE))
    openness, width = mouth_curves(speech.phonemes, speech.duration, start, num_frames)
    pose = move(rng, plan.setting.motion, openness, width)
    frames, face, features = draw_clip(plan, pose, size, rng)
    still = move(rng, "still", np.zeros(1, np.float32), np.full(1, 0.5, np.float32), blinks=False)
    reference = draw_reference(plan, still, size, rng)
    return Clip(plan, frames, face, features, reference, waveform, openness, width)


def _cut(waveform: np.ndarray, start: int, length: int) -> np.ndarray:
    """Samples from start on, padded with silence to length."""
    piece = waveform[start : start + length]
    return np.pad(piece, (0, length - len(piece)))


def move(rng: np.random.Generator, motion: str, openness: np.ndarray, width: np.ndarray, blinks: bool = True) -> Pose:
    """Movement of head and eyes around given mouth curves.

    Motions are gentle on purpose: nods and shakes of a twentieth of the head, about one a second, so that mouth and
    eyes are the main movers.
    """
    frames = len(openness)
    time = np.arange(frames) / FPS
    wave = np.sin(2 * np.pi * (time * rng.uniform(0.8, 1.15) + rng.random()))
    drift = 0.25 * np.sin(2 * np.pi * (time * rng.uniform(0.15, 0.3) + rng.random()))
    nod = wave if motion == "nods" else drift
    turn = wave if motion == "shakes" else drift[::-1]
    sway = 0.14 * wave if motion == "sways" else np.zeros(frames)
    blink = np.zeros(frames)
    if blinks:
        moment = rng.uniform(0.2, 1.5)
        while moment < time[-1] + 0.2:
            blink = np.maximum(blink, np.clip(1.5 - np.abs(time - moment) / 0.07, 0.0, 1.0))
            moment += rng.uniform(0.9, 2.4)
    looks = rng.uniform(-1.0, 1.0, frames // 12 + 2)
    gaze = np.interp(np.arange(frames), np.arange(len(looks)) * 12, looks) if blinks else np.zeros(frames)
    return Pose(openness, width, blink, 0.6 * gaze, sway, turn, nod)


def draw_clip(
    plan: ClipPlan, pose: Pose, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws the frames, the exact mask of the speaker's face and the areas of mouth and eyes, as in `Clip`."""
    frames = len(pose.openness)
    background = draw_background(plan.setting, rng.random()).paint(np.zeros((1, size, size, 3), np.float32))
    scene = Scene(frames)
    radius = FRAMINGS[plan.setting.framing] * rng.uniform(0.95, 1.05)
    centre = (POSITIONS[plan.setting.position] + rng.uniform(-0.02, 0.02), 0.5 - 0.25 * radius)
    if plan.distractor == "second":
        _draw_second(scene, plan, frames, rng)
        centre = (0.31 if plan.setting.position == "left" else 0.69, 0.5)
    shapes = draw_person(scene, plan.person, plan.setting, pose, centre, radius)
    if plan.distractor == "balloon":
        _draw_balloon(scene, plan, frames, rng)
    canvas = np.repeat(background, frames, 0)
    mouth, eyes = scene.coverage(shapes.mouth, size) > 0.5, scene.coverage(shapes.eyes, size) > 0.5
    features = np.where(mouth, 2, np.where(eyes, 1, 0)).astype(np.uint8)
    return _to_bytes(scene.paint(canvas)), scene.coverage(shapes.face, size) > 0.5, features


def _draw_second(scene: Scene, plan: ClipPlan, frames: int, rng: np.random.Generator) -> None:
    """A silent listener on the other side, at the same height and size as the speaker."""
    other = sample_person(rng)
    setting = change_clothes(rng, plan.setting)
    pose = move(rng, "still", np.zeros(frames, np.float32), np.full(frames, 0.5, np.float32))
    x = 0.72 if plan.setting.position == "left" else 0.28
    draw_person(scene, other, setting, pose, (x, 0.52), FRAMINGS["wide"] * rng.uniform(0.85, 1.0))


def _draw_balloon(scene: Scene, plan: ClipPlan, frames: int, rng: np.random.Generator) -> None:
    side = {"left": 0.86, "right": 0.14}.get(plan.setting.position, rng.choice((0.1, 0.9)))
    time = np.arange(frames) / FPS
    x = side + 0.02 * np.sin(2 * np.pi * (0.4 * time + rng.random()))
    y = rng.uniform(0.2, 0.35) + 0.04 * np.sin(2 * np.pi * (0.5 * time + rng.random()))
    draw_distractor(scene, list(COLOURS.values())[rng.integers(len(COLOURS))], x, y, 0.09)


def draw_reference(plan: ClipPlan, pose: Pose, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the reference picture, (s, s, 3) uint8: the same person, other clothes, background and place."""
    background = draw_background(plan.reference_setting, rng.random())
    canvas = background.paint(np.zeros((1, size, size, 3), np.float32))
    scene = Scene(1)
    radius = FRAMINGS[plan.reference_setting.framing] * rng.uniform(0.95, 1.05)
    x = POSITIONS[plan.reference_setting.position] + rng.uniform(-0.02, 0.02)
    draw_person(scene, plan.person, plan.reference_setting, pose, (x, 0.5 - 0.25 * radius), radius)
    return _to_bytes(scene.paint(canvas))[0]


def _to_bytes(frames: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)
