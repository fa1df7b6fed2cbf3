"""From a person, a setting and a pose to shapes: background, body, head, hair, face.

All lengths of a person are multiples of the head's radius `r`; the face's parts move a little further than the head
when it nods or shakes, which is what makes the motion read as a turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from humo.world.people import (
    BACKGROUNDS,
    COLOURS,
    EYE_COLOURS,
    FRAMINGS,
    HAIR_COLOURS,
    POSITIONS,
    SKINS,
    Person,
    Setting,
)
from humo.world.shapes import Colour, Scene, Value

WHITE, DARK = (250, 250, 250), (38, 30, 34)


@dataclass(slots=True)
class Pose:
    """What moves, one value per frame.

    Attributes:
        openness: of the mouth, 0 closed to 1 wide open.
        width: of the mouth, 0 rounded to 1 spread.
        blink: 0 eyes open to 1 closed.
        gaze: sideways look, -1 to 1.
        sway: sideways shift of the whole person, in head radii.
        turn: sideways turn of the head, -1 to 1.
        nod: up and down turn of the head, -1 to 1.
    """

    openness: np.ndarray
    width: np.ndarray
    blink: np.ndarray
    gaze: np.ndarray
    sway: np.ndarray
    turn: np.ndarray
    nod: np.ndarray


class FaceShapes(NamedTuple):
    """Indices of a person's shapes in the scene: the face's outline, and unpainted areas of mouth and eyes."""

    face: int
    mouth: int
    eyes: int


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (factor < 1) or lighter (factor > 1) colour."""
    if factor <= 1:
        return tuple(value * factor for value in colour)
    return tuple(value + (255 - value) * (factor - 1) for value in colour)


def draw_background(setting: Setting, phase: float = 0.3) -> Scene:
    """The still background, as a scene of one frame.

    Args:
        setting: colour and pattern.
        phase: shift of the pattern, 0 to 1.
    """
    scene = Scene(1)
    colour = BACKGROUNDS[setting.background]
    accent = shade(colour, 0.84)
    scene.box(0.5, 0.5, 0.6, 0.6, colour)
    if setting.pattern == "stripes":
        for index in range(7):
            scene.box((index + phase) / 6, 0.5, 0.036, 0.6, accent)
    elif setting.pattern == "dots":
        for row in range(6):
            for column in range(6):
                scene.ellipse((column + phase + 0.5 * (row % 2)) / 5, (row + phase) / 5, 0.034, 0.034, accent)
    return scene


def draw_person(
    scene: Scene,
    person: Person,
    setting: Setting,
    pose: Pose,
    centre: tuple[float, float] | None = None,
    radius: float | None = None,
) -> FaceShapes:
    """Adds a person to the scene.

    Args:
        scene: shapes so far.
        person: who.
        setting: clothes, framing and position.
        pose: movement.
        centre: of the head; by default the setting's position.
        radius: of the head; by default the setting's framing.

    Returns:
        Indices of the shapes whose coverage gives the exact masks.
    """
    r = FRAMINGS[setting.framing] if radius is None else radius
    left, top = (POSITIONS[setting.position], 0.50 - 0.25 * r) if centre is None else centre
    x, y = left + pose.sway * r, top + 0.05 * r * pose.nod
    head = x + 0.06 * r * pose.turn
    _draw_hair_behind(scene, person, head, y, r)
    _draw_body(scene, person, setting, x, y, r)
    face = _draw_head(scene, person, head, y, r)
    fx, fy = head + 0.10 * r * pose.turn, y + 0.09 * r * pose.nod
    _draw_cheeks_and_beard(scene, person, face, fx, fy, r)
    mouth_y = fy + 0.48 * r * person.face_height
    _draw_mouth(scene, person, pose, fx, mouth_y, r)
    _draw_eyes(scene, person, pose, fx, fy, r)
    _draw_nose(scene, person, fx, fy, r)
    _draw_hair_front(scene, person, face, head, y, r)
    _draw_glasses(scene, person, fx, fy, r)
    mouth = scene.ellipse(fx, mouth_y, 0.56 * r, 0.48 * r, DARK, alpha=0.0)
    eyes = scene.box(fx, fy - 0.14 * r, 0.72 * r, 0.34 * r, DARK, alpha=0.0)
    return FaceShapes(face, mouth, eyes)


def _draw_hair_behind(scene: Scene, person: Person, x: Value, y: Value, r: float) -> None:
    colour, volume = shade(HAIR_COLOURS[person.hair_colour], 0.86), person.hair_volume
    if person.hair_style == "long":
        scene.box(x, y + 0.42 * r, 1.10 * r * volume, 1.22 * r, colour, corner=0.8 * r)
    elif person.hair_style == "curly":
        for angle in np.linspace(-0.95, 0.95, 9) * np.pi:
            scene.ellipse(
                x + np.sin(angle) * 0.86 * r,
                y - np.cos(angle) * 0.8 * r,
                0.42 * r * volume,
                0.42 * r * volume,
                colour,
            )
    elif person.hair_style == "bun":
        scene.ellipse(x, y - 1.22 * r, 0.42 * r * volume, 0.40 * r * volume, colour)
        scene.ellipse(x, y - 0.12 * r, 0.98 * r * person.face_width, 1.02 * r, colour)
    elif person.hair_style == "spiky":
        for angle in np.linspace(-0.42, 0.42, 7) * np.pi:
            scene.box(
                x + np.sin(angle) * 0.92 * r,
                y - np.cos(angle) * 0.98 * r,
                0.13 * r,
                0.34 * r * volume,
                colour,
                corner=0.1 * r,
                angle=angle,
            )
    elif person.hair_style == "short":
        scene.ellipse(x, y - 0.2 * r, 0.97 * r * person.face_width, 0.98 * r * volume, colour)


def _draw_body(scene: Scene, person: Person, setting: Setting, x: Value, y: Value, r: float) -> None:
    skin, colour = SKINS[person.skin], COLOURS[setting.colour]
    dark = shade(colour, 0.72) if setting.colour != "black" else (84, 84, 92)
    broad = 1.0 if person.gender == "woman" else 1.16
    top = y + 1.28 * r
    if setting.garment == "hoodie":
        scene.ellipse(x, y + 0.92 * r, 1.02 * r, 0.62 * r, dark)
    torso = scene.box(
        x,
        top + 1.9 * r,
        1.42 * broad * r,
        1.9 * r,
        skin if setting.garment == "dress" else colour,
        corner=0.72 * r,
    )
    scene.box(x, y + 0.98 * r, 0.30 * broad * r, 0.5 * r, shade(skin, 0.88), corner=0.2 * r)
    if setting.garment == "t-shirt":
        scene.ellipse(x, top - 0.02 * r, 0.5 * broad * r, 0.30 * r, skin)
        scene.ellipse(x, top - 0.02 * r, 0.5 * broad * r, 0.30 * r, dark, stroke=0.09 * r, clip=torso)
    elif setting.garment == "shirt":
        for side in (-1, 1):
            scene.box(
                x + side * 0.26 * r,
                top + 0.14 * r,
                0.24 * r,
                0.13 * r,
                shade(colour, 1.45),
                corner=0.05 * r,
                angle=-side * 0.75,
            )
        scene.box(x, top + 1.6 * r, 0.05 * r, 1.3 * r, dark)
        for button in range(3):
            scene.ellipse(x, top + (0.62 + 0.5 * button) * r, 0.075 * r, 0.075 * r, WHITE)
    elif setting.garment == "hoodie":
        scene.ellipse(x, top + 0.02 * r, 0.66 * r, 0.36 * r, dark, stroke=0.2 * r, clip=torso)
        for side in (-1, 1):
            scene.box(x + side * 0.24 * r, top + 0.72 * r, 0.045 * r, 0.36 * r, WHITE, corner=0.04 * r)
    elif setting.garment == "turtleneck":
        scene.box(x, y + 1.16 * r, 0.42 * broad * r, 0.27 * r, shade(colour, 1.2), corner=0.12 * r)
        scene.box(x, y + 1.38 * r, 0.42 * broad * r, 0.05 * r, dark, corner=0.04 * r)
    else:
        scene.box(x, top + 2.5 * r, 0.94 * r, 1.98 * r, colour, corner=0.3 * r)
        for side in (-1, 1):
            scene.box(x + side * 0.72 * r, top + 0.5 * r, 0.12 * r, 0.62 * r, colour)


def _draw_head(scene: Scene, person: Person, x: Value, y: Value, r: float) -> int:
    skin = SKINS[person.skin]
    for side in (-1, 1):
        scene.ellipse(x + side * 0.86 * r * person.face_width, y + 0.1 * r, 0.17 * r, 0.23 * r, shade(skin, 0.9))
    return scene.ellipse(x, y, 0.86 * r * person.face_width, 1.0 * r * person.face_height, skin)


def _draw_cheeks_and_beard(scene: Scene, person: Person, face: int, x: Value, y: Value, r: float) -> None:
    if person.gender == "woman":
        for side in (-1, 1):
            scene.ellipse(x + side * 0.5 * r, y + 0.32 * r, 0.2 * r, 0.13 * r, (236, 110, 110), alpha=0.35, clip=face)
    colour = shade(HAIR_COLOURS[person.hair_colour], 0.82)
    if person.beard == "beard":
        scene.box(x, y + 0.86 * r, 1.1 * r, 0.56 * r, colour, corner=0.4 * r, clip=face)
    if person.beard != "none":
        scene.box(x, y + 0.30 * r * person.face_height, 0.4 * r, 0.10 * r, colour, corner=0.08 * r)


def _draw_mouth(scene: Scene, person: Person, pose: Pose, x: Value, y: Value, r: float) -> None:
    """Lips around a dark opening with upper teeth and a tongue; openness and width are the visemes' own numbers."""
    wide = r * person.mouth_size * (0.22 + 0.22 * pose.width)
    high = r * person.mouth_size * (0.015 + 0.32 * pose.openness)
    lips = (192, 66, 78) if person.gender == "woman" else (166, 92, 84)
    rim = 0.075 if person.gender == "woman" else 0.055
    scene.ellipse(x, y, wide + rim * r, high + rim * r, lips)
    opening = scene.ellipse(x, y, wide, high, (70, 16, 26))
    scene.box(x, y - high, 0.8 * wide, 0.075 * r, WHITE, corner=0.03 * r, clip=opening)
    scene.ellipse(x, y + 0.95 * high, 0.62 * wide, 0.11 * r, (222, 104, 112), clip=opening)


def _draw_eyes(scene: Scene, person: Person, pose: Pose, x: Value, y: Value, r: float) -> None:
    apart, size = 0.37 * r * person.eye_distance, person.eye_size * r
    open_ = 1.0 - 0.94 * pose.blink
    skin = SKINS[person.skin]
    brow = shade(HAIR_COLOURS[person.hair_colour], 0.7) if person.hair_style != "bald" else shade(skin, 0.5)
    thick = (0.045 if person.gender == "woman" else 0.075) * person.brow_size
    level = y - 0.12 * r
    for side in (-1, 1):
        eye_x = x + side * apart
        scene.ellipse(eye_x, level, 0.205 * size, 0.165 * size * open_ + 0.022 * r, DARK)
        white = scene.ellipse(eye_x, level + 0.012 * r, 0.175 * size, 0.145 * size * open_, WHITE)
        pupil_x = eye_x + 0.06 * r * pose.gaze
        scene.ellipse(pupil_x, level + 0.01 * r, 0.112 * size, 0.112 * size, EYE_COLOURS[person.eye_colour], clip=white)
        scene.ellipse(pupil_x, level + 0.01 * r, 0.06 * size, 0.06 * size, DARK, clip=white)
        scene.box(eye_x, level - 0.30 * r, 0.21 * r, thick * r, brow, corner=0.06 * r, angle=side * 0.12)


def _draw_nose(scene: Scene, person: Person, x: Value, y: Value, r: float) -> None:
    scene.ellipse(
        x,
        y + 0.16 * r,
        0.085 * r * person.nose_size,
        0.13 * r * person.nose_size,
        shade(SKINS[person.skin], 0.8),
    )


def _draw_hair_front(scene: Scene, person: Person, face: int, x: Value, y: Value, r: float) -> None:
    colour = HAIR_COLOURS[person.hair_colour]
    top = y - 1.02 * r * person.face_height
    if person.hair_style in ("short", "bun"):
        scene.ellipse(x - 0.06 * r, top - 0.02 * r, 0.98 * r, 0.56 * r, colour, clip=face)
    elif person.hair_style == "long":
        scene.ellipse(x, top - 0.02 * r, 0.92 * r, 0.50 * r, colour, clip=face)
        for side in (-1, 1):
            scene.ellipse(x + side * 0.84 * r, y + 0.34 * r, 0.22 * r, 0.86 * r, colour, angle=-side * 0.06)
    elif person.hair_style == "curly":
        for offset in (-0.62, -0.31, 0.0, 0.31, 0.62):
            scene.ellipse(x + offset * r, top + (0.14 + 0.3 * offset**2) * r, 0.27 * r, 0.26 * r, colour)
    elif person.hair_style == "spiky":
        scene.ellipse(x, top + 0.0 * r, 0.95 * r, 0.42 * r, colour, clip=face)


def _draw_glasses(scene: Scene, person: Person, x: Value, y: Value, r: float) -> None:
    if person.glasses == "none":
        return
    apart, level = 0.37 * r * person.eye_distance, y - 0.11 * r
    frame = (30, 30, 36)
    scene.box(x, level - 0.04 * r, 0.14 * r, 0.035 * r, frame)
    for side in (-1, 1):
        eye_x = x + side * apart
        scene.box(x + side * 0.74 * r, level - 0.05 * r, 0.14 * r, 0.035 * r, frame)
        if person.glasses == "sunglasses":
            scene.box(eye_x, level, 0.30 * r, 0.24 * r, frame, corner=0.14 * r)
            scene.box(eye_x - 0.08 * r, level - 0.09 * r, 0.09 * r, 0.035 * r, (150, 156, 170), corner=0.03 * r)
        elif person.glasses == "round":
            scene.ellipse(eye_x, level, 0.285 * r, 0.285 * r, frame, stroke=0.075 * r)
        else:
            scene.box(eye_x, level, 0.29 * r, 0.23 * r, frame, corner=0.04 * r, stroke=0.075 * r)


def draw_distractor(scene: Scene, face_colour: Colour, x: np.ndarray, y: np.ndarray, r: float) -> None:
    """Adds a balloon with a painted, silent face: it moves, looks like a face and has nothing to say."""
    scene.box(x, y + 2.2 * r, 0.03 * r, 1.4 * r, (120, 120, 120))
    scene.ellipse(x, y, r, 1.15 * r, face_colour)
    for side in (-1, 1):
        scene.ellipse(x + side * 0.36 * r, y - 0.2 * r, 0.13 * r, 0.17 * r, DARK)
    scene.ellipse(x, y + 0.42 * r, 0.34 * r, 0.09 * r, DARK)
