"""A sound that is like speech, and how it comes out of a file: when it starts and ends, how loud, how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from humo.media import SAMPLE_RATE, read_sound

SECONDS = 1.6
"""Of the voice."""
BASE = 48_000
"""Hz at which it is made."""
LATEST, LOUDEST = 0.02, 1.0
"""Seconds and decibels by which what is heard may be beside the truth."""
ALIKE = 0.6
"""Correlation from which it is the voice that is heard, and not noise: the poorest coding for speech has 0.8."""
PIECE = 0.5
"""Seconds of the voice's beginning and end that are sought."""
RMS = 0.1
_SYLLABLES = ((0.2, 0.08), (0.42, 0.1), (0.7, 0.09), (0.95, 0.07), (1.15, 0.1), (1.4, 0.08))
"""Middle and half of the length, seconds."""
_FORMANTS = ((1.0, 600, 150, 3.1, 180), (0.6, 1_300, 300, 2.2, 250), (0.4, 2_400, 0, 0, 300))
"""Loudness, Hz, by how much it moves, how often a second, and width."""


@cache
def voice(rate: int = BASE, seed: int = 0) -> np.ndarray:
    """Syllables of a gliding voice between 300 and 3,000 Hz, which every coding keeps, float32 (samples,)."""
    time = np.arange(round(SECONDS * BASE)) / BASE
    pitch = 130 + 10 * seed + 35 * np.sin(5.7 * time + seed) + 20 * np.sin(14.5 * time + 1) + 30 * time
    phase, sound = 2 * np.pi * np.cumsum(pitch) / BASE, np.zeros(len(time))
    for number in range(2, 30):
        loud = sum(
            gain * np.exp(-(((number * pitch - place - moves * np.sin(2 * np.pi * often * time)) / width) ** 2))
            for gain, place, moves, often, width in _FORMANTS
        )
        sound += loud * (np.abs(number * pitch - 1_650) < 1_350) * np.sin(number * phase + number**2)
    sound *= sum(np.exp(-(((time - middle) / half) ** 4)) for middle, half in _SYLLABLES)
    sound *= RMS / np.sqrt(np.mean(sound**2))
    if rate != BASE:
        common = gcd(rate, BASE)
        sound = resample_poly(sound, rate // common, BASE // common)
    return sound.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a file."""

    voices: tuple[tuple[int, float], ...] = ((0, 0.0),)
    """Seed and start of each voice, seconds."""
    seconds: float = SECONDS
    """Of all, after which only a coding's last frame may follow."""
    gain: float = 0.0
    """Decibels by which the voice is quieter than it was made, by how the file's channels are."""
    slack: float = 0.0
    """Seconds by which a later voice may be late, for the frame before it is filled up."""
    least: float | None = None
    """Seconds up to which at least something is heard, of a file that is cut off; `seconds` is the most."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What comes out of a file."""

    truth: Truth
    """What should."""
    lags: tuple[float, ...]
    """Seconds by which each sought piece is late: beginning and end of each voice."""
    alike: float
    """Least correlation of a piece with the true one."""
    decibels: float
    """By which it is louder than it should be."""
    longer: float
    """Seconds by which it is longer."""


def hear(path: Path, truth: Truth) -> Heard | str:
    """Read a file and compare; or the refusal's sentence."""
    try:
        read = read_sound(path)
    except ValueError as error:
        return str(error)
    whole = _whole(truth)
    if truth.least is not None:  # cut off anywhere in between: what is there counts
        whole = whole[: len(read.waveform)]
    lags, alike = [], []
    for begin, piece in _pieces(truth, len(whole)):
        lag, correlation = _found(read.waveform, piece, begin)
        lags.append(lag / SAMPLE_RATE)
        alike.append(correlation)
    loud = 10 * np.log10((_energy(read.waveform) + 1e-12) / (_energy(whole) + 1e-12)) - truth.gain
    return Heard(truth, tuple(lags), min(alike), float(loud), read.duration - truth.seconds)


def _whole(truth: Truth) -> np.ndarray:
    """What should be heard, at 16 kHz."""
    whole = np.zeros(round(truth.seconds * SAMPLE_RATE) + 1, np.float32)
    for seed, start in truth.voices:
        begin, sound = round(start * SAMPLE_RATE), voice(SAMPLE_RATE, seed)
        part = whole[begin : begin + len(sound)]
        part += sound[: len(part)]
    return whole


def _pieces(truth: Truth, length: int) -> list[tuple[int, np.ndarray]]:
    """Beginnings and ends of the voices, and where they should be."""
    pieces, size = [], round(PIECE * SAMPLE_RATE)
    for seed, start in truth.voices:
        begin, sound = round(start * SAMPLE_RATE), voice(SAMPLE_RATE, seed)
        sound = sound[: max(0, length - begin)]
        if len(sound) > size:
            pieces += [(begin, sound[:size]), (begin + len(sound) - size, sound[-size:])]
    return pieces


def _found(heard: np.ndarray, piece: np.ndarray, begin: int) -> tuple[int, float]:
    """By how many samples a piece is late, and how alike it is, upside down or not."""
    heard = np.pad(heard, len(piece))  # it may be early, or cut off
    size = 1 << (len(heard) + len(piece)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(piece, size)), size)[: len(heard)]
    place = int(np.abs(products).argmax())
    there = heard[place : place + len(piece)]
    alike = abs(products[place]) / np.sqrt(_energy(there) * _energy(piece) + 1e-20)
    return place - len(piece) - begin, float(alike)


def _energy(sound: np.ndarray) -> float:
    return float(np.square(sound, dtype=np.float64).sum())
