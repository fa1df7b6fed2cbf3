"""A face laid upright at a fixed scale, with its landmarks and where the person is: what all reading looks at.

In the upright picture the face is 96 pixels wide, level, and the point between the eyes is always at the same place, so
that every length below is a length of the head. Colours are CIE Lab.
"""

# h w upright picture, n landmarks or pixels

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

from humo.portrait.detection import Detection
from humo.portrait.networks import LANDMARKS, PERSON, run

WIDTH = 96
"""Of the face in the upright picture, pixels."""
SIZE = (384, 448)
"""Of the upright picture: width, height."""
EYES = (192.0, 190.0)
"""The point between the eyes in it: x, y."""
LEFT_EYE, RIGHT_EYE = (33, 133), (362, 263)
"""Landmarks of the corners of the eyes, the image's left one first; numbers are those of MediaPipe's mesh."""
FOREHEAD, CHIN, LEFT, RIGHT = 10, 152, 234, 454
"""Landmarks of the face's edge: top, bottom and sides."""
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]  # fmt: skip
"""Landmarks around the face."""
CHEEKS = ([117, 118, 101, 36, 205, 187, 123], [346, 347, 330, 266, 425, 411, 352])
SKIN = (*CHEEKS, [109, 108, 151, 337, 338, 10], [5, 4, 195])
"""Landmarks around cheeks, forehead and the tip of the nose."""
HUMAN, CERTAIN = 5.5, 11.0
"""Logits above which a face may be a person's, and is one."""
_LOOK = 1.5
"""The landmarks' network sees a square of this many sides of the detector's box."""
_UPRIGHT = 0.72
"""A face is at least this wide for its height: one that is turned away looks narrower than the head is."""


@dataclass(frozen=True, eq=False)
class Face:
    """An upright head with shoulders, and where its parts are."""

    source: np.ndarray
    """The picture, RGB uint8."""
    affine: np.ndarray
    """From the source to the upright picture, (2, 3)."""
    points: np.ndarray
    """Landmarks in the upright picture, (468, 2)."""
    logit: float
    """Of a human face, by the landmarks' network."""

    @property
    def is_human(self) -> bool:
        """Whether this is a person's face; where the network hesitates, fur that is yellow without any red is not."""
        if not HUMAN < self.logit < CERTAIN:
            return self.logit >= CERTAIN
        skin = self.colours(*SKIN)
        if not len(skin):
            return False
        _, a, b = np.median(skin, 0)
        return not (a < 3 and b > 8)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The upright picture, RGB uint8 (h, w, 3); black outside the source."""
        return warp(self.source, self.affine, SIZE)

    @cached_property
    def lab(self) -> np.ndarray:
        """The upright picture in Lab, float32 (h, w, 3)."""
        return to_lab(self.pixels)

    @cached_property
    def inside(self) -> np.ndarray:
        """Where the upright picture shows the source, bool (h, w)."""
        return cv2.warpAffine(np.full(self.source.shape[:2], 255, np.uint8), self.affine, SIZE) > 250

    @cached_property
    def chance(self) -> np.ndarray:
        """Probability of the person, float32 (h, w)."""
        seen = run(PERSON, cv2.resize(self.pixels, (PERSON.side, PERSON.side), interpolation=cv2.INTER_AREA))[0]
        return cv2.resize(seen[0, 0], SIZE)

    @cached_property
    def person(self) -> np.ndarray:
        """Where the person is, bool (h, w)."""
        return (self.chance > 0.5) & self.inside

    @cached_property
    def oval(self) -> np.ndarray:
        """The face itself, bool (h, w)."""
        return self.hull(OVAL)

    def hull(self, landmarks: Iterable[int]) -> np.ndarray:
        """The convex hull of some landmarks, bool (h, w)."""
        mask = np.zeros(SIZE[::-1], np.uint8)
        return fill(mask, self.points[list(landmarks)]) > 0

    def colours(self, *parts: list[int]) -> np.ndarray:
        """Lab of all pixels in the hulls of some landmarks, (n, 3)."""
        return np.concatenate([self.lab[self.hull(part) & self.inside] for part in parts])

    def distance(self, one: int, other: int) -> float:
        """Between two landmarks, pixels."""
        return float(np.linalg.norm(self.points[one] - self.points[other]))

    @cached_property
    def turn(self) -> float:
        """How far the head is turned sideways: 0 seen from the front, 1 from the side."""
        sides = self.distance(1, LEFT), self.distance(1, RIGHT)
        return abs(sides[0] - sides[1]) / max(sum(sides), 1e-6)

    def zoom(self, centre: np.ndarray, size: tuple[int, int], factor: float) -> tuple[np.ndarray, np.ndarray]:
        """A part of the picture, `factor` times as large as in the upright one.

        Args:
            centre: of the part in the upright picture, (2,).
            size: width and height, pixels.
            factor: from upright pixels to the part's.

        Returns:
            Lab (height, width, 3), and the landmarks in it, (468, 2).
        """
        affine, shift = self.affine * factor, np.array(size) / 2 - centre * factor
        affine[:, 2] += shift
        return to_lab(warp(self.source, affine, size)), self.points * factor + shift


def lay_upright(picture: np.ndarray, found: Detection) -> Face:
    """Find the landmarks of a face and lay it upright.

    Args:
        picture: RGB, uint8 (h, w, 3).
        found: where the detector saw the face.
    """
    side = LANDMARKS.side
    box, eyes = found.box, found.eyes
    turn = _levelling(eyes[1] - eyes[0], side / (_LOOK * max(box[2:] - box[:2])))
    shift = side / 2 - turn @ (box[:2] + box[2:]) / 2
    logit, mesh = run(LANDMARKS, warp(picture, np.column_stack([turn, shift]), (side, side)))
    points = (mesh.reshape(468, 3)[:, :2] - shift) @ np.linalg.inv(turn).T
    left, right = points[list(LEFT_EYE)].mean(0), points[list(RIGHT_EYE)].mean(0)
    high = float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))
    wide = max(float(np.linalg.norm(points[RIGHT] - points[LEFT])), _UPRIGHT * high, 1.0)
    turn = _levelling(right - left, WIDTH / wide)
    affine = np.column_stack([turn, np.array(EYES) - turn @ (left + right) / 2])
    return Face(picture, affine, points @ turn.T + affine[:, 2], float(logit.ravel()[0]))


@cache
def half_grid() -> tuple[np.ndarray, np.ndarray]:
    """Column and row in the upright picture of each pixel of a half-size one, where hair and clothes are found."""
    y, x = np.mgrid[0 : SIZE[1] : 2, 0 : SIZE[0] : 2].astype(np.float32)
    return x, y


def warp(picture: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`cv2.warpAffine`, which does not average when it makes smaller, after a resize that does."""
    scale = float(np.hypot(*affine[:, 0]))
    if scale < 0.7:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        affine = np.column_stack([affine[:, :2] / scale, affine[:, 2]])
    return cv2.warpAffine(picture, affine, size, flags=cv2.INTER_LINEAR)


def to_lab(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 to CIE Lab, float32: lightness 0 to 100, a and b about -128 to 127."""
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def fill(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Set the convex hull of points (n, 2) to 1 in a mask, uint8, in place; returns it."""
    return cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1)


def _levelling(vector: np.ndarray, scale: float) -> np.ndarray:
    """The rotation that lays a vector level, times a scale, (2, 2)."""
    dx, dy = vector / max(float(np.hypot(*vector)), 1e-6) * scale
    return np.array([[dx, dy], [-dy, dx]])
