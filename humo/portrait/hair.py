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

MOUTH = 13
"""Landmark of the upper lip's lower edge."""
_PIXEL = 4 / WIDTH**2
"""Area of a pixel at half size, in squares of the face's width."""


@dataclass(frozen=True, slots=True)
class Hair:
    """What is said of hair."""

    style: str
    colour: str | None
    """None for a bald head."""
    volume: float
    """`Person.hair_volume`."""


def find_hair(face: Face) -> np.ndarray:
    """Where hair is, bool at half size."""
    x, y = half_grid()
    lab = cv2.GaussianBlur(face.lab, (0, 0), 1.2)[::2, ::2]
    person, oval = face.person[::2, ::2], face.oval[::2, ::2]
    chin_x, chin_y = face.points[CHIN]
    away = 2 * cv2.distanceTransform((~oval).astype(np.uint8), cv2.DIST_L2, 5)
    crown = person & ~oval & (y < EYES[1] - 8) & (away > 2) & (away < 34)
    outer = crown & (away > 14) if (crown & (away > 14)).sum() > 20 else crown
    skin = face.colours(*SKIN)
    if outer.sum() < 12 or len(skin) < 12:
        return np.zeros_like(person)
    middle = np.median(skin, 0)[None]
    unlike = distance(lab[outer], middle) >= max(14, 1.2 * np.percentile(distance(skin, middle), 80))
    hair = distance(lab, common_colours(lab[outer][unlike] if unlike.mean() > 0.25 else lab[outer], 3))
    neck = person & (abs(x - chin_x) < 0.15 * WIDTH) & (y > chin_y + 4) & (y < chin_y + 22)
    other = distance(lab, common_colours(np.concatenate([skin[::4], lab[neck]]), 3))
    torso = person & (abs(x - chin_x) < 0.3 * WIDTH) & (y > chin_y + 0.7 * WIDTH)
    if torso.sum() > 50:
        clothes = distance(lab, common_colours(lab[torso], 2))
        other = np.where(y > chin_y + 0.25 * WIDTH, np.minimum(other, clothes), other)
    face_itself = (cv2.erode(oval.astype(np.uint8), np.ones((4, 4))) > 0) & (y > EYES[1] - 16)
    mask = (person & (hair < other) & (hair < 26) & ~face_itself).astype(np.uint8)
    mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2))), cv2.MORPH_CLOSE, np.ones((3, 3)))
    _, pieces = cv2.connectedComponents(mask)
    return np.isin(pieces, np.setdiff1d(pieces[crown], 0))


def read_hair(face: Face, mask: np.ndarray) -> Hair:
    """Style, colour and volume.

    Args:
        face: the head.
        mask: from `find_hair`.
    """
    _, y = half_grid()
    upper = face.lab[::2, ::2][mask & (y < face.points[MOUTH, 1])]
    if len(upper) < 30:
        return Hair("bald", None, 1.0)
    return Hair(_style(face, mask), name_hair(upper), _volume(face, mask))


def name_hair(values: np.ndarray) -> str:
    """What the world calls the colour of hair.

    Args:
        values: Lab of the hair's pixels, (n, 3); the lighter ones tell, for the others lie in shade.
    """
    light, chroma, hue = lightness_chroma_hue(np.median(values[values[:, 0] >= np.percentile(values[:, 0], 60)], 0))
    redness = chroma * np.cos(np.radians(hue))
    if chroma > 16 and 250 < hue < 320:
        return "blue"
    if (hue < 54 or hue > 320) and redness > (18 if 49 < hue < 54 else 13):
        return "red"
    if light > 50 and hue > 64 and chroma > 12:
        return "blond"
    if light + 1.2 * chroma < 43 or (chroma < 11 and np.median(values[:, 0]) < 24):
        return "black"
    return "grey" if chroma < 10 else "brown"


def _style(face: Face, mask: np.ndarray) -> str:
    x, y = half_grid()
    mouth, chin = face.points[MOUTH, 1], face.points[CHIN, 1]
    sides = [(x - face.points[[LEFT, RIGHT], 0].mean()) * sign / WIDTH for sign in (-1, 1)]
    hanging = (y > mouth) & (y < chin + 0.35 * WIDTH)
    low = max((mask & hanging & (away > 0.34) & (away < 0.95)).sum() for away in sides) * _PIXEL
    ears = max((mask & (y > EYES[1]) & (y < mouth) & (away > 0.3)).sum() for away in sides) * _PIXEL
    columns = np.flatnonzero(mask[94:106].any(0))
    wide = 2 * np.ptp(columns) / WIDTH if len(columns) else 0.0
    if _order_of_strands(face, mask) < 0.63 and wide > 1.3 and ears > 0.06:
        return "curly"
    return "long" if low > 0.12 else "short"


def _order_of_strands(face: Face, mask: np.ndarray) -> float:
    """How far neighbouring strands run one way, 0 to 1: coherence of the structure tensor of lightness."""
    soft = cv2.GaussianBlur(face.lab[..., 0], (0, 0), 0.8)
    dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(part, (0, 0), 4)[::2, ::2] for part in (dx * dx, dy * dy, dx * dy))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
    return float(np.hypot(xx - yy, 2 * xy)[inner].sum() / ((xx + yy)[inner].sum() + 1e-3))


def _volume(face: Face, mask: np.ndarray) -> float:
    x, _ = half_grid()
    middle = face.points[[LEFT, RIGHT], 0].mean()
    rows = np.flatnonzero((mask & (abs(x - middle) < 0.3 * WIDTH)).any(1))
    high = (face.points[FOREHEAD, 1] - 2 * rows[0]) / WIDTH if len(rows) else 0.5
    return float(1 + np.clip((high - 0.5) / 0.3, -1, 1) * 0.12)
