"""English speech from hibari (the package hibari-tts, Apache-2.0): one American woman, more natural than espeak-ng.

Its network and its dictionary lie in the wheel; nothing is fetched. It tells no phonemes: where they lie
`humo.world.alignment` finds out. Ours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from humo.system.imports import require
from humo.system.ranges import check_whole
from humo.timing import SAMPLE_RATE

PACE = 160
"""Words a minute at which it speaks of itself, on espeak-ng's scale: its sentences then last as long as espeak-ng's."""
RATES = (PACE // 2, 2 * PACE)
"""Lowest and highest words a minute: it knows half to twice its own pace."""
_PEAK, _GAIN = 0.95, 2.0
_QUIET, _MARGIN = 0.01, 0.1
_AS_TEXT = str.maketrans("[]", "()")


def speak_english(text: str, rate: int = PACE, seed: int = 0) -> np.ndarray:
    """Speaks a text; the same call gives the same samples.

    It is brought to espeak-ng's loudness, and of the long silence before and after a tenth of a second stays. Square
    brackets are read as round ones, for hibari takes them for marks of pronunciation.

    Args:
        text: English; letters of other scripts come out as their names or not at all.
        rate: words a minute, 80 to 320.
        seed: of the breath in its consonants.

    Returns:
        float32 mono at 16 kHz, (samples,); empty if nothing in the text can be said.

    Raises:
        ValueError: if hibari-tts is missing or the rate not as above.
    """
    check_whole("rate", rate, *RATES)
    voice = _voice()
    sound = voice(text.translate(_AS_TEXT), speed=rate / PACE, seed=seed)
    sound = resample_poly(sound, SAMPLE_RATE, voice.sample_rate).astype(np.float32)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak == 0.0:
        return sound[:0]
    heard = np.flatnonzero(np.abs(sound) > _QUIET * peak)
    margin = int(_MARGIN * SAMPLE_RATE)
    sound = sound[max(0, heard[0] - margin) : heard[-1] + margin]
    return sound * min(_GAIN, _PEAK / peak)


@lru_cache(maxsize=1)
def _voice() -> Any:
    require("this voice", "hibari")
    from hibari import Hibari

    return Hibari(threads=1)
