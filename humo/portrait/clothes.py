"""What is around the face: clothes and background. Ours."""

from __future__ import annotations

import cv2
import numpy as np

from humo.portrait.colours import distance, name_area, name_background, name_clothes
from humo.portrait.face import CHEEKS, CHIN, WIDTH, Face, half_grid
from humo.portrait.portrait import Seen


def read_clothes(face: Face, hair: np.ndarray) -> Seen:
    """The colour of the clothes below the chin; None where too little of them is seen.

    Args:
        face: the head.
        hair: where hair is, bool at half size.
    """
    x, y = half_grid()
    lab, person = face.lab[::2, ::2], face.person[::2, ::2]
    skin, (chin_x, chin_y) = np.median(face.colours(*CHEEKS), 0), face.points[CHIN]
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    turned = abs(np.arctan2(lab[..., 2], lab[..., 1]) - np.arctan2(skin[2], skin[1]))
    shaded = (turned < 0.28) & (chroma > 8) & (chroma < 1.5 * np.hypot(*skin[1:])) & (lab[..., 0] < skin[0] + 6)
    body = person & ~hair & (y > chin_y + 0.35 * WIDTH) & (abs(x - chin_x) < 1.25 * WIDTH)
    cloth = body & (distance(lab, skin[None]) > 16) & ~shaded
    return name_area(lab[cloth], name_clothes) if cloth.sum() > max(60, 0.15 * body.sum()) else Seen(None, 0.0)


def read_background(face: Face) -> Seen:
    """The commonest colour behind the head and shoulders; None where too little of it is seen."""
    _, y = half_grid()
    person = cv2.dilate(face.person[::2, ::2].astype(np.uint8), np.ones((7, 7))) > 0
    behind = face.inside[::2, ::2] & ~person & (y < face.points[CHIN, 1] + WIDTH)
    return name_area(face.lab[::2, ::2][behind], name_background) if behind.sum() > 60 else Seen(None, 0.0)
