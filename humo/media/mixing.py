"""From several channels to the one that the model hears, without losing the voice on the way. Ours."""

from __future__ import annotations

import numpy as np

LOST_DB = 7.0
"""Decibels by which the mean of the channels may be quieter than the loudest: one of two loses 6, inverted ones all."""
_CENTRE, _SURROUND = 2, 5
"""Of five or more channels the third stands in the middle, where films have their voices."""
_NEAR_DB = 20.0
"""Decibels below the loudest channel at which the middle still counts as the voice's."""
_TINY = 1e-20


def mix_to_mono(samples: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Mix channels down; where they cancel or dilute each other, one is taken instead.

    Args:
        samples: float32 (samples, channels).

    Returns:
        float32 (samples,), and a sentence if it is not the mean of all.
    """
    mean = samples.mean(axis=1)
    power = np.square(samples, dtype=np.float64).mean(axis=0) + _TINY
    kept = np.square(mean, dtype=np.float64).mean() + _TINY
    if 10 * np.log10(power.max() / kept) <= LOST_DB:
        return mean, None
    number = int(power.argmax())
    if samples.shape[1] >= _SURROUND and 10 * np.log10(power.max() / power[_CENTRE]) <= _NEAR_DB:
        number = _CENTRE
    note = f"Mixed together, the {samples.shape[1]} channels lose the voice: the model hears number {number + 1} alone."
    return np.ascontiguousarray(samples[:, number]), note
