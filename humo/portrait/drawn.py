"""Is a picture one of the world's own drawings? Ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from humo.media import read_picture
from humo.world.people import BACKGROUNDS, SKINS

_SIDE = 128
_NEAR = 6
"""Levels of 255 within which a channel counts as the same."""
_LEAST_BACKGROUND, _LEAST_SKIN = 0.2, 0.003
"""Shares of the pixels."""
_PATTERN = 0.84
"""How dark the world paints stripes and dots on a background."""


def is_drawing(picture: Image.Image | str | Path) -> bool:
    """Tell a drawing of the world, or a frame of a video of one, from any other picture.

    A drawing has flat areas: a fifth or more of it is as near as compression leaves it to one of the
    world's backgrounds, or to that background's pattern, and some of it to one of the world's skins.

    Args:
        picture: a path, or a picture that is open.

    Raises:
        ValueError: if it cannot be read (`humo.media.read_picture`).
    """
    small = read_picture(picture)
    small.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(small, np.float32).reshape(-1, 3).T.copy()
    walls = [_share(pixels, shade * np.array(wall, "f4")) for wall in BACKGROUNDS.values() for shade in (1, _PATTERN)]
    return max(walls) >= _LEAST_BACKGROUND and max(_share(pixels, skin) for skin in SKINS.values()) >= _LEAST_SKIN


def _share(pixels: np.ndarray, colour: np.ndarray | tuple[int, ...]) -> float:
    """Share of the pixels (3, n) that have nearly this colour."""
    red, green, blue = (np.abs(channel - level) <= _NEAR for channel, level in zip(pixels, colour, strict=True))
    return float((red & green & blue).mean())
