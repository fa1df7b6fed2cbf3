"""Sentences said by espeak-ng and by other voices, with the times at which they say the same; made once, in shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from humo.system.files import atomic_write
from humo.timing import SAMPLE_RATE
from humo.training.audio_encoder.voices.matching import matching_times
from humo.training.audio_encoder.voices.sentences import voice_sentence
from humo.training.audio_encoder.voices.synthesizers import HIBARI, available_voices, say
from humo.training.background import begin_alone
from humo.world.alignment import SHIFT, Phone, align, as_phonemes
from humo.world.clips import plan_clip, speak_plan
from humo.world.sentences import sample_sentence
from humo.world.speech import VOICES, speak

MAX_SECONDS = 5.0
"""Of a voice; with that much, silence follows in the encoder's chunk of 6 s."""
_MIN_SCORE = -60.0
"""Mean score of the aligner below which a voice does not say the sentence, or says it in another way."""
_PAUSE = 0.06
"""Seconds from which on a pause counts."""
SHARD = 25
"""Sentences a file."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A sentence in another voice.

    Attributes:
        name: of the voice.
        samples: int16 mono at 16 kHz.
        times: seconds in the waveform, ascending, (n,).
        base_times: seconds at which espeak-ng's waveform has come as far, (n,).
        pauses: (start, end) of silences in the waveform, seconds, (m, 2).
    """

    name: str
    samples: np.ndarray
    times: np.ndarray
    base_times: np.ndarray
    pauses: np.ndarray


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as espeak-ng says it, and other voices.

    Attributes:
        text: what is said.
        samples: espeak-ng's, int16 mono at 16 kHz.
        phonemes: espeak-ng's, as in `humo.world.speech.Speech`.
        others: further voices.
    """

    text: str
    samples: np.ndarray
    phonemes: tuple[tuple[float, str], ...]
    others: tuple[Voice, ...]


def make_sentence(seed: int, voices: list[str], others: int = 3) -> Sentence | None:
    """A sentence in espeak-ng's voice and in some of the others; None where espeak-ng's is too long or silent.

    Every other sentence is one of the world's, as the world says it, in espeak-ng's voice alone. Voices that fail,
    in which the sentence is too long or cannot be aligned, are left out.
    """
    if seed % 2:
        plan = plan_clip(seed)
        speech = speak_plan(plan)
        if not plan.sentence or speech.duration > MAX_SECONDS:
            return None
        return Sentence(plan.sentence, _to_int16(speech.waveform), speech.phonemes, ())
    rng = np.random.default_rng((4, seed))
    text = sample_sentence(rng) if rng.random() < 0.2 else voice_sentence(rng)
    american = [name for name in VOICES if name.startswith("en-us")]  # the other voices are, and so is the dictionary
    speech = speak(
        text, american[rng.integers(len(american))], int(rng.integers(120, 200)), int(rng.integers(25, 76)),
        int(rng.integers(30, 80)),
    )  # fmt: skip
    if speech.duration > MAX_SECONDS:
        return None
    chosen = [name for name in voices if name == HIBARI]
    rest = [name for name in voices if name != HIBARI]
    chosen += list(rng.permutation(rest)[: max(0, others - len(chosen))])
    said = []
    for name in chosen:
        try:
            waveform = say(text, name, rng)
        except ValueError:
            continue
        phones = _align(waveform, text) if len(waveform) <= MAX_SECONDS * SAMPLE_RATE else None
        if phones is not None:
            times, base_times = matching_times(as_phonemes(phones), speech.phonemes)
            pauses = [(phone.start + SHIFT, phone.end + SHIFT) for phone in phones if _is_pause(phone)]
            said.append(
                Voice(str(name), _to_int16(waveform), times, base_times, np.array(pauses, np.float64).reshape(-1, 2))
            )
    return Sentence(text, _to_int16(speech.waveform), speech.phonemes, tuple(said))


def _is_pause(phone: Phone) -> bool:
    return phone.name == "SIL" and phone.end - phone.start >= _PAUSE


def _align(waveform: np.ndarray, text: str) -> tuple[Phone, ...] | None:
    try:
        phones = align(waveform, text)
    except ValueError:
        return None
    scores = [phone.score for phone in phones if phone.name != "SIL"]
    return phones if np.mean(scores) > _MIN_SCORE else None


def write_sentences(folder: Path, sentences: int, workers: int = 1) -> Iterator[Path]:
    """Writes the sentences that are not there yet, shard by shard; yields each finished file.

    Raises:
        ValueError: if no other voice than espeak-ng's is installed.
    """
    voices = available_voices()
    if not voices:
        raise ValueError("no other voice is installed: pip install hibari-tts, or install flite or festival.")
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [number for number in range(-(-sentences // SHARD)) if not _path(folder, number).exists()]
    make = partial(_write_shard, folder, voices)
    if workers < 2:
        yield from map(make, numbers)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), begin_alone) as pool:
        yield from pool.map(make, numbers)


def read_sentences(folder: Path) -> list[Sentence]:
    """The sentences of all shards that are there, in order.

    Raises:
        ValueError: if there is none.
    """
    paths = sorted(folder.glob("sentences-*.npz"))
    if not paths:
        raise ValueError(f"{folder} has no sentences: `python -m humo train voices` makes them.")
    return [sentence for path in paths for sentence in _read_shard(path)]


def count_shards(folder: Path) -> int:
    """Shards that are there."""
    return len(list(folder.glob("sentences-*.npz")))


def _path(folder: Path, number: int) -> Path:
    return folder / f"sentences-{number:04d}.npz"


def _write_shard(folder: Path, voices: list[str], number: int) -> Path:
    made = (make_sentence(seed, voices) for seed in range(number * SHARD, (number + 1) * SHARD))
    rows, arrays = [], dict[str, Any]()

    def keep(array: np.ndarray) -> int:
        arrays[f"a{len(arrays)}"] = array
        return len(arrays) - 1

    for sentence in made:
        if sentence is not None:
            others = [
                [each.name, keep(each.samples), keep(each.times), keep(each.base_times), keep(each.pauses)]
                for each in sentence.others
            ]
            rows.append([sentence.text, keep(sentence.samples), list(sentence.phonemes), others])
    path = _path(folder, number)
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, rows=np.array(json.dumps(rows)), **arrays)
    return path


def _read_shard(path: Path) -> list[Sentence]:
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    rows = json.loads(str(kept["rows"]))
    return [
        Sentence(
            text,
            kept[f"a{wave}"],
            tuple((start, name) for start, name in phonemes),
            tuple(
                Voice(name, kept[f"a{own}"], kept[f"a{times}"], kept[f"a{base}"], kept[f"a{pauses}"])
                for name, own, times, base, pauses in others
            ),
        )
        for text, wave, phonemes, others in rows
    ]


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    return np.clip(np.round(waveform * 32767), -32768, 32767).astype(np.int16)
