"""Where somebody speaks in a sound, and where the pauses are: Silero's voice activity detector.

Loudness cannot tell: next to a knock a quiet voice is silence, and noise under a voice fills its pauses. The detector
is a small network that says of every 32 ms how likely they hold speech. Its weights lie in the wheel silero-vad and are
run by onnxruntime; the package itself is not imported, for that would load torch and set it to one thread.

Around it, ours: the sound is levelled first, by the loud parts of the seconds around each moment, because the network
misses voices under about -60 dBFS. It hears a beginning or an end about one step late, so its answers are moved back
by one. Speech begins where it is more likely than not and lasts until it is clearly less likely (the network's own
thresholds), gaps too short for a pause between words are part of it.

Source: Silero VAD (https://github.com/snakers4/silero-vad, MIT), version 6.2.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import percentile_filter

from humo.timing import SAMPLE_RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MIN_PAUSE = 0.12
"""Seconds; most closures of p, t and k are shorter, and no pause."""
STEP = 512
"""Samples of which the network says at once whether they hold speech."""
_CONTEXT = 64  # samples before them that it hears too
_DELAY = 1  # steps by which it is late
_BEGINS, _ENDS = 0.5, 0.35
_BLOCK = 512  # steps computed at once
_STATE = (1, 1, 128)
_LEVEL, _FAINTEST = 0.1, 1e-4  # root mean square that the network hears; what is fainter than the second stays faint
_AROUND, _LOUD = 125, 80  # steps (4 s) and percentile: nearer voices, knocks and jingles do not hide a fainter voice


def find_speech(waveform: np.ndarray) -> list[tuple[float, float]]:
    """Stretches in which somebody speaks.

    Args:
        waveform: mono at 16 kHz, (samples,), at any level.

    Returns:
        (begin, end) in seconds, in order, at least `MIN_PAUSE` apart; found to within some 40 ms. Empty if there is no
        speech, as in music and noise.

    Raises:
        ValueError: if silero-vad is missing.
    """
    chances = _speech_chances(_levelled(waveform))
    spoken = [(a, b) for a, b in stretches(chances >= _ENDS) if chances[a:b].max() >= _BEGINS]
    seconds = len(waveform) / SAMPLE_RATE
    joined: list[tuple[float, float]] = []
    for begin, end in ((a * STEP / SAMPLE_RATE, min(b * STEP / SAMPLE_RATE, seconds)) for a, b in spoken):
        if joined and begin - joined[-1][1] < MIN_PAUSE:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return joined


def find_pauses(
    sounding: list[tuple[float, float]], seconds: float, shortest: float = MIN_PAUSE
) -> list[tuple[float, float]]:
    """What lies before, between and after stretches of speech.

    Args:
        sounding: (begin, end) in seconds, in order.
        seconds: length of the sound.
        shortest: what is shorter is no pause, seconds.

    Returns:
        (begin, end) in seconds, in order.
    """
    edges = [0.0, *(edge for stretch in sounding for edge in stretch), seconds]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest]


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """(first, one past the last) index of every run of True in a mask, (n,) bool."""
    return [(a, b) for a, b in np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2).tolist()]


def _levelled(waveform: np.ndarray) -> np.ndarray:
    """The sound in steps, (steps, STEP) float32, each as loud as the loud parts around it should be."""
    steps = np.pad(waveform, (0, -len(waveform) % STEP)).astype(np.float32).reshape(-1, STEP)
    loudness = np.sqrt(np.mean(steps.astype(np.float64) ** 2, axis=1))
    around = np.maximum(percentile_filter(loudness, _LOUD, _AROUND, mode="reflect"), _FAINTEST)
    return np.clip(steps * (_LEVEL / around)[:, None], -1, 1).astype(np.float32)


def _speech_chances(steps: np.ndarray) -> np.ndarray:
    """How likely each step holds speech, (steps,) in [0, 1]."""
    steps = np.pad(steps, ((0, _DELAY), (0, 0)))
    before = np.pad(steps[:-1, -_CONTEXT:], ((1, 0), (0, 0)))
    heard = np.concatenate([before, steps], axis=1)
    chances, hidden, cell = [], np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
    for first in range(0, len(heard), _BLOCK):
        given = {"input": heard[first : first + _BLOCK], "h": hidden, "c": cell}
        block, hidden, cell = _detector().run(["speech_probs", "hn", "cn"], given)
        chances.append(block.reshape(-1))
    return np.concatenate(chances)[_DELAY:]


@lru_cache(maxsize=1)
def _detector() -> InferenceSession:
    """The network, on one thread of the processor; threads may share it."""
    from onnxruntime import InferenceSession, SessionOptions  # slow to import, and not every sound needs it

    found = find_spec("silero_vad")
    if found is None or found.origin is None:
        raise ValueError("finding pauses needs the package silero-vad: pip install silero-vad")
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(found.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
