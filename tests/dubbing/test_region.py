"""The region of a dub: from probabilities, from a mask, laid over.

Run: python -m pytest tests/dubbing/test_region.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from humo.dubbing.region import EDGE, Region, lay_over, make_region, read_mask
from humo.dubbing.shape import MARGIN, Part, Shape
from humo.explain.regions import show_region, strip

SIDE = 128


def probabilities(top: int = 4, bottom: int = 12, left: int = 4, right: int = 12, frames: int = 3) -> np.ndarray:
    values = np.zeros((frames, 16, 16), np.float32)
    values[:, top:bottom, left:right] = 1
    return values


def box_of(marked: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_it_is_the_lower_half_of_the_face_or_all_of_it() -> None:
    mouth = make_region(probabilities(), 9, SIDE, SIDE, Shape(margin=0))
    face = make_region(probabilities(), 9, SIDE, SIDE, Shape(margin=0, part=Part.FACE))
    assert mouth.opacity.shape == (9, SIDE, SIDE) and mouth.opacity.dtype == np.uint8
    np.testing.assert_allclose(box_of(face.inside[4]), (32, 32, 96, 96), atol=2)
    np.testing.assert_allclose(box_of(mouth.inside[4]), (32, 64, 96, 96), atol=2)
    assert face.opacity[4, 64, 64] == 255


def test_it_grows_by_the_margin_and_further_to_its_sides() -> None:
    none, own = (make_region(probabilities(), 9, SIDE, SIDE, shape) for shape in (Shape(margin=0), None))
    np.testing.assert_allclose(
        np.subtract(box_of(own.inside[0]), box_of(none.inside[0])), np.array([-1, -1, 1, 1]) * MARGIN * SIDE, atol=1.5
    )
    pulled = make_region(probabilities(), 9, SIDE, SIDE, Shape(margin=0, sides=(10, 0, -6, 20)))
    np.testing.assert_allclose(
        np.subtract(box_of(pulled.inside[0]), box_of(none.inside[0])), (-10, 0, -6, 20), atol=1.5
    )
    gone = make_region(probabilities(), 9, SIDE, SIDE, Shape(margin=0, sides=(-60, 0, -60, 0)))
    assert not gone.inside.any()


def test_opacity_rises_inwards_from_the_border() -> None:
    row = make_region(probabilities(), 9, SIDE, SIDE).opacity[4, 80]
    first = int(np.flatnonzero(row)[0])
    rise = row[first : first + round(EDGE * SIDE)].astype(int)
    assert (np.diff(rise) > 0).all() and rise[0] < 60 and row[first + round(EDGE * SIDE) + 1] == 255


def test_it_moves_with_the_face_without_a_leap() -> None:
    moving = np.concatenate([probabilities(left=2, right=8, frames=3), probabilities(left=8, right=14, frames=3)])
    opacity = make_region(moving, 21, SIDE, SIDE).opacity.astype(int)
    assert opacity[0, 80, 40] == 255 and opacity[0, 80, 88] == 0
    assert opacity[-1, 80, 40] == 0 and opacity[-1, 80, 88] == 255
    assert np.abs(np.diff(opacity, axis=0)).max() <= 255 // 5 + 1
    assert opacity[10, 80, 40] == opacity[10, 80, 88] == 255, "before and after it moved both are made anew"


def test_what_is_no_region_is_one_sentence() -> None:
    for shape, words in (
        (Shape(margin=-1), "margin is -1: give pixels of the clip, 0 to 64."),
        (Shape(margin=float("nan")), "margin is nan: give pixels of the clip, 0 to 64."),
        (Shape(sides=(0, 0, 65, 0)), "each of sides is 65: give pixels of the clip, -64 to 64."),
        (Shape(sides=(1, 2)), "sides are 2 numbers: give four, for left, top, right and bottom."),  # type: ignore[arg-type]
        (Shape(part="nose"), "part is 'nose': use mouth or face."),
    ):
        with pytest.raises(ValueError) as refused:
            make_region(probabilities(), 9, SIDE, SIDE, shape)
        assert str(refused.value) == words
    with pytest.raises(ValueError, match="No face is found in the clip: give one in which"):
        make_region(0.4 * probabilities(), 9, SIDE, SIDE)


def test_a_mask_is_read_and_kept(tmp_path: Path) -> None:
    marked = np.zeros((40, 60), bool)
    marked[10:30, 20:50] = True
    Image.fromarray(marked).save(tmp_path / "mask.png")
    for mask in (marked, (marked * 255).astype(np.uint8), tmp_path / "mask.png"):
        region = read_mask(mask, 3, 40, 60)
        np.testing.assert_array_equal(region.inside, np.repeat(marked[None], 3, 0))
        assert region.opacity[0, 20, 35] == 255 and region.opacity[0, 10, 35] < 255
    np.testing.assert_array_equal(np.asarray(region.union()) > 0, marked)
    assert (read_mask(np.ones((40, 60), bool), 1, 40, 60).opacity == 255).all(), "the picture's sides are no edge"


def test_a_wrong_mask_is_one_sentence() -> None:
    wrong: list[tuple[Any, str]] = [
        (np.ones((40, 61), bool), "the mask has 61x40 pixels but the clip has 60x40: give one of the clip's size"),
        (np.zeros((40, 60), bool), "the mask marks nothing: paint white what is to be made anew"),
        (np.ones((40, 60, 3), bool), "mask is bool of (40, 60, 3): give bool or uint8 of (height, width)."),
        (np.ones((40, 60)), "mask is float64 of (40, 60): give bool or uint8 of (height, width)."),
    ]
    for mask, words in wrong:
        with pytest.raises(ValueError) as refused:
            read_mask(mask, 3, 40, 60)
        assert str(refused.value).startswith(words)


def test_outside_every_pixel_is_the_clips_own_also_in_its_own_size() -> None:
    draw = np.random.default_rng(3)
    frames = draw.integers(0, 256, (9, 2 * SIDE, 2 * SIDE, 3), np.uint8)
    made = draw.integers(0, 256, (9, SIDE, SIDE, 3), np.uint8)
    region = make_region(probabilities(), 9, 2 * SIDE, 2 * SIDE)
    laid = lay_over(frames, made, region)
    np.testing.assert_array_equal(laid[~region.inside], frames[~region.inside])
    large = np.asarray(Image.fromarray(made[5]).resize((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS))
    whole = region.opacity[5] == 255
    np.testing.assert_array_equal(laid[5][whole], large[whole])
    half = np.abs(region.opacity[5].astype(int) - 128) < 8
    between = (frames[5].astype(float) + large) / 2
    assert half.any() and np.abs(laid[5][half] - between[half]).max() < 10
    known = region.known(SIDE, SIDE)
    blocks = region.inside.reshape(9, SIDE, 2, SIDE, 2).any((2, 4))
    np.testing.assert_array_equal(known == 0, blocks)


def test_a_region_lasts_as_long_as_is_wished() -> None:
    region = Region(np.arange(3, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2))
    assert region.held(5).opacity[:, 0, 0].tolist() == [0, 1, 2, 2, 2]
    assert region.held(2).opacity[:, 0, 0].tolist() == [0, 1]


def test_it_is_shown_in_purple() -> None:
    frames = np.full((5, 64, 64, 3), 200, np.uint8)
    region = read_mask(np.pad(np.ones((20, 20), bool), 22), 5, 64, 64)
    shown = show_region(frames, region)
    assert (shown[~region.inside] == 200).all() and shown[2, 32, 32, 1] < 150 < shown[2, 32, 32, 2]
    assert strip(shown, count=3, height=32).size == (96, 32)
