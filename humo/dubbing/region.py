"""The region that is made anew: the focus head's prediction, cut to what must change, grown and smoothed, or a mask.

It is kept as opacity in the clip's own pixels. Where it is 0 the clip stays to the bit, and from the region's border
it rises inwards, so that nothing of the edge lies outside.
"""

# f video frames, k latent frames

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, maximum_filter1d, uniform_filter1d

from humo.dubbing.shape import Part, Shape
from humo.media import read_picture
from humo.timing import FRAMES_PER_LATENT

EDGE = 0.05
"""Share of the clip's height in which opacity rises from 0 to 1."""
_LOWER = 0.5
"""Share of a face's height that lies above what a mouth moves."""
_LEAST = 0.002
"""Share of the picture below which nothing counts as a face."""
_STEADY = 5
"""Frames over which opacity is smoothed."""


@dataclass(frozen=True)
class Region:
    """Where a clip is made anew."""

    opacity: np.ndarray
    """Of what is made over the clip, uint8 (f, height, width), 255 for all of it; 0 outside."""

    @property
    def inside(self) -> np.ndarray:
        """Where it is not 0, bool (f, height, width)."""
        return self.opacity > 0

    def held(self, num_frames: int) -> Region:
        """The same with its last frame repeated up to so many frames, or without those beyond."""
        missing = max(0, num_frames - len(self.opacity))
        return Region(np.concatenate([self.opacity, np.repeat(self.opacity[-1:], missing, 0)])[:num_frames])

    def known(self, height: int, width: int) -> np.ndarray:
        """How far the pixels of a smaller picture are known, 0 or 1, float32 (f, height, width).

        A pixel of which any part lies inside is unknown.
        """
        return np.stack([1.0 - _covers(frame, height, width) for frame in self.opacity]).astype(np.float32)

    def union(self) -> Image.Image:
        """All that is made anew in any frame, white on black, to be corrected and given back as a mask."""
        return Image.fromarray(np.where(self.opacity.any(0), 255, 0).astype(np.uint8))


def make_region(
    probabilities: np.ndarray, num_frames: int, height: int, width: int, shape: Shape | None = None
) -> Region:
    """The region that follows a predicted face.

    Args:
        probabilities: of the face, (k, rows, columns) as `humo.dubbing.dub.face_probabilities` reads them.
        num_frames: of the clip, at most 4k - 3.
        height: pixels of the clip.
        width: pixels of the clip.
        shape: what is made of the face.

    Raises:
        ValueError: if there is no face in any frame, or the shape is none that can be.
    """
    shape = (shape or Shape()).check(height)
    found = [_enlarged(frame, height, width) > 0.5 for frame in probabilities]
    if max(frame.mean() for frame in found) < _LEAST:
        raise ValueError(
            "No face is found in the clip: give one in which the speaker's face is seen, or a mask of the place."
        )
    shaped = [_lower_half(frame) if shape.part is Part.MOUTH else frame for frame in found]
    opacity = np.stack([_soft(_pulled(frame, shape.sides), shape.margin or 0.0, EDGE * height) for frame in shaped])
    opacity = maximum_filter1d(opacity, 3, axis=0, mode="nearest")  # a head moves on while a latent frame lasts
    each = np.repeat(opacity, [1] + [FRAMES_PER_LATENT] * (len(opacity) - 1), axis=0)[:num_frames]
    return Region(uniform_filter1d(each, _STEADY, axis=0, mode="nearest"))


def read_mask(mask: Image.Image | str | Path | np.ndarray, num_frames: int, height: int, width: int) -> Region:
    """A painted region: the same place in every frame.

    Args:
        mask: a picture of the clip's size, white where the clip is made anew, black where it stays; or an array
            (height, width), bool or uint8.
        num_frames: of the clip.
        height: pixels of the clip.
        width: pixels of the clip.

    Raises:
        ValueError: if it cannot be read, has another size, or marks nothing.
    """
    if isinstance(mask, np.ndarray):
        values = mask
        if values.ndim != 2 or values.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"mask is {values.dtype} of {values.shape}: give bool or uint8 of (height, width).")
        marked = values > (0 if values.dtype == np.bool_ else 127)
    else:
        marked = np.asarray(read_picture(mask).convert("L")) > 127
    if marked.shape != (height, width):
        raise ValueError(
            f"the mask has {marked.shape[1]}x{marked.shape[0]} pixels but the clip has {width}x{height}: give one of "
            "the clip's size, white where it is made anew."
        )
    if not marked.any():
        raise ValueError("the mask marks nothing: paint white what is to be made anew, the mouth and what moves by it.")
    return Region(np.repeat(_soft(marked, 0.0, EDGE * height)[None], num_frames, axis=0))


def lay_over(frames: np.ndarray, made: np.ndarray, region: Region) -> np.ndarray:
    """Lay what was made over a clip.

    Args:
        frames: of the clip, uint8 (f, height, width, 3).
        made: of the model's size, uint8 (f, h, w, 3).
        region: of the clip.

    Returns:
        uint8 (f, height, width, 3), the clip's own pixels wherever the region's opacity is 0.
    """
    laid = frames.copy()
    height, width = frames.shape[1:3]
    for target, source, opacity in zip(laid, made, region.opacity, strict=True):
        picture = Image.fromarray(source)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        rows, columns = np.nonzero(opacity)
        share = opacity[rows, columns, None].astype(np.uint16)
        new, old = np.asarray(picture)[rows, columns], target[rows, columns]
        target[rows, columns] = (new * share + old * (255 - share) + 127) // 255
    return laid


def _soft(marked: np.ndarray, margin: float, edge: float) -> np.ndarray:
    """Opacity of a shape that is grown by a margin and rises inwards from there, uint8 (height, width)."""
    if marked.all() or not marked.any():
        return np.full(marked.shape, 255 * marked.all(), np.uint8)
    inwards = distance_transform_edt(np.pad(marked, 1, mode="edge"))[1:-1, 1:-1]  # the picture's sides are no edge
    outwards = distance_transform_edt(~marked) - inwards
    return (np.clip((margin - outwards) / max(edge, 1.0), 0.0, 1.0) * 255).astype(np.uint8)


def _lower_half(face: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(face.any(1))
    if not len(rows):
        return face
    middle = rows[0] + round(_LOWER * (rows[-1] + 1 - rows[0]))
    return np.where(np.arange(len(face))[:, None] >= middle, face, False)


def _pulled(marked: np.ndarray, sides: tuple[float, float, float, float]) -> np.ndarray:
    """A shape stretched so that the box around it ends so many pixels further left, up, right and down."""
    if not any(sides) or not marked.any():
        return marked
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    left, top, right, bottom = (round(side) for side in sides)
    place = columns[0] - left, rows[0] - top, columns[-1] + 1 + right, rows[-1] + 1 + bottom
    if place[2] <= place[0] or place[3] <= place[1]:
        return np.zeros_like(marked)
    cut = Image.fromarray(marked[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    pulled = Image.new("1", marked.shape[::-1])
    pulled.paste(cut.resize((int(place[2] - place[0]), int(place[3] - place[1]))), (int(place[0]), int(place[1])))
    return np.asarray(pulled)


def _enlarged(values: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _covers(opacity: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels of a smaller picture have any part where the opacity is not 0."""
    inside = Image.fromarray((opacity > 0).astype(np.float32))
    return np.asarray(inside.resize((width, height), Image.Resampling.BOX)) > 0
