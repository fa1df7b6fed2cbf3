"""Music for the training: chords, a tune, a bass and drums, made up. Nobody speaks in it, so the mouth stays shut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import butter, sosfilt

from humo.timing import SAMPLE_RATE

SECONDS = 12.0
"""Length of a piece."""
PIECES = 48
"""Different pieces; one takes about a tenth of a second to make and 0.8 MB to keep."""
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))


def music(rng: np.random.Generator, length: int) -> np.ndarray:
    """A part of a piece, float32 (length,) at 16 kHz, with a root mean square of 1 over the piece."""
    piece = _piece(int(rng.integers(PIECES)))
    start = int(rng.integers(len(piece)))
    return np.take(piece, range(start, start + length), mode="wrap")


@lru_cache(maxsize=PIECES)
def _piece(seed: int) -> np.ndarray:
    rng = np.random.default_rng((5, seed))
    sound = np.zeros(int(SECONDS * SAMPLE_RATE), np.float32)
    beat = 60.0 / rng.uniform(70, 150)
    key, scale = int(rng.integers(48, 60)), _SCALES[rng.integers(len(_SCALES))]
    timbres = [_timbre(rng) for _ in range(3)]
    has_tune, has_drums, has_bass = rng.random(3) < (0.8, 0.6, 0.6)
    degree = 0
    for number in range(int(SECONDS / beat)):
        start = number * beat
        if number % 4 == 0:
            degree = int(rng.integers(len(scale)))
            for step in (0, 2, 4):
                _add(sound, start, 4 * beat, _pitch(key, scale, degree + step), 0.35, timbres[0], rng)
        if has_bass and number % 2 == 0:
            _add(sound, start, 2 * beat, _pitch(key - 24, scale, degree), 0.6, timbres[1], rng)
        for half in range(2 if has_tune else 0):
            if rng.random() < 0.7:
                note = _pitch(key + 12, scale, int(rng.integers(0, 2 * len(scale))))
                _add(sound, start + half * beat / 2, beat * rng.choice((0.5, 1.0)), note, 0.6, timbres[2], rng)
        if has_drums:
            _drum(sound, start, number % 2 == 1, rng)
            _drum(sound, start + beat / 2, True, rng)
    return (sound / (np.sqrt((sound**2).mean()) + 1e-9)).astype(np.float32)


def _timbre(rng: np.random.Generator) -> tuple[np.ndarray, float, float, float]:
    """Strengths of the harmonics, seconds to rise and to fade, and depth of a vibrato."""
    harmonics = np.arange(1, 13) ** -rng.uniform(0.5, 2.5) * rng.uniform(0.2, 1.0, 12)
    if rng.random() < 0.3:
        harmonics[1::2] *= 0.1
    return (
        harmonics,
        float(10 ** rng.uniform(-2.5, -0.7)),
        float(10 ** rng.uniform(-0.8, 0.8)),
        float(rng.uniform(0, 0.01) * (rng.random() < 0.4)),
    )


def _pitch(key: int, scale: tuple[int, ...], degree: int) -> float:
    """Hz of a note of the scale."""
    octave, step = divmod(degree, len(scale))
    return 440.0 * 2 ** ((key + 12 * octave + scale[step] - 69) / 12)


def _add(
    sound: np.ndarray,
    start: float,
    seconds: float,
    pitch: float,
    strength: float,
    timbre: tuple[np.ndarray, float, float, float],
    rng: np.random.Generator,
) -> None:
    first = int(start * SAMPLE_RATE)
    clock = np.arange(min(int(seconds * SAMPLE_RATE), len(sound) - first)) / SAMPLE_RATE
    if not len(clock):
        return
    harmonics, rise, fade, vibrato = timbre
    phase = 2 * np.pi * pitch * (clock - vibrato / (2 * np.pi * 5.5) * np.cos(2 * np.pi * 5.5 * clock))
    tone = np.zeros(len(clock))
    for number, weight in enumerate(harmonics, 1):
        if number * pitch < 0.45 * SAMPLE_RATE:
            tone += weight * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
    shape = np.minimum(clock / rise, 1.0) * np.exp(-clock / fade) * np.minimum((clock[-1] - clock) / 0.02, 1.0)
    sound[first : first + len(clock)] += (strength * shape * tone / np.sqrt((harmonics**2).sum())).astype(np.float32)


def _drum(sound: np.ndarray, start: float, is_high: bool, rng: np.random.Generator) -> None:
    first = int(start * SAMPLE_RATE)
    clock = np.arange(min(int(0.25 * SAMPLE_RATE), len(sound) - first)) / SAMPLE_RATE
    if not len(clock):
        return
    if is_high:
        band = butter(2, (rng.uniform(800, 3000), 7500), "band", fs=SAMPLE_RATE, output="sos")
        hit = sosfilt(band, rng.standard_normal(len(clock))) * np.exp(-clock / rng.uniform(0.02, 0.08))
    else:
        hit = 1.5 * np.sin(2 * np.pi * (50 * clock + 4 * (1 - np.exp(-clock * 30)))) * np.exp(-clock / 0.1)
    sound[first : first + len(clock)] += hit.astype(np.float32)
