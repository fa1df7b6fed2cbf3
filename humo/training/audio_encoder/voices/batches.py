"""What the student hears and what the bundled encoder heard: chunks of sound with the times that belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humo.timing import FPS, SAMPLE_RATE
from humo.training.audio_encoder.voices.data import Sentence
from humo.training.audio_encoder.voices.degradations import SPEECH_LEVEL, degrade, level, speak_larger, without_speech
from humo.world.visemes import REST, mouth_curves

SHUT = -1.0
"""Place in the teacher's chunk, in features, that stands for a mouth at rest."""
_MIN_PAUSE = 0.12
"""Seconds of a pause in which the mouth shuts although espeak-ng makes none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceBatchSettings:
    """Settings of the batches; all ours."""

    seconds: int = 6
    """Length of the encoder's chunk."""
    sentences: int = 4
    """Sentences a batch; the teacher hears each once."""
    versions: int = 3
    """Chunks in which the student hears each of them."""
    silent: int = 2
    """Further chunks in which nobody speaks."""
    clean_share: float = 0.22
    """Chunks that are heard as the teacher hears them."""
    other_share: float = 0.6
    """Of the rest, chunks in another voice than espeak-ng's."""
    larger_share: float = 0.7
    """Of the rest, chunks with formants, pitch and pace times a factor."""
    spoilt_share: float = 0.85
    """Of the rest, chunks that are spoilt."""
    largest: float = 1.25
    """Largest such factor; its inverse is the smallest."""

    @property
    def frames(self) -> int:
        """Features of a chunk, t."""
        return self.seconds * FPS

    @property
    def length(self) -> int:
        """Samples of a chunk."""
        return self.seconds * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class VoiceBatch:
    """A batch.

    Attributes:
        taught: what the teacher hears, float32 (sentences, samples).
        mouths: openness and width in it, float32 (sentences, t, 2).
        heard: what the student hears, float32 (b, samples).
        source: which of the teacher's chunks each belongs to, (b,).
        places: where in the teacher's chunk each feature is found, in features, or `SHUT`, float (b, t).
    """

    taught: np.ndarray
    mouths: np.ndarray
    heard: np.ndarray
    source: np.ndarray
    places: np.ndarray


def make_batch(seed: int, sentences: list[Sentence], settings: VoiceBatchSettings) -> VoiceBatch:
    """A batch of chunks; the same seed and sentences give the same."""
    rng = np.random.default_rng((6, seed))
    taught, mouths, heard, source, places = [], [], [], [], []
    for index, number in enumerate(rng.integers(len(sentences), size=settings.sentences)):
        sentence = sentences[number]
        shift = int(rng.integers(0, 16)) / FPS
        taught.append(_placed(_waveform(sentence.samples), shift, settings.length))
        duration = len(sentence.samples) / SAMPLE_RATE
        mouths.append(np.stack(mouth_curves(sentence.phonemes, duration, -shift, settings.frames), axis=-1))
        for _ in range(settings.versions):
            chunk, place = _version(sentence, shift, rng, settings)
            heard.append(chunk)
            places.append(place)
            source.append(index)
    for _ in range(settings.silent):
        heard.append(without_speech(rng, settings.length))
        places.append(np.full(settings.frames, SHUT))
        source.append(int(rng.integers(settings.sentences)))
    return VoiceBatch(np.stack(taught), np.stack(mouths), np.stack(heard), np.array(source), np.stack(places))


def _version(
    sentence: Sentence, shift: float, rng: np.random.Generator, settings: VoiceBatchSettings
) -> tuple[np.ndarray, np.ndarray]:
    """A chunk that says the sentence in some way, and where its features are found in the teacher's chunk."""
    times = base_times = np.array([0.0])
    pauses, samples = np.zeros((0, 2)), sentence.samples
    is_clean = rng.random() < settings.clean_share
    if not is_clean and sentence.others and rng.random() < settings.other_share:
        voice = sentence.others[rng.integers(len(sentence.others))]
        times, base_times, pauses, samples = voice.times, voice.base_times, voice.pauses, voice.samples
    waveform, factor = _waveform(samples), 1.0
    if not is_clean and rng.random() < settings.larger_share:
        largest = np.log(settings.largest)
        waveform, factor = speak_larger(waveform, float(np.exp(rng.uniform(-largest, largest))))
    offset = shift + int(rng.integers(-12, 13)) / FPS  # near the teacher's place, or begun in the middle of a word
    chunk = _placed(waveform, offset, settings.length)
    if not is_clean:
        chunk = degrade(chunk, rng) if rng.random() < settings.spoilt_share else chunk * _usual_level(chunk)
    end = settings.frames
    if rng.random() < 0.25:  # what follows is the silence of a short clip
        end = int(rng.integers(FPS, settings.frames + 1))
        chunk[end * SAMPLE_RATE // FPS :] = 0.0
    clock = ((np.arange(settings.frames) + 0.5) / FPS - offset) * factor  # in the voice's own time
    place = (np.interp(clock, *_extended(times, base_times)) + shift) * FPS - 0.5
    shut = (place < 0) | (place > settings.frames - 1) | (np.arange(settings.frames) >= end)
    for start, stop in pauses:
        gap = np.diff(np.interp((start, stop), *_extended(times, base_times)))[0]
        if stop - start >= _MIN_PAUSE and gap < _MIN_PAUSE / 2:
            shut |= (clock > start + 0.04) & (clock < stop - 0.04)
    return chunk, np.where(shut, SHUT, place)


def resting(mouths: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mouths (b, t, 2), at rest where a place (b, t) says so."""
    return np.where((places == SHUT)[..., None], np.array(REST, np.float32), mouths)


def _extended(times: np.ndarray, base_times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both go on at the same pace before and after."""
    return (
        np.concatenate([[times[0] - 100.0], times, [times[-1] + 100.0]]),
        np.concatenate([[base_times[0] - 100.0], base_times, [base_times[-1] + 100.0]]),
    )


def _waveform(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / 32767


def _placed(waveform: np.ndarray, offset: float, length: int) -> np.ndarray:
    """A chunk in which the waveform begins after so many seconds, before it if negative."""
    start = round(offset * SAMPLE_RATE)
    chunk = np.concatenate([np.zeros(max(start, 0), np.float32), waveform[max(-start, 0) :]])[:length]
    return np.pad(chunk, (0, length - len(chunk)))


def _usual_level(chunk: np.ndarray) -> float:
    return SPEECH_LEVEL / max(level(chunk), 1e-6)
