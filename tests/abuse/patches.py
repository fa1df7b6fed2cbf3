"""A picture of eight known colours, and how near to them a file is read."""

from __future__ import annotations

import io
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from humo.media import read_picture

SIDE = 24
"""Of a patch, pixels: whole blocks of every coding."""
COLOURS = np.array(
    (
        ((200, 30, 40), (40, 160, 60), (50, 70, 190), (224, 172, 140)),
        ((255, 255, 255), (0, 0, 0), (128, 128, 128), (240, 200, 40)),
    ),
    np.uint8,
)
"""RGB of sRGB, two rows of four: no two of its turns and mirror pictures are alike."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file, and what has to be read of it."""

    kind: str
    """As the README's table names it."""
    name: str
    """Of the variant."""
    content: bytes
    colours: np.ndarray | None
    """RGB of the patches, (rows, columns, 3); None if it has to be refused."""
    tolerance: float = 1.0
    """By how much a number may differ, of 255."""
    says: str = ""
    """Expression that the refusal's sentence has to match."""


def spread(colours: np.ndarray) -> np.ndarray:
    """Patches of these colours, (rows, columns, ...) to pixels."""
    return np.repeat(np.repeat(colours, SIDE, axis=0), SIDE, axis=1)


def patchwork(colours: np.ndarray = COLOURS, mode: str | None = None) -> Image.Image:
    """Patches as a picture."""
    picture = Image.fromarray(spread(colours))
    return picture if mode is None else picture.convert(mode)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def grey(colours: np.ndarray = COLOURS) -> np.ndarray:
    """The colours as grey of three equal numbers, by Pillow's weights."""
    numbers = np.asarray(Image.fromarray(colours).convert("L"))
    return np.repeat(numbers[..., None], 3, axis=-1)


def difference(shown: Shown) -> float | str:
    """By how much the worst number differs, of 255; or the refusal's sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.bin"
        path.write_bytes(shown.content)
        try:
            read = np.asarray(read_picture(path)).astype(float)
        except ValueError as error:
            return str(error)
    if shown.colours is None:
        return 0.0
    rows, columns = shown.colours.shape[:2]
    if read.shape != (rows * SIDE, columns * SIDE, 3):
        return 255.0
    third = SIDE // 3  # the middle of each patch: codings blur its edges
    middles = read.reshape(rows, SIDE, columns, SIDE, 3)[:, third:-third, :, third:-third]
    return float(np.abs(middles - shown.colours[:, None, :, None]).max())


def fault(shown: Shown, found: float | str) -> str | None:
    """What is wrong with what came of a file."""
    if isinstance(found, str):
        is_right = bool(shown.says) and re.fullmatch(shown.says, found)
        return None if is_right else f"{shown.kind}, {shown.name}: {found}"
    if shown.says:
        return f"{shown.kind}, {shown.name}: is read, and should be refused"
    return None if found <= shown.tolerance else f"{shown.kind}, {shown.name}: {found:.1f} of 255 beside the truth"
