"""Where somebody speaks in a sound, and where the pauses are: Silero's voice activity detector.

Loudness cannot tell: next to a knock a quiet voice is silence, and noise under a voice fills its pauses. The detector
is a small network that says of every 32 ms how likely they hold speech. Its weights lie in the wheel silero-vad and are
run by onnxruntime; the package itself is not imported, for that would load torch and set it to one thread.

Around it, ours: the sound is levelled first, by the loud parts of the seconds before and after each moment, because the
network misses voices under about -60 dBFS. It hears a beginning or an end about one step late, so its answers are moved
back by one. Speech begins where it is more likely than not and lasts until it is clearly less likely (the network's own
thresholds). Loudness only corrects the edges, by up to a tenth of a second: silence is cut off from the speech, what
sounds right before or after it belongs to it, and a short gap counts where it is calm. The hiss of an s may pass for no
speech. The package's own `get_speech_timestamps` does not do it alone: with it pauses move when a voice is softer, or a
door slams, and sounds within words become pauses (its network is the same).

Source: Silero VAD (https://github.com/snakers4/silero-vad, MIT), version 6.2.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from humo.timing import SAMPLE_RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MIN_PAUSE = 0.1
"""Seconds; most closures of p, t and k are shorter, and no pause."""
STEP = 512
"""Samples of which the network says at once whether they hold speech."""
_CONTEXT = 64  # samples before them that it hears too
_DELAY = 1  # steps by which it is late
_BEGINS, _ENDS = 0.5, 0.35
_BLOCK = 512  # steps computed at once
_STATE = (1, 1, 128)
_LEVEL, _FAINTEST = 0.1, 1e-3  # root mean square that the network hears; what is fainter than the second stays faint
_SIDE, _LOUD = 124, 80  # steps (4 s) on each side, and percentile: knocks and jingles do not hide a fainter voice
_PIECE = 128  # samples (8 ms) in which loudness is measured
_AROUND, _CALM = 250, 10  # pieces (2 s) on each side, and the percentile that is calm
_SILENT, _ABOVE = 10 ** (-35 / 20), 10 ** (10 / 20)  # of what is loud; of what is calm, and still counts as calm
_MOST = 0.1  # seconds by which an edge is corrected
_MIN_SPEECH = 0.1  # seconds: the beginning of a tone may pass for speech, but not for long
_SURE = 0.3  # seconds: no sound of speech is so long and so unlike speech


def find_speech(waveform: np.ndarray) -> list[tuple[float, float]]:
    """Stretches in which somebody speaks.

    Args:
        waveform: mono at 16 kHz, (samples,), at any level.

    Returns:
        (begin, end) in seconds, in order, at least `MIN_PAUSE` apart; found to within some 20 ms, in noise 60. Empty
        if there is no speech, as in music and noise.

    Raises:
        ValueError: if silero-vad is missing.
    """
    chances = _speech_chances(_levelled(waveform))
    silent, calm = _quiet_pieces(waveform)
    joined: list[tuple[float, float]] = []
    for first, stop in stretches(chances >= _ENDS):
        if chances[first:stop].max() < _BEGINS:
            continue
        begin, end = _correct_edges(first * STEP / SAMPLE_RATE, stop * STEP / SAMPLE_RATE, silent, calm)
        if joined:
            last = joined.pop()
            gap = _calm_part(last[1], begin, calm)
            if gap is None:
                begin = last[0]
            else:
                joined.append((last[0], gap[0]))
                begin = gap[1]
        joined.append((begin, min(end, len(waveform) / SAMPLE_RATE)))
    return [(begin, end) for begin, end in joined if end - begin >= _MIN_SPEECH]


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


def percentile_around(values: np.ndarray, share: float, before: int, after: int) -> np.ndarray:
    """A percentile of the values around each one, (n,).

    Args:
        values: (n,), 1 or more; beyond their ends they are mirrored.
        share: which percentile, 0 to 100.
        before: so many values before it count.
        after: and so many after it.
    """
    from scipy.ndimage import percentile_filter  # slow to import, and not every video has a sound

    size = before + after + 1
    mirrored = np.pad(values, (before, after), mode="symmetric")  # scipy 1.17 errs where the values are fewer than size
    return percentile_filter(mirrored, share, size)[size // 2 : size // 2 + len(values)]


def _levelled(waveform: np.ndarray) -> np.ndarray:
    """The sound in steps, (steps, STEP) float32, each as loud as the loud parts around it should be."""
    steps = _cut(waveform, STEP)
    loudness = np.sqrt(np.mean(steps**2, axis=1))
    before = np.maximum(percentile_around(loudness, _LOUD, _SIDE, 0), _FAINTEST)
    after = np.maximum(percentile_around(loudness, _LOUD, 0, _SIDE), _FAINTEST)
    return np.clip(steps * (_LEVEL / np.sqrt(before * after))[:, None], -1, 1)


def _cut(waveform: np.ndarray, length: int) -> np.ndarray:
    """Pieces of a sound, (pieces, length) float32; the last one is filled up with the sound's end, mirrored."""
    return np.pad(waveform, (0, -len(waveform) % length), mode="reflect").astype(np.float32).reshape(-1, length)


def _quiet_pieces(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pieces of a sound are silent beside what is loud around them, and which are at least calm, (pieces,)."""
    loudness = np.sqrt(np.mean(_cut(waveform, _PIECE) ** 2, axis=1))
    loud, calm = (percentile_around(loudness, share, _AROUND, _AROUND) for share in (_LOUD, _CALM))
    silent = loudness < _SILENT * loud
    return silent, silent | (loudness < _ABOVE * calm)


def _speech_chances(steps: np.ndarray) -> np.ndarray:
    """How likely each step holds speech, (steps,) in [0, 1]."""
    steps = np.pad(steps, ((0, _DELAY), (0, 0)), mode="edge")
    before = np.pad(steps[:-1, -_CONTEXT:], ((1, 0), (0, 0)))
    heard = np.concatenate([before, steps], axis=1)
    chances, hidden, cell = [], np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
    for first in range(0, len(heard), _BLOCK):
        given = {"input": heard[first : first + _BLOCK], "h": hidden, "c": cell}
        block, hidden, cell = _detector().run(["speech_probs", "hn", "cn"], given)
        chances.append(block.reshape(-1))
    return np.concatenate(chances)[_DELAY:]


def _correct_edges(begin: float, end: float, silent: np.ndarray, calm: np.ndarray) -> tuple[float, float]:
    """A stretch of speech from where it sounds to where it sounds no more, seconds."""
    seconds, count = _PIECE / SAMPLE_RATE, len(calm)
    first, stop = round(begin / seconds), min(round(end / seconds), count)
    if silent[first:stop].all():
        return begin, end
    after = _first_sounding(silent[::-1], calm[::-1], count - stop)
    return _first_sounding(silent, calm, first) * seconds, (count - after) * seconds


def _first_sounding(silent: np.ndarray, calm: np.ndarray, first: int) -> int:
    """The piece with which a sound begins that speech seems to begin with."""
    most = round(_MOST * SAMPLE_RATE / _PIECE)
    if silent[first]:
        heard = np.flatnonzero(~silent[first : first + most])
        return first + (int(heard[0]) if len(heard) else most)
    quiet = np.flatnonzero(calm[max(0, first - most) : first][::-1])
    return first - (int(quiet[0]) if len(quiet) else 0)


def _calm_part(begin: float, end: float, calm: np.ndarray) -> tuple[float, float] | None:
    """What of a gap in speech is a pause, seconds; None if nothing is."""
    if end - begin >= _SURE:
        return begin, end
    seconds = _PIECE / SAMPLE_RATE
    first = round(begin / seconds)
    runs = stretches(calm[first : round(end / seconds)])
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return None if (stop - start) * seconds < MIN_PAUSE else ((first + start) * seconds, (first + stop) * seconds)


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
