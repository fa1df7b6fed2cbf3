"""Where the faces of a picture are: BlazeFace on the whole picture, and on parts of it for small faces.

The network sees 128 x 128 pixels and misses faces under an eighth of the picture's side. So where there is none,
further looks go to overlapping squares of the picture, larger ones first.
"""

# n faces, a anchors of the network

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from humo.portrait.networks import DETECTOR, run

_SURE = 0.5
"""Least probability of a face."""
LARGE = 0.12
"""Of the side of what is looked at: smaller faces are missed or badly placed."""
_PARTS = (0.5, 0.25)
"""Sides of the squares of further looks, as shares of the picture's longer side."""
_SAME = 0.3
"""Overlap (intersection over union) from which two boxes are of one face."""


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """A face as the detector sees it."""

    box: np.ndarray
    """Left, top, right, bottom in pixels, (4,)."""
    eyes: np.ndarray
    """The image's left and right eye, (2, 2)."""
    score: float
    """Probability."""

    @property
    def width(self) -> float:
        """Of the box, pixels."""
        return float(self.box[2] - self.box[0])


def look_closer(picture: np.ndarray) -> Iterator[tuple[int, list[Detection]]]:
    """The faces of a picture, in one look after the other, each at smaller parts of it.

    Args:
        picture: RGB, uint8 (h, w, 3), upright.

    Yields:
        Longest side of what was looked at, pixels, and the faces, the largest first.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    yield longest, _one_each(_look(picture))
    for side in (round(part * longest) for part in _PARTS):
        found = []
        for left, top in _squares(height, width, side):
            found += _shifted(_look(picture[top : top + side, left : left + side]), left, top)
        yield side, _one_each(found)


def _squares(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    """Left and top of squares that cover the picture, neighbours half over each other."""
    starts = [
        np.linspace(0, max(0, length - side), 1 + max(0, int(np.ceil(2 * (length - side) / side)))).astype(int)
        for length in (height, width)
    ]
    return ((int(left), int(top)) for top in starts[0] for left in starts[1])


def _shifted(found: list[Detection], left: int, top: int) -> list[Detection]:
    shift = np.array([left, top], np.float32)
    return [Detection(each.box + np.tile(shift, 2), each.eyes + shift, each.score) for each in found]


def _look(picture: np.ndarray) -> list[Detection]:
    """The faces that one look finds, in pixels of the picture."""
    side = DETECTOR.side
    scale = side / max(picture.shape[:2])
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = small
    logits, values = run(DETECTOR, square)
    scores = 1 / (1 + np.exp(-np.clip(logits.ravel(), -80, 80)))
    points = values.reshape(-1, 8, 2).copy()  # centre, size, then six points of which the eyes are the first
    points[:, [0, 2, 3]] += _anchors()[:, None] * side
    return [
        Detection((corners - [*(left, top) * 2]) / scale, (eyes - (left, top)) / scale, score)
        for corners, eyes, score in _blend(points[scores > _SURE], scores[scores > _SURE])
    ]


def _anchors() -> np.ndarray:
    """Centres of the anchors in 0..1, (a, 2): two for each of 16 x 16 cells, six for each of 8 x 8."""
    grids = [(np.mgrid[0:n, 0:n][::-1].reshape(2, -1).T.repeat(count, 0) + 0.5) / n for n, count in ((16, 2), (8, 6))]
    return np.concatenate(grids).astype(np.float32)


def _blend(points: np.ndarray, scores: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Box, eyes and score of each face: the mean of the anchors that see it, weighted by how sure they are."""
    boxes = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], 1)
    left = np.argsort(-scores)
    while len(left):
        near = overlap(boxes[left[0]], boxes[left]) >= _SAME
        near[0] = True  # also of a box without an area
        same = left[near]
        yield (
            np.average(boxes[same], axis=0, weights=scores[same]),
            np.average(points[same, 2:4], axis=0, weights=scores[same]),
            float(scores[same[0]]),
        )
        left = left[~near]


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4): (n,) in 0..1."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = [np.clip(each[..., 2:] - each[..., :2], 0, None).prod(-1) for each in (box, others)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-6)


def _one_each(found: list[Detection]) -> list[Detection]:
    """Each face once, though several looks may have found it; the largest first."""
    kept: list[Detection] = []
    for each in sorted(found, key=lambda face: -face.score):
        if not kept or overlap(each.box, np.stack([other.box for other in kept])).max() < _SAME:
            kept.append(each)
    return sorted(kept, key=lambda face: -face.width)
