"""Mel-frequency cepstral coefficients as SyncNet was trained on them.

Source: the defaults of the package python_speech_features 0.6, which SyncNet's released code calls: pre-emphasis 0.97,
25 ms every 10 ms without a window function, 512 points, 26 triangles from 0 to 8 kHz, 13 coefficients, liftering by 22,
and the logarithm of the energy in place of the first.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

RATE = 16_000
LENGTH, STEP, POINTS = 400, 160, 512
TRIANGLES, COEFFICIENTS, LIFTER = 26, 13, 22


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Coefficients of a sound.

    Args:
        samples: mono at 16 kHz with the values of 16-bit samples, (samples,).

    Returns:
        (t, 13) float64, 100 a second.
    """
    emphasised = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    count = 1 + max(0, -(-(len(samples) - LENGTH) // STEP))
    padded = np.pad(emphasised, (0, max(0, (count - 1) * STEP + LENGTH - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, LENGTH)[::STEP][:count]
    power = np.abs(np.fft.rfft(frames, POINTS)) ** 2 / POINTS
    tiny = np.finfo(float).eps
    energy = np.maximum(power.sum(1), tiny)
    bands = np.maximum(power @ _triangles().T, tiny)
    cepstrum = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstrum[:, 0] = np.log(energy)
    return cepstrum


def _triangles() -> np.ndarray:
    """Filters (26, 257), whose corners are equally far apart in mel and lie on bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), TRIANGLES + 2)
    corners = np.floor((POINTS + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE)
    bins = np.arange(POINTS // 2 + 1)
    low, middle, high = (corners[shift : shift + TRIANGLES, None] for shift in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.where((bins >= low) & (bins < middle), rising, np.where((bins >= middle) & (bins < high), falling, 0))
