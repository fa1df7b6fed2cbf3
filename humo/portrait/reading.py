"""From a picture to a portrait: find the face, lay it upright, read what the drawn world can show of it. Ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from humo.media import read_picture
from humo.portrait.clothes import read_background, read_clothes
from humo.portrait.detection import LARGE, Detection, look_closer
from humo.portrait.face import Face, lay_upright
from humo.portrait.features import read_beard, read_eyes, read_gender, read_glasses, read_proportions, read_skin
from humo.portrait.hair import find_hair, read_hair
from humo.portrait.portrait import Portrait

LONGEST = 1280
"""Longer side of what is looked at, pixels: larger pictures are shrunk first."""
LEAST_WIDTH = 24
"""Of a face that can be read, pixels of the given picture."""
MOST_FACES = 12
"""Faces that are looked at closely."""


class NoFace(ValueError):
    """A picture without a face that can be read."""


def read_portrait(picture: Image.Image | str | Path) -> Portrait:
    """Read the person with the largest face in a picture.

    Args:
        picture: a path, or a picture that is open.

    Returns:
        What was seen, and how sure each part is; `GUESSES` have low values.

    Raises:
        NoFace: a ValueError of one sentence, if the picture shows no human face, or one that is too small.
        ValueError: if the picture cannot be read (`humo.media.read_picture`).
    """
    picture = read_picture(picture)
    scale = max(1.0, max(picture.size) / LONGEST)
    if scale > 1:
        size = [max(1, round(side / scale)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.BOX, reducing_gap=2)
    pixels = np.asarray(picture)
    faces = find_people(pixels)
    if not faces:
        raise NoFace("No face is found in the picture: give one in which a person is seen well and from the front.")
    where, face = faces[0]
    if where.width * scale < LEAST_WIDTH:
        raise NoFace(
            f"The face in the picture is {where.width * scale:.0f} pixels wide, at least {LEAST_WIDTH} are needed: "
            "give a larger picture of the person."
        )
    left, top, right, bottom = (float(side) * scale for side in where.box)
    return _read(face, (left, top, right, bottom), len(faces) - 1)


def find_people(picture: np.ndarray) -> list[tuple[Detection, Face]]:
    """People's faces in a picture, RGB uint8 (h, w, 3), the largest first, at most `MOST_FACES`."""
    faces: list[tuple[Detection, Face]] = []
    for side, found in look_closer(picture):
        laid = [(each, lay_upright(picture, each)) for each in found[:MOST_FACES]]
        people = [(each, face) for each, face in laid if face.is_human]
        faces = people if len(people) >= len(faces) else faces
        if faces and faces[0][0].width >= LARGE * side:
            break
    return faces


def _read(face: Face, box: tuple[float, float, float, float], others: int) -> Portrait:
    mask = find_hair(face)
    hair = read_hair(face, mask)
    beard = read_beard(face)
    seen = {
        "gender": read_gender(face, hair.hanging, beard.value != "none"),
        "skin": read_skin(face),
        "hair_style": hair.style,
        "hair_colour": hair.colour,
        "glasses": read_glasses(face),
        "beard": beard,
        "eye_colour": read_eyes(face),
        "colour": read_clothes(face, mask),
        "background": read_background(face),
    }
    return Portrait(
        **{name: each.value for name, each in seen.items()},
        sure={name: each.sure for name, each in seen.items() if each.value is not None},
        proportions=read_proportions(face) | {"hair_volume": hair.volume},
        face=box,
        others=others,
    )
