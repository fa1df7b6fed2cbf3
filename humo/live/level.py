"""A microphone's voice at the level at which the model hears best, found while it is heard. Ours.

As `humo.media.loudness` does for a whole sound. Of a live one only the last seconds are there: once there was speech,
its level is kept through the pauses, so that a room's noise is not made a voice.
"""

from __future__ import annotations

import numpy as np

from humo.media.loudness import MAX_GAIN, TOLERANCE, speech_level

EVERY = 2
"""Windows from one measurement to the next: a voice keeps its level, and measuring takes as long as encoding."""


class LevelKeeper:
    """Brings window after window of a sound to a level.

    Args:
        wanted: level of the voice, dBFS; None leaves every sound as it is.
    """

    def __init__(self, wanted: float | None) -> None:
        self._wanted, self._gain, self._count = wanted, 0.0, 0

    def bring(self, waveform: np.ndarray) -> np.ndarray:
        """The window as the model hears it.

        Args:
            waveform: mono at 16 kHz, the last seconds, float32 (samples,).

        Returns:
            The same louder or softer.
        """
        if self._wanted is None:
            return waveform
        if self._count % EVERY == 0 and (level := speech_level(waveform)) is not None:
            away = self._wanted - level
            self._gain = 0.0 if abs(away) <= TOLERANCE else min(away, MAX_GAIN)
        self._count += 1
        return (waveform * 10 ** (self._gain / 20)).astype(np.float32) if self._gain else waveform
