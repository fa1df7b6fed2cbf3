"""Hair: where it is, its colour and its style. Ours.

A pixel of the person is hair if its colour is nearer to those just above the forehead than to skin, neck and clothes.
"""

# h w upright picture at half size

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from humo.portrait.colours import common_colours, distance, lightness_chroma_hue
from humo.portrait.face import CHIN, EYES, FOREHEAD, LEFT, RIGHT, SKIN, WIDTH, Face, half_grid
from humo.portrait.portrait import Seen

MOUTH = 13
"""Landmark of the upper lip's lower edge."""
_LEAST, _LOW = 30, 450
"""Pixels at half size: of hair that can be read, and of a crown that has none."""
_COLOURS = {
    "black": (4.26, -0.069, -0.207, -0.083),
    "brown": (1.86, -0.044, 0.050, 0.050),
    "blond": (-2.50, 0.061, -0.023, 0.099),
    "red": (-2.69, -0.022, 0.276, 0.055),
    "grey": (-0.94, 0.074, -0.098, -0.121),
}
"""Logistic regression of the hair's mean colour: constant, and weights of L, a and b. Fitted to 187 portraits from
public demo sets, labelled by eye, that are not ours to pass on, and to shades of the world's own colours. Blue hair was
in none of them and has a rule of its own."""
_PIXEL = 4 / WIDTH**2
"""Area of a pixel at half size, in squares of the face's width."""


@dataclass(frozen=True, slots=True)
class Hair:
    """What is said of hair."""

    style: Seen
    colour: Seen
    """Not seen of a bald head."""
    volume: float
    """`Person.hair_volume`."""
    hanging: float
    """How much hangs beside the neck, in squares of the face's width."""


def find_hair(face: Face) -> np.ndarray:
    """Where hair is, bool at half size."""
    x, y = half_grid()
    lab = cv2.GaussianBlur(face.lab, (0, 0), 1.2)[::2, ::2]
    person, oval = face.person[::2, ::2], face.oval[::2, ::2]
    chin_x, chin_y = face.points[CHIN]
    crown, outer = _crown(face)
    skin = face.colours(*SKIN)
    if outer.sum() < 12 or len(skin) < 12:
        return np.zeros_like(person)
    middle = np.median(skin, 0)[None]
    unlike = distance(lab[outer], middle) >= max(14, 1.2 * np.percentile(distance(skin, middle), 80))
    hair = distance(lab, common_colours(lab[outer][unlike] if unlike.mean() > 0.25 else lab[outer], 3)[0])
    neck = person & (abs(x - chin_x) < 0.15 * WIDTH) & (y > chin_y + 4) & (y < chin_y + 22)
    other = distance(lab, common_colours(np.concatenate([skin[::4], lab[neck]]), 3)[0])
    torso = person & (abs(x - chin_x) < 0.3 * WIDTH) & (y > chin_y + 0.7 * WIDTH)
    if torso.sum() > 50:
        clothes = distance(lab, common_colours(lab[torso], 2)[0])
        other = np.where(y > chin_y + 0.25 * WIDTH, np.minimum(other, clothes), other)
    face_itself = (cv2.erode(oval.astype(np.uint8), np.ones((4, 4))) > 0) & (y > EYES[1] - 16)
    mask = (person & (hair < other) & (hair < 26) & ~face_itself).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2)))
    _, pieces = cv2.connectedComponents(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((3, 3))))
    return np.isin(pieces, np.setdiff1d(pieces[crown], 0))


def read_hair(face: Face, mask: np.ndarray) -> Hair:
    """Style, colour and volume.

    Args:
        face: the head.
        mask: from `find_hair`.
    """
    _, y = half_grid()
    above = mask & (y < face.points[MOUTH, 1])
    if above.sum() < _LEAST or _is_bald(face):
        return Hair(Seen("bald", 0.5), Seen(None, 0.0), 1.0, 0.0)
    inner = above & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0) & (face.chance[::2, ::2] > 0.8)
    values = face.lab[::2, ::2][inner if inner.sum() >= _LEAST else above]
    hanging = _hanging(face, mask)
    return Hair(_style(face, mask, hanging), name_hair(values.mean(0)), _volume(face, mask), hanging)


def name_hair(lab: np.ndarray) -> Seen:
    """What the world calls the mean colour (3,) of hair."""
    light, chroma, hue = lightness_chroma_hue(lab)
    if chroma > 16 and 250 < hue < 320:
        return Seen("blue", 0.8)
    scores = {name: weights[0] + float(lab @ np.array(weights[1:], np.float32)) for name, weights in _COLOURS.items()}
    best = max(scores, key=scores.__getitem__)
    return Seen(best, float(1 / sum(np.exp(score - scores[best]) for score in scores.values())))


def _crown(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Around the upper edge of the face, where hair begins, and the outer part of that; both bool at half size."""
    _, y = half_grid()
    oval = face.oval[::2, ::2]
    away = 2 * cv2.distanceTransform((~oval).astype(np.uint8), cv2.DIST_L2, 5)
    crown = face.person[::2, ::2] & ~oval & (y < EYES[1] - 8) & (away > 2) & (away < 34)
    outer = crown & (away > 14)
    return crown, outer if outer.sum() > 20 else crown


def _is_bald(face: Face) -> bool:
    """Whether the crown is low, smooth and of the skin's colours."""
    crown, outer = _crown(face)
    skin = face.colours(*SKIN)
    if outer.sum() >= _LOW or len(skin) < 12:
        return False
    light = face.lab[..., 0]
    rough = np.abs(light - cv2.GaussianBlur(light, (0, 0), 1.5))[::2, ::2][crown].mean()
    lab = cv2.GaussianBlur(face.lab, (0, 0), 1.2)[::2, ::2][outer]
    return bool(rough < 1.4 and np.median(distance(lab, common_colours(skin, 4)[0])) < 10)


def _sides(face: Face) -> list[np.ndarray]:
    """How far each pixel at half size is to the left, and to the right, of the face's middle, in its widths."""
    x, _ = half_grid()
    return [(x - face.points[[LEFT, RIGHT], 0].mean()) * sign / WIDTH for sign in (-1, 1)]


def _hanging(face: Face, mask: np.ndarray) -> float:
    """How much hair hangs beside the neck, on the side with more of it."""
    _, y = half_grid()
    beside = mask & (y > face.points[MOUTH, 1]) & (y < face.points[CHIN, 1] + 0.35 * WIDTH)
    return float(max((beside & (away > 0.34) & (away < 0.95)).sum() for away in _sides(face)) * _PIXEL)


def _style(face: Face, mask: np.ndarray, low: float) -> Seen:
    _, y = half_grid()
    sides = _sides(face)
    beside = mask & (y > EYES[1]) & (y < face.points[MOUTH, 1])
    ears = max((beside & (away > 0.3)).sum() for away in sides) * _PIXEL
    wide = _width(mask, EYES[1] + 10)
    top = _top(mask, abs(sides[0]) < 0.5)
    high, crest = (face.points[FOREHEAD, 1] - top) / WIDTH, _width(mask, top + 0.15 * WIDTH)
    strands = _order_of_strands(face, mask)
    is_full = wide > 1.3 and ears > 0.06 and strands < (0.58 if low > 0.2 else 0.63)
    if is_full or (strands < 0.56 and high > 0.68):
        return Seen("curly", 0.6)
    if low > 0.12 and ears > 0.045:
        return Seen("long", 0.9 if low > 0.2 else 0.7)
    return Seen("bun", 0.6) if high > 0.71 and crest < 0.87 else Seen("short", 0.8 if low < 0.06 else 0.6)


def _width(mask: np.ndarray, row: float) -> float:
    """How wide hair is at a row of the upright picture, in widths of the face."""
    middle = int(row / 2)
    columns = np.flatnonzero(mask[max(0, middle - 3) : middle + 4].any(0))
    return 2 * float(np.ptp(columns)) / WIDTH if len(columns) else 0.0


def _top(mask: np.ndarray, where: np.ndarray) -> float:
    """The highest row of the upright picture with hair in some columns."""
    rows = np.flatnonzero((mask & where).any(1))
    return 2.0 * rows[0] if len(rows) else EYES[1]


def _order_of_strands(face: Face, mask: np.ndarray) -> float:
    """How far neighbouring strands run one way, 0 to 1: coherence of the structure tensor of lightness."""
    soft = cv2.GaussianBlur(face.lab[..., 0], (0, 0), 0.8)
    dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(part, (0, 0), 4)[::2, ::2] for part in (dx * dx, dy * dy, dx * dy))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
    return float(np.hypot(xx - yy, 2 * xy)[inner].sum() / ((xx + yy)[inner].sum() + 1e-3))


def _volume(face: Face, mask: np.ndarray) -> float:
    top = _top(mask, abs(_sides(face)[0]) < 0.3)
    high = (face.points[FOREHEAD, 1] - top) / WIDTH
    return float(1 + 0.12 * np.clip((high - 0.5) / 0.3, -1, 1))
