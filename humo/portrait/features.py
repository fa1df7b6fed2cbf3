"""Glasses, beard, skin, eyes, and the proportions that repeat between pictures of one person. Ours."""

from __future__ import annotations

import cv2
import numpy as np

from humo.portrait.face import CHEEKS, CHIN, FOREHEAD, LEFT, RIGHT, SKIN, Face, fill
from humo.portrait.portrait import Seen

_LIPS = ([165, 92, 40, 39, 167], [391, 322, 270, 269, 393])
"""Landmarks between nose and upper lip, the image's left side first."""
_CHIN_AREA = [32, 194, 83, 18, 313, 418, 262, 369, 396, 175, 171, 140]
_MOUTH = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
_AROUND_EYES = ([70, 105, 107, 133, 145, 33, 111, 120, 114], [300, 334, 336, 362, 374, 263, 340, 349, 343])
_RIMS = {33: [33, 160, 159, 158, 133, 153, 145, 144], 263: [263, 387, 386, 385, 362, 380, 374, 373]}
"""Landmarks around an eye by its outer corner."""
_EYE_PARTS = ((33, 133, 145), (263, 362, 374))
"""Outer corner, inner corner and lower lid of both eyes."""
_BAR, _RIM = 8, 7
"""Contrast in lightness from which there is a bar across the nose, and a rim below the eyes."""
_WOMAN = 36.49, {"hanging": 10.7, "beard": -1.86, "jaw": -47.2, "lips": 0.109, "brows": -16.9}
"""Logistic regression of women against men: constant and weights. Fitted to 189 portraits from public demo sets,
labelled by eye, that are not ours to pass on."""
_AGREE = 1.1
"""Least log-odds of a guess, three to one."""
_DEEP = 23
"""Pixels at twice the upright picture's scale, from 6 below the eye, from which a rim is far from it."""
_LIP, _HAIR = 6, 16
"""Differences in lightness, and in lightness and chroma together, from which there is hair around the mouth."""
_GUESSED = 0.4
"""How sure a guess is."""
_BRIDGE, _BETWEEN_BROWS, _NOSE_SIDE = 168, 9, 197
_Pairs = tuple[tuple[int, int], ...]
_PARTS: dict[str, tuple[_Pairs, _Pairs, float, float, float]] = {
    "face_width": (((LEFT, RIGHT),), ((FOREHEAD, CHIN),), 0.826, 0.034, 0.07),
    "nose_size": (((129, 358),), ((LEFT, RIGHT),), 0.299, 0.019, 0.2),
    "eye_distance": (((33, 263), (133, 362)), ((LEFT, RIGHT),) * 2, 0.466, 0.017, 0.08),
    "eye_size": (((159, 145), (386, 374)), ((LEFT, RIGHT),) * 2, 0.074, 0.012, 0.15),
}
"""Proportion of `Person`: lengths between landmarks, those they are divided by, mean and spread of that quotient in 58
frontal photographs, and how far the world draws it from 1."""
_FRONTAL = 0.15
"""A head that is turned further shows no proportions."""


def read_glasses(face: Face) -> Seen:
    """A bar across the bridge of the nose and rims below the eyes, or dark all around the eyes.

    Rims far below the eyes are called round, those close to them square: large glasses are mostly round, low ones
    rectangular.
    """
    lab, spot = face.zoom(face.points[[33, 263]].mean(0), (256, 160), 2.0)
    bars = _bars(cv2.GaussianBlur(lab[..., 0], (0, 0), 1))
    bridge = spot[_BRIDGE, 0]
    bar, _ = _strongest(bars, (bridge - 7, bridge + 7), (spot[_BETWEEN_BROWS, 1] + 6, spot[_NOSE_SIDE, 1]))
    if bar < _BAR:
        return Seen("none", _sure(_BAR - bar, 2))
    if np.median(face.colours(*_AROUND_EYES)[:, 0]) < 0.5 * np.median(face.colours(*CHEEKS)[:, 0]):
        return Seen("sunglasses", 0.8)
    rims = []
    for outer, inner, lid in _EYE_PARTS:
        thirds = np.linspace(spot[[outer, inner], 0].min(), spot[[outer, inner], 0].max(), 4)
        below = spot[lid, 1] + 6, spot[lid, 1] + 44
        rims += [_strongest(bars, (thirds[i], thirds[i + 1]), below) for i in range(3)]
    contrast, depth = float(np.mean([rim for rim, _ in rims])), np.median([row for _, row in rims])
    if contrast <= _RIM:
        return Seen("none", _sure(_RIM - contrast, 2))
    return Seen("round" if depth > _DEEP else "square", _sure(contrast - _RIM, 2))


def _bars(light: np.ndarray) -> np.ndarray:
    """How much each pixel (h, w) is darker, or lighter, than those a little above and below it."""
    sides = [(np.roll(light, step, 0), np.roll(light, -step, 0)) for step in (3, 5, 7)]
    return np.max([np.maximum(np.minimum(a, b) - light, light - np.maximum(a, b)) for a, b in sides], axis=0)


def _strongest(bars: np.ndarray, columns: tuple[float, float], rows: tuple[float, float]) -> tuple[float, float]:
    """The strongest level bar in a part of a picture: its contrast, and how far below the part's top it is."""
    (x0, x1), (y0, y1) = ([max(0, int(end)) for end in ends] for ends in (columns, rows))
    part = bars[y0:y1, x0:x1]
    if not part.size:
        return 0.0, 0.0
    contrast = part.mean(1)
    return float(contrast.max()), float(contrast.argmax())


def read_beard(face: Face) -> Seen:
    """Darker and greyer than the cheeks: above the lips on the cheek's own side, and on the chin."""
    lab = [np.median(face.colours(part), 0) for part in (*CHEEKS, *_LIPS, _CHIN_AREA)]
    light, chroma = [float(each[0]) for each in lab], [float(np.hypot(*each[1:])) for each in lab]
    lip, chin = min(light[0] - light[2], light[1] - light[3]), sum(light[:2]) / 2 - light[4]
    greyer = sum(chroma[:2]) / 2 - chroma[4]
    hair = lip + 0.3 * chin + greyer
    if lip < _LIP or hair < _HAIR:
        return Seen("none", _sure(max(_LIP - lip, _HAIR - hair), 3))
    return Seen("beard" if chin > 11 or greyer > 3.5 else "moustache", _sure(min(lip - _LIP, hair - _HAIR), 3))


def read_gender(face: Face, hanging: float, has_beard: bool) -> Seen:
    """From jaw, brows, redness of the lips, hair and beard; a guess, and none where they do not agree.

    Args:
        face: the head.
        hanging: how much hair hangs beside the neck (`humo.portrait.hair.Hair`).
        has_beard: whether there is hair around the mouth.
    """
    wide = max(1e-6, face.distance(LEFT, RIGHT))
    redness = [np.median(face.colours(*parts)[:, 1]) for parts in ((_MOUTH,), CHEEKS)]
    measures = {
        "hanging": min(hanging, 0.3),
        "beard": float(has_beard),
        "jaw": face.distance(172, 397) / wide,
        "lips": redness[0] - redness[1],
        "brows": (face.distance(105, 52) + face.distance(334, 282)) / 2 / wide,
    }
    score = _WOMAN[0] + sum(_WOMAN[1][name] * value for name, value in measures.items())
    if abs(score) < _AGREE:
        return Seen(None, 0.0)
    return Seen("woman" if score > 0 else "man", _GUESSED)


def read_skin(face: Face) -> Seen:
    """By lightness less chroma; exposure hides brown against tan, so this is a guess."""
    light, a, b = np.median(face.colours(*SKIN), 0)
    if light - 1.2 * np.hypot(a, b) > 36:
        return Seen("pale", _GUESSED)
    return Seen("tan" if light > 50 else "brown" if light > 34 else "dark", _GUESSED)


def read_eyes(face: Face) -> Seen:
    """From the ring around the pupil, where it is neither in shadow nor in the gleam; a guess."""
    rings, away = [], np.hypot(*(np.mgrid[0:64, 0:64] - 32))
    for outer, inner, _ in _EYE_PARTS:
        corners = face.points[[outer, inner]]
        lab, spot = face.zoom(corners.mean(0), (64, 64), 64 / max(1.0, float(np.linalg.norm(corners[0] - corners[1]))))
        eye = fill(np.zeros((64, 64), np.uint8), spot[_RIMS[outer]])
        ring = lab[(away > 5) & (away < 12) & (eye > 0)]
        rings.append(ring[np.argsort(ring[:, 0])[len(ring) // 4 : int(0.85 * len(ring))]])
    light, a, b = np.median(np.concatenate(rings), 0) if sum(map(len, rings)) > 9 else (0, 9, 9)
    return Seen("brown" if light < 12 or a > 3.6 else "blue" if b < 6.5 else "green", _GUESSED)


def read_proportions(face: Face) -> dict[str, float]:
    """`Person`'s proportions that repeat between pictures of one person; none for a head that is turned away."""
    if face.turn > _FRONTAL:
        return {}
    return {
        name: float(1 + most * np.clip((_quotient(face, over, under) - mean) / spread / 1.5, -1, 1))
        for name, (over, under, mean, spread, most) in _PARTS.items()
    }


def _quotient(face: Face, over: _Pairs, under: _Pairs) -> float:
    """Lengths between pairs of landmarks, divided by others."""
    return sum(face.distance(*pair) for pair in over) / max(1e-6, sum(face.distance(*pair) for pair in under))


def _sure(margin: float, scale: float) -> float:
    """From how far a measure is beyond its limit to 0.5..1."""
    return float(1 / (1 + np.exp(-max(0.0, margin) / scale)))
