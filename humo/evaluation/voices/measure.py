"""How mini's mouths follow people's voices: `python -m humo evaluate --voices human`. All ours.

The truth of a recording are the phones of its known words, found by forced alignment, as mouth shapes of the world.
Beside each figure stand synthetic voices that say the same words, measured by the same truth; of espeak-ng's the world
also knows the exact one, so that one sees what the alignment costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from humo.evaluation import metrics
from humo.evaluation.cases import Case, make_case
from humo.evaluation.generation import GenerationSettings, generate
from humo.evaluation.judging import judge_mouths
from humo.evaluation.probes.networks import ProbeOutput, Probes
from humo.evaluation.voices import degradations as spoiling
from humo.evaluation.voices.recordings import BILABIALS, OPEN_VOWELS, Piece, Recording, cut_pieces, frames_of
from humo.media import Sound
from humo.media.loudness import level_sound
from humo.pipeline import HuMoPipeline
from humo.system.dtypes import dtype_name
from humo.system.fingerprint import fingerprint_pipeline
from humo.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from humo.world.alignment import Phone, align, as_phonemes
from humo.world.clips import Clip, ClipPlan, plan_clip, render_clip
from humo.world.hibari import speak_english
from humo.world.speech import VOICES, Speech, speak
from humo.world.visemes import mouth_curves

MODE = "TIA"
LEAST_FRAMES = 25
"""Shortest pieces: a pause and words around it."""
PAUSE_FRAMES = 15
"""Length of a pause that is put in."""
PAUSE_MARGIN = 3
"""Frames at either end of a pause in which the mouth may still move."""
PAUSE_NOISE = 20
"""Decibels that the noise lies under the voice where pauses are measured."""
_RATE = 165
"""Words a minute of the synthetic voices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceSettings:
    """What is measured."""

    num_pieces: int = 64
    """Pieces of recordings, at most."""
    seed: int = 0
    """Of the choice of pieces, of the drawn people and their noise."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said, as a case, and where its phones lie.

    Attributes:
        case: its clip has the sound and the mouth's true curves.
        bilabials: frames, with fractions, of p, b and m.
        open_vowels: frames of vowels at which the mouth is wide open.
    """

    case: Case
    bilabials: np.ndarray
    open_vowels: np.ndarray


def evaluate_voices(
    pipe: HuMoPipeline,
    probes: Probes,
    recordings: Sequence[Recording],
    settings: VoiceSettings,
    generation: GenerationSettings,
    folder: Path | None = None,
    music: spoiling.Music = spoiling.make_music,
) -> tuple[dict[str, Any], list[str]]:
    """Generates videos of recordings, of their spoilt forms and of synthetic voices, and reads their mouths.

    Args:
        pipe: the model.
        probes: trained.
        recordings: with their words; see `humo.evaluation.voices.recordings`.
        settings: what is measured.
        generation: how videos are generated.
        folder: where videos are kept and found again.
        music: gives so many samples of music.

    Returns:
        Plain data for report.json, and why which recordings were left out. "by_voice" has a row of figures by who
        speaks ("human", "espeak", "espeak_own" by its own phonemes, "hibari" where it is installed), "by_change" one
        by what was done to the recordings; "pauses" and "music" are how far the mouth is open while nobody speaks.

    Raises:
        ValueError: if the videos are too short, or too few recordings can be measured.
    """
    if generation.num_frames < LEAST_FRAMES:
        raise ValueError(
            f"num_frames is {generation.num_frames} but {LEAST_FRAMES} or more are needed for words and a pause."
        )
    with tqdm(desc="voices: aligning", total=len(recordings), unit="recording") as bar:
        pieces, left_out = cut_pieces(recordings, settings.num_pieces, generation.num_frames, settings.seed, bar.update)
        bar.total = bar.n
    human = [_hear_piece(index, piece, settings.seed, generation.size) for index, piece in enumerate(pieces)]

    def read(cases: Sequence[Case], title: str) -> list[ProbeOutput]:
        levelled = [_with_sound(case, _as_heard(case.clip.waveform, pipe.config.heard_level)) for case in cases]
        videos = generate(pipe, levelled, MODE, generation, folder, f"voices, {title}")
        return [probes.read(frames) for frames in videos]

    def row(heard: Sequence[Heard], title: str, change: spoiling.Change | None = None) -> dict[str, Any]:
        cases = [one.case for one in heard]
        if change is not None:
            changed = [change(case.clip.waveform, _chance(settings.seed, case.index)) for case in cases]
            cases = [_with_sound(case, sound) for case, sound in zip(cases, changed, strict=True)]
        return judge_voices(cases, heard, read(cases, title))

    by_voice = {"human": row(human, "human")}
    for name, heard in _synthetic(pieces, settings.seed, generation).items():
        by_voice[name] = row(heard, name)
    return {
        "by_voice": by_voice,
        "by_change": {name: row(human, name, change) for name, change in spoiling.changes(music).items()},
        "pauses": _pauses(pieces, human, settings.seed, lambda cases: read(cases, "pauses")),
        "music": _music(human, settings.seed, music, lambda cases: read(cases, "music alone")),
        "speakers": len({piece.recording.speaker for piece in pieces}),
        "settings": {
            **asdict(settings),
            **asdict(generation),
            "mode": MODE,
            "model": fingerprint_pipeline(pipe),
            "dtype": dtype_name(pipe.transformer.dtype),
        },
    }, left_out


def judge_voices(cases: Sequence[Case], heard: Sequence[Heard], readings: Sequence[ProbeOutput]) -> dict[str, Any]:
    """Lip sync with its controls, and how far the mouth is open at sounds that shut the lips and at open vowels.

    Args:
        cases: as generated; their clips have the truth.
        heard: the same, with the places of their phones.
        readings: of the videos.

    Returns:
        What `judge_mouths` tells, and "bilabials" and "open_vowels" (mean openness where they lie, no lag allowed),
        "told_apart" (share of all pairs of the two in which the vowel is more open; 0.5 is chance) with its interval,
        and "phones" (how many of each).
    """
    figures = {"pieces": len(cases), **judge_mouths(cases, readings)}
    shut = [_at(reading, one.bilabials) for one, reading in zip(heard, readings, strict=True)]
    wide = [_at(reading, one.open_vowels) for one, reading in zip(heard, readings, strict=True)]
    if not sum(map(len, shut)) or not sum(map(len, wide)):
        return figures

    def told_apart(index: np.ndarray) -> float:
        return share_above(np.concatenate([wide[i] for i in index]), np.concatenate([shut[i] for i in index]))

    return figures | {
        "bilabials": float(np.concatenate(shut).mean()),
        "open_vowels": float(np.concatenate(wide).mean()),
        "told_apart": told_apart(np.arange(len(cases))),
        "told_apart_interval": metrics.interval(told_apart, len(cases)),
        "phones": [sum(map(len, shut)), sum(map(len, wide))],
    }


def share_above(higher: np.ndarray, lower: np.ndarray) -> float:
    """Share of all pairs in which the first is above the second; ties count half, NaN without a pair."""
    if not len(higher) or not len(lower):
        return float("nan")
    difference = higher[:, None] - lower[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _at(reading: ProbeOutput, frames: np.ndarray) -> np.ndarray:
    """Openness at frames with fractions."""
    return np.interp(frames, np.arange(len(reading.openness)), reading.openness)


def _with_sound(case: Case, waveform: np.ndarray) -> Case:
    """The case with another sound of the same length, and the same truth."""
    return replace(case, clip=replace(case.clip, waveform=waveform.astype(np.float32)))


def _as_heard(waveform: np.ndarray, wanted: float | None) -> np.ndarray:
    """A sound at the level at which the model hears it, as where somebody brings it."""
    return level_sound(Sound(waveform, waveform[:, None], SAMPLE_RATE), wanted, []).waveform


def _chance(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng((33, seed, index))


def _plan(index: int, seed: int, text: str) -> ClipPlan:
    """A person of the test split who talks; the same one whatever voice is heard."""
    return replace(plan_clip(seed * 1_000_000 + index, "test"), distractor="none", sentence=text or "words")


def _hear_piece(index: int, piece: Piece, seed: int, size: int) -> Heard:
    clip = _render(_plan(index, seed, piece.text), piece.speech, piece.start, piece.num_frames, size)
    return Heard(make_case(index, clip, seed), piece.frames_of(BILABIALS), piece.frames_of(OPEN_VOWELS))


def _render(plan: ClipPlan, speech: Speech, start: float, num_frames: int, size: int) -> Clip:
    """The clip of a stretch of speech; unlike `render_clip`'s own, it begins where it is told to."""
    length, begin = num_frames * SAMPLES_PER_FRAME, round(start * SAMPLE_RATE)
    waveform = speech.waveform[begin : begin + length]
    waveform = np.pad(waveform, (0, length - len(waveform)))
    ends = [later for later, _ in speech.phonemes[1:]] + [speech.duration]
    timed = zip(speech.phonemes, ends, strict=False)  # none of a silence
    inside = tuple((max(time - start, 0.0), name) for (time, name), end in timed if end > start)
    clip = render_clip(plan, num_frames, size, Speech(waveform, inside))
    openness, width = mouth_curves(speech.phonemes, speech.duration, start, num_frames)  # exact from the first frame on
    return replace(clip, openness=openness, width=width)


def _synthetic(pieces: Sequence[Piece], seed: int, generation: GenerationSettings) -> dict[str, list[Heard]]:
    """The words of the pieces by synthetic voices; none of a piece whose words are not found in them."""

    def hear(index: int, text: str, speech: Speech, phones: Sequence[Phone]) -> Heard:
        clip = _render(_plan(index, seed, text), speech, 0.0, generation.num_frames, generation.size)
        places = [frames_of(phones, names, 0.0, generation.num_frames) for names in (BILABIALS, OPEN_VOWELS)]
        return Heard(make_case(index, clip, seed), *places)

    heard: dict[str, list[Heard]] = {"espeak": [], "espeak_own": [], "hibari": []}
    for index, text in ((index, piece.text) for index, piece in enumerate(pieces)):
        own = speak(text, VOICES[index % len(VOICES)], _RATE)
        if phones := _found(own.waveform, text):
            heard["espeak"].append(hear(index, text, Speech(own.waveform, as_phonemes(phones)), phones))
            heard["espeak_own"].append(hear(index, text, own, phones))
        natural = speak_english(text, _RATE) if find_spec("hibari") else np.zeros(0, np.float32)
        if phones := _found(natural, text):
            heard["hibari"].append(hear(index, text, Speech(natural, as_phonemes(phones)), phones))
    return {name: each for name, each in heard.items() if len(each) > 1}


def _found(waveform: np.ndarray, text: str) -> tuple[Phone, ...]:
    """The phones of a text, none where it has no words or they are not found."""
    try:
        return align(waveform, text) if text and len(waveform) else ()
    except ValueError:
        return ()


def _pauses(
    pieces: Sequence[Piece], human: Sequence[Heard], seed: int, read: Callable[[Sequence[Case]], list[ProbeOutput]]
) -> dict[str, Any]:
    """How far the mouth is open in a pause between two words, while a room's noise goes on."""
    cases, places = [], []
    for piece, one in zip(pieces, human, strict=True):
        waveform = one.case.clip.waveform
        at = _between_words(piece)
        paused = spoiling.with_pause(waveform, at * SAMPLES_PER_FRAME, PAUSE_FRAMES * SAMPLES_PER_FRAME)
        noisy = spoiling.room_noise(paused, _chance(seed, one.case.index), PAUSE_NOISE)
        cases.append(_with_sound(one.case, noisy))
        places.append(slice(at + PAUSE_MARGIN, at + PAUSE_FRAMES - PAUSE_MARGIN))
    readings = read(cases)
    each = [float(reading.openness[place].mean()) for reading, place in zip(readings, places, strict=True)]
    return _mean(each)


def _between_words(piece: Piece) -> int:
    """Frame of the piece at which a word ends, that nearest to the place for a pause in its middle."""
    middle = (piece.num_frames - PAUSE_FRAMES) / 2
    ends = [
        (before.end - piece.start) * FPS
        for before, after in zip(piece.phones, piece.phones[1:], strict=False)
        if before.index != after.index
    ]
    allowed = [end for end in ends if 1 <= end <= piece.num_frames - PAUSE_FRAMES]
    return round(float(min(allowed, key=lambda end: abs(end - middle), default=middle)))


def _music(
    human: Sequence[Heard],
    seed: int,
    music: spoiling.Music,
    read: Callable[[Sequence[Case]], list[ProbeOutput]],
) -> dict[str, Any]:
    """How far the mouth is open while music plays and nobody speaks."""
    sounds = [music(_chance(seed, one.case.index), len(one.case.clip.waveform)) for one in human]
    readings = read([_with_sound(one.case, sound) for one, sound in zip(human, sounds, strict=True)])
    return _mean([float(reading.openness.mean()) for reading in readings])


def _mean(each: Sequence[float]) -> dict[str, Any]:
    values = np.array(each)
    return {
        "openness": float(values.mean()),
        "openness_interval": metrics.interval(lambda index: float(values[index].mean()), len(values)),
    }
