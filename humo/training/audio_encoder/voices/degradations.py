"""Ways in which a recording is worse than a synthesiser's voice. Each leaves length and times as they are. Ours."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, resample_poly, sosfilt

from humo.timing import SAMPLE_RATE
from humo.training.audio_encoder.voices.music import music

SPEECH_LEVEL = 0.08
"""Root mean square of the voices, of what sounds in them."""


def degrade(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voice (samples,) in another colour, a room, a telephone, clipped, in noise or music, at another level."""
    sound = _colour(waveform, rng) if rng.random() < 0.5 else waveform
    if rng.random() < 0.3:
        sound = _room(sound, rng)
    if rng.random() < 0.1:
        sound = _clip(sound, rng)
    kind = rng.random()
    if kind < 0.4:
        sound = mixed(sound, noise(rng, len(sound)), rng.uniform(3, 35))
    elif kind < 0.55:
        sound = mixed(sound, music(rng, len(sound)), rng.uniform(3, 25))
    if rng.random() < 0.15:
        sound = telephone(sound, rng)
    gain = SPEECH_LEVEL * 10 ** (rng.uniform(-30, 8) / 20) / max(level(sound), 1e-6)
    return np.clip(gain * sound, -1.0, 1.0).astype(np.float32)


def without_speech(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise, music or both, (length,) at any level, sometimes with gaps, or nothing at all: nobody speaks."""
    if rng.random() < 0.05:
        return np.zeros(length, np.float32)
    sound: np.ndarray = np.zeros(length, np.float32)
    kind = rng.random()
    if kind < 0.6:
        sound = sound + music(rng, length)
    if kind > 0.5:
        sound = sound + noise(rng, length) * 10 ** rng.uniform(-1, 0.3)
    if rng.random() < 0.3:
        start, stop = np.sort(rng.integers(0, length, 2))
        sound[start:stop] = 0
    if rng.random() < 0.2:
        sound = telephone(sound, rng)
    return np.clip(sound * 10 ** (rng.uniform(-60, -12) / 20) / max(level(sound), 1e-6), -1.0, 1.0).astype(np.float32)


def speak_larger(waveform: np.ndarray, factor: float) -> tuple[np.ndarray, float]:
    """Formants, pitch and pace times a factor, by resampling; returns the factor that came out, too."""
    fraction = Fraction(factor).limit_denominator(40)
    resampled = resample_poly(waveform, fraction.denominator, fraction.numerator)
    return resampled.astype(np.float32), float(fraction)


def level(waveform: np.ndarray) -> float:
    """Root mean square of what sounds."""
    sounding = waveform[np.abs(waveform) > 0.02 * np.abs(waveform).max(initial=0.0)]
    return float(np.sqrt((sounding.astype(np.float64) ** 2).mean())) if len(sounding) else 0.0


def mixed(waveform: np.ndarray, other: np.ndarray, decibels: float) -> np.ndarray:
    """A voice with another sound, (samples,) both, that lies so many decibels below it."""
    scale = level(waveform) / max(float(np.sqrt((other**2).mean())), 1e-9) * 10 ** (-decibels / 20)
    return (waveform + np.float32(scale) * other).astype(np.float32)


def noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """White, pink or browner noise, in one case of four swelling, in another with the mains' hum."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20.0) ** rng.uniform(0.0, 1.0)
    sound = np.fft.irfft(spectrum, length)
    sound /= np.sqrt((sound**2).mean()) + 1e-9
    clock = np.arange(length) / SAMPLE_RATE
    kind = rng.random()
    if kind < 0.25:
        sound *= 1.0 + 0.9 * np.sin(2 * np.pi * (rng.uniform(0.2, 4.0) * clock + rng.random()))
    elif kind < 0.5:
        pitch = rng.choice((50.0, 60.0, rng.uniform(40, 400)))
        hum = sum(np.sin(2 * np.pi * pitch * k * clock + rng.uniform(0, 6)) / k for k in range(1, 8))
        sound += rng.uniform(0.2, 2.0) * hum
    return sound.astype(np.float32)


def telephone(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """300 to 3400 Hz, more or less."""
    band = (rng.uniform(200, 400), rng.uniform(2800, 3800))
    return sosfilt(butter(int(rng.integers(2, 6)), band, "band", fs=SAMPLE_RATE, output="sos"), waveform)


def _colour(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tilt = rng.uniform(-0.6, 0.7)
    sound = lfilter([1.0], [1.0, -tilt], waveform) if tilt > 0 else lfilter([1.0, tilt], [1.0], waveform)
    if rng.random() < 0.3:
        band = butter(1, rng.uniform(100, 400), "high", fs=SAMPLE_RATE, output="sos")
        sound = sosfilt(band, sound)
    return sound


def _room(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The direct sound, and a tail of noise that dies away within 0.15 to 1.1 s."""
    seconds = rng.uniform(0.15, 1.1)
    clock = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(clock)) * 10 ** (-3 * clock / seconds)
    tail[: int(rng.uniform(0.001, 0.008) * SAMPLE_RATE)] = 0
    tail /= np.sqrt((tail**2).sum()) + 1e-9
    tail[0] += rng.uniform(0.7, 2.5)
    return fftconvolve(waveform, tail)[: len(waveform)].astype(np.float32)


def _clip(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    peak = np.abs(waveform).max(initial=1e-6) * rng.uniform(0.08, 0.5)
    return np.clip(waveform, -peak, peak)
