"""Phoneme times to mouth shapes: openness and width per video frame.

Each phoneme has one mouth shape, a diphthong two. The mouth glides between them (cosine) and a light blur stands for
coarticulation. The table is ours, after common viseme sets; lips close fully for p, b, m and in pauses.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from humo.timing import FPS

REST = (0.0, 0.5)

# name without stress marks -> shapes as (openness, width), each 0 to 1
_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "aI": ((1.0, 0.6), (0.35, 0.95)), "aU": ((1.0, 0.55), (0.3, 0.05)), "eI": ((0.55, 0.85), (0.3, 1.0)),
    "oU": ((0.6, 0.2), (0.25, 0.0)), "OI": ((0.7, 0.15), (0.3, 0.9)), "i@3": ((0.35, 0.95), (0.45, 0.5)),
    "U@": ((0.3, 0.1), (0.45, 0.4)), "aI@": ((1.0, 0.6), (0.45, 0.6)), "aI3": ((1.0, 0.6), (0.45, 0.6)),
    "3:": ((0.45, 0.4),), "3": ((0.4, 0.4),), "i:": ((0.3, 1.0),), "u:": ((0.25, 0.0),), "A:": ((1.0, 0.5),),
    "O:": ((0.75, 0.15),), "tS": ((0.2, 0.12),), "dZ": ((0.2, 0.12),),
}  # fmt: skip
_FIRST_LETTER: dict[str, tuple[float, float]] = {
    "a": (0.95, 0.65), "A": (1.0, 0.5), "e": (0.6, 0.8), "E": (0.6, 0.8), "i": (0.3, 0.95), "I": (0.32, 0.85),
    "o": (0.6, 0.15), "O": (0.75, 0.2), "0": (0.8, 0.35), "u": (0.25, 0.0), "U": (0.3, 0.1), "V": (0.75, 0.6),
    "@": (0.35, 0.5), "3": (0.4, 0.4), "p": (0.0, 0.5), "b": (0.0, 0.5), "m": (0.0, 0.5), "f": (0.05, 0.6),
    "v": (0.05, 0.6), "w": (0.15, 0.0), "r": (0.25, 0.2), "T": (0.18, 0.6), "D": (0.18, 0.6), "s": (0.12, 0.85),
    "z": (0.12, 0.85), "S": (0.2, 0.12), "Z": (0.2, 0.12), "t": (0.2, 0.65), "d": (0.2, 0.65), "n": (0.2, 0.65),
    "l": (0.3, 0.65), "k": (0.3, 0.6), "g": (0.3, 0.6), "N": (0.3, 0.6), "h": (0.4, 0.6), "j": (0.2, 0.95),
}  # fmt: skip


def mouth_shapes(phoneme: str) -> tuple[tuple[float, float], ...]:
    """Shapes (openness, width) that an espeak-ng phoneme passes through; rest for pauses and marks."""
    name = phoneme.strip("',%=")
    if name in _SHAPES:
        return _SHAPES[name]
    return (_FIRST_LETTER.get(name[:1], REST),)


def mouth_curves(
    phonemes: tuple[tuple[float, str], ...], duration: float, start: float, num_frames: int, fps: int = FPS
) -> tuple[np.ndarray, np.ndarray]:
    """Openness and width of the mouth at each frame.

    Args:
        phonemes: (start in seconds, name), as in `Speech`.
        duration: of the speech, seconds.
        start: time of the first frame in the speech, seconds; outside of the speech the mouth rests.
        num_frames: frames wanted.
        fps: frames a second.

    Returns:
        Two float32 arrays (num_frames,) in 0..1.
    """
    times, shapes = [-1.0, 0.0], [REST, REST]
    ends = [begin for begin, _ in phonemes[1:]] + [duration]
    for (begin, name), end in zip(phonemes, ends, strict=False):
        parts = mouth_shapes(name)
        for index, shape in enumerate(parts):
            times.append(begin + (index + 0.5) / len(parts) * max(end - begin, 1e-3))
            shapes.append(shape)
    times += [duration + 0.04, duration + 1e4]
    shapes += [REST, REST]
    fine = 8  # samples a frame, so that the blur below is smooth
    clock = start + (np.arange(num_frames * fine) + 0.5) / (fps * fine)
    curves = _glide(clock, np.array(times), np.array(shapes))
    curves = gaussian_filter1d(curves, 0.016 * fps * fine, axis=0, mode="nearest")
    per_frame = curves.reshape(num_frames, fine, 2).mean(1).astype(np.float32)
    return per_frame[:, 0], per_frame[:, 1]


def _glide(clock: np.ndarray, times: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Cosine interpolation of shapes (n, 2) at ascending times (n,) to the clock's times."""
    after = np.clip(np.searchsorted(times, clock, side="right"), 1, len(times) - 1)
    before = after - 1
    span = np.maximum(times[after] - times[before], 1e-6)
    part = np.clip((clock - times[before]) / span, 0.0, 1.0)
    ease = (0.5 - 0.5 * np.cos(np.pi * part))[:, None]
    return shapes[before] * (1 - ease) + shapes[after] * ease
