"""Colours of areas: the commonest ones, how far colours are from each other, and what the world calls them. Ours."""

# n pixels, k colours

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from humo.portrait.portrait import Seen

_WEIGHTS = np.array([0.64, 1.44, 1.44], np.float32)
"""Of lightness, a and b: lightness counts less, for light and shade change it."""
_PARTS = 4
"""Colours of an area that gets a name."""
_MOST = 1500
"""Pixels that are looked at for the commonest colours."""
_ENDS = ((74, "orange"), (108, "yellow"), (195, "green"), (292, "blue"), (360, "purple"))
"""Hue in degrees up to which a colour has a name, after red."""


def common_colours(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The commonest colours by k-means, the commonest first; the same pixels give the same colours.

    Args:
        values: Lab, (n, 3), at least `count`.
        count: how many.

    Returns:
        Colours (count, 3) float32, and the share of the pixels that is nearest to each (count,).
    """
    values = np.ascontiguousarray(values[:: max(1, len(values) // _MOST)], np.float32)
    cv2.setRNGSeed(0)
    ends = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    _, labels, found = cv2.kmeans(values, count, np.empty((len(values), 1), np.int32), ends, 2, cv2.KMEANS_PP_CENTERS)
    counts = np.bincount(labels.ravel(), minlength=count)
    order = np.argsort(-counts, kind="stable")
    return found[order], counts[order] / len(values)


def name_area(values: np.ndarray, name: Callable[[np.ndarray], str]) -> Seen:
    """The name that most of an area has; how sure it is, is its share.

    Args:
        values: Lab, (n, 3).
        name: of a colour (3,), `name_clothes` or `name_background`.
    """
    shares: dict[str, float] = {}
    for colour, share in zip(*common_colours(values, _PARTS), strict=True):
        shares[name(colour)] = shares.get(name(colour), 0.0) + float(share)
    best = max(shares, key=shares.__getitem__)
    return Seen(best, min(1.0, shares[best]))


def distance(lab: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """How far colours (..., 3) are from the nearest of some (k, 3), in units of Lab: (...)."""
    return np.sqrt(np.min([((lab - colour) ** 2) @ _WEIGHTS for colour in colours], axis=0))


def lightness_chroma_hue(lab: np.ndarray) -> tuple[float, float, float]:
    """Lightness 0 to 100, chroma from 0, hue 0 to 360 degrees of one colour (3,)."""
    return float(lab[0]), float(np.hypot(*lab[1:])), float(np.degrees(np.arctan2(lab[2], lab[1])) % 360)


def name_clothes(lab: np.ndarray) -> str:
    """What the world calls a colour (3,) of clothes."""
    light, chroma, hue = lightness_chroma_hue(lab)
    if _is_grey(light, chroma):
        return "white" if light > 52 else "black"  # the world has no grey clothes
    if _is_red(hue):
        return "pink" if light > 58 else "red"
    return "black" if light < 26 and chroma < 24 else _name(hue)


def name_background(lab: np.ndarray) -> str:
    """What the world calls a colour (3,) of a background."""
    light, chroma, hue = lightness_chroma_hue(lab)
    if _is_grey(light, chroma):
        return "white" if light > 82 else "grey"
    return "red" if _is_red(hue) else _name(hue)


def _is_grey(light: float, chroma: float) -> bool:
    return chroma < (11 if light > 30 else 16) or light < 12


def _is_red(hue: float) -> bool:
    return hue < 40 or hue > 340


def _name(hue: float) -> str:
    return next(name for end, name in _ENDS if hue <= end)
