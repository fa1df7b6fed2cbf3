"""Mel-frequency cepstral coefficients as SyncNet hears them.

Twelve shapes of the spectrum and the log energy, a hundred times a second: pre-emphasis 0.97, frames of 25 ms without
a window function, 512 points, 26 triangular bands on the mel scale, orthonormal cosine transform, lifter 22.

Source: SyncNet's released front end takes the defaults of the package python_speech_features 0.6; equal to its output
on random sounds to 1e-9 (compared by hand).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct

RATE = 16_000
"""Hz."""
LENGTH, STEP, POINTS = 400, 160, 512
"""Samples of a frame, from one to the next, and points of its spectrum."""
BANDS, COEFFICIENTS, LIFTER, EMPHASIS = 26, 13, 22, 0.97
_TINY = np.finfo(np.float64).eps


def mfcc(waveform: np.ndarray) -> np.ndarray:
    """Coefficients of a sound.

    Args:
        waveform: mono at 16 kHz, float in about [-1, 1], (samples,).

    Returns:
        (frames, 13) float64, a frame every 10 ms, the end padded with silence; the first is the log energy.
    """
    samples = np.round(np.clip(waveform, -1, 1) * 32767).astype(np.float64)  # it learned from 16-bit sounds
    samples = np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1])
    count = 1 + max(0, -(-(len(samples) - LENGTH) // STEP))
    samples = np.pad(samples, (0, max(0, (count - 1) * STEP + LENGTH - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, LENGTH)[::STEP][:count]
    power = np.abs(np.fft.rfft(frames, POINTS)) ** 2 / POINTS
    energy, bands = power.sum(1), power @ _bands().T
    told = dct(np.log(np.where(bands == 0, _TINY, bands)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    told *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    told[:, 0] = np.log(np.where(energy == 0, _TINY, energy))
    return told


@cache
def _bands() -> np.ndarray:
    """Triangles over the spectrum, (26, 257)."""
    highest = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, BANDS + 2) / 2595) - 1)
    edges = np.floor((POINTS + 1) * hertz / RATE)
    bins = np.arange(POINTS // 2 + 1)
    triangles = np.zeros((BANDS, len(bins)))
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rising, falling = (bins >= low) & (bins < middle), (bins >= middle) & (bins < high)
        triangles[band, rising] = (bins[rising] - low) / (middle - low)
        triangles[band, falling] = (high - bins[falling]) / (high - middle)
    return triangles
