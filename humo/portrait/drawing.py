"""A portrait drawn as the world draws people: the reference picture that mini learned to read. Ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from humo.portrait.portrait import Portrait
from humo.world.drawing import Pose, draw_background, draw_person
from humo.world.people import Person, Setting
from humo.world.shapes import Scene

QUIET = {
    "skin": "tan",
    "hair_style": "short",
    "hair_colour": "brown",
    "glasses": "none",
    "beard": "none",
    "eye_colour": "brown",
    "garment": "shirt",
    "colour": "white",
    "background": "grey",
}
"""What is drawn where an attribute was not seen; for the gender see `likely_gender`."""
PATTERN, FRAMING, POSITION = "plain", "medium", "centre"
LEAST_SIZE = 16
"""Pixels a side."""
_WOMENS_STYLES = ("long", "bun", "curly")


def draw_portrait(portrait: Portrait, size: int = 128) -> Image.Image:
    """Draw a person facing the viewer, mouth closed; the same portrait gives the same picture.

    Args:
        portrait: who; what was not seen is drawn as `QUIET` says.
        size: side in pixels.

    Returns:
        RGB picture, size x size.

    Raises:
        ValueError: if the size is under 16.
    """
    if size < LEAST_SIZE:
        raise ValueError(f"A portrait of {size} pixels cannot be drawn: use {LEAST_SIZE} or more.")
    person, setting = draw_cast(portrait)
    canvas = draw_background(setting).paint(np.zeros((1, size, size, 3), np.float32))
    scene = Scene(1)
    draw_person(scene, person, setting, _still())
    return Image.fromarray(np.clip(np.rint(scene.paint(canvas)[0]), 0, 255).astype(np.uint8))


def draw_cast(portrait: Portrait) -> tuple[Person, Setting]:
    """Person and setting of the world, with `QUIET` values for what was not seen."""
    seen: dict[str, Any] = {**QUIET, "gender": likely_gender(portrait), **portrait.attributes, **portrait.proportions}
    outside = {name: seen.pop(name) for name in ("garment", "colour", "background")}
    person = Person(**seen)
    return person, Setting(**outside, pattern=PATTERN, framing=FRAMING, position=POSITION, motion="still")


def likely_gender(portrait: Portrait) -> str:
    """The gender as read; where it was not, the one whose people in the world mostly look like this."""
    if portrait.gender is not None:
        return portrait.gender
    has_beard = portrait.beard not in (None, "none")
    return "woman" if portrait.hair_style in _WOMENS_STYLES and not has_beard else "man"


def _still() -> Pose:
    zero = np.zeros(1, np.float32)
    return Pose(openness=zero, width=np.full(1, 0.5, np.float32), blink=zero, gaze=zero, sway=zero, turn=zero, nod=zero)
