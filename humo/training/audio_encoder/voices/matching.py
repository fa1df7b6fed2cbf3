"""Where two voices that say the same sentence have come equally far. Ours."""

from __future__ import annotations

import numpy as np

from humo.world.visemes import mouth_shapes

Phonemes = tuple[tuple[float, str], ...]

_GAP = 0.8
"""Cost of a phoneme that the other voice leaves out."""
_STEP = 0.01
"""Seconds within which one voice passes over a pause that the other makes."""


def matching_times(phonemes: Phonemes, base: Phonemes) -> tuple[np.ndarray, np.ndarray]:
    """Times at which two voices have come equally far in a sentence.

    The sequences are matched so that as little as possible differs in the shapes of the mouth; matched phonemes begin
    together, and end together where a pause follows.

    Args:
        phonemes: of the first voice, as in `humo.world.speech.Speech`.
        base: of the second.

    Returns:
        Seconds in the first, ascending, and in the second, never descending, (n,) each; empty if nothing matches.
    """
    own, other = _spans(phonemes), _spans(base)
    times: list[float] = []
    base_times: list[float] = []

    def keep(time: float, base_time: float) -> None:
        if not times or base_time >= base_times[-1]:
            times.append(max(time, times[-1] + _STEP) if times else time)
            base_times.append(base_time)

    for one, two in _match([name for *_, name in own], [name for *_, name in other]):
        (start, end, _), (base_start, base_end, _) = own[one], other[two]
        keep(start, base_start)
        if _is_last(own, one) or _is_last(other, two):
            keep(end, base_end)
    return np.array(times), np.array(base_times)


def _spans(phonemes: Phonemes) -> list[tuple[float, float, str]]:
    """(start, end, name) of what is not a pause."""
    names = [name.strip("',%=") for _, name in phonemes]
    starts = [start for start, _ in phonemes]
    ends = starts[1:] + starts[-1:]
    return [
        (start, end, name)
        for start, end, name in zip(starts, ends, names, strict=True)
        if name.strip("_:|") and end > start
    ]


def _is_last(spans: list[tuple[float, float, str]], index: int) -> bool:
    """Whether a pause follows, or the end."""
    return index + 1 == len(spans) or spans[index + 1][0] > spans[index][1] + 1e-3


def _match(own: list[str], other: list[str]) -> list[tuple[int, int]]:
    """Pairs of positions along the cheapest way through both sequences."""
    costs = np.full((len(own) + 1, len(other) + 1), np.inf)
    costs[:, 0], costs[0] = np.arange(len(own) + 1) * _GAP, np.arange(len(other) + 1) * _GAP
    for i, one in enumerate(own):
        for j, two in enumerate(other):
            costs[i + 1, j + 1] = min(
                costs[i, j] + _difference(one, two), costs[i, j + 1] + _GAP, costs[i + 1, j] + _GAP
            )
    pairs, i, j = [], len(own), len(other)
    while i and j:
        if np.isclose(costs[i, j], costs[i - 1, j - 1] + _difference(own[i - 1], other[j - 1])):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif np.isclose(costs[i, j], costs[i - 1, j] + _GAP):
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _difference(one: str, two: str) -> float:
    """Of two phonemes, 0 for the same: of their first shapes, and whether they are vowels."""
    if one == two:
        return 0.0
    shapes = np.subtract(mouth_shapes(one)[0], mouth_shapes(two)[0])
    return 0.1 + float(np.abs(shapes).sum()) + (1.0 if _is_vowel(one) != _is_vowel(two) else 0.0)


def _is_vowel(name: str) -> bool:
    return name[:1] in tuple("aAeEiIoO0uUV@3")
