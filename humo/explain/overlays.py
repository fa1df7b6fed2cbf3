"""Maps laid over frames, and where they lie in words: the part of `humo.explain.figures` that needs no torch.

A page draws with it from what was kept of a generation, also while no model is loaded.
"""

# f video latent frames, g side of the mask grid

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from humo.explain.schedules import COLOURS
from humo.system.tables import markdown_table


def mask_overlay(
    frame: np.ndarray, mask: np.ndarray, strength: float = 0.55, colour: str = COLOURS["mask"]
) -> Image.Image:
    """A frame with a map laid over it in a colour, by default the face mask in purple.

    Args:
        frame: (height, width, 3) uint8.
        mask: probability, or anything from 0 to 1, (rows, columns).
        strength: how much the colour covers where the mask is 1.
        colour: "#rrggbb".

    Returns:
        RGB picture of the frame's size.
    """
    covered = Image.fromarray(frame)
    covered.paste(colour, (0, 0, *covered.size), enlarge(mask, *covered.size, most=strength))
    return covered


def enlarge(values: np.ndarray, width: int, height: int, most: float = 1.0) -> Image.Image:
    """A map (rows, columns) of values from 0 to 1 at another size, smoothly: grey of `most` times 255 where it is 1."""
    picture = Image.fromarray((values * (most * 255)).round().astype(np.uint8))
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def grey_frame(frame: np.ndarray) -> np.ndarray:
    """A frame without its colours, so that a colour laid over it is seen, (height, width, 3) uint8."""
    return np.asarray(Image.fromarray(frame).convert("L").convert("RGB"))


def stretch(values: np.ndarray) -> np.ndarray:
    """A map from its least value, now 0, to its largest, now 1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / ((high - low) or 1.0)


def peak(values: np.ndarray, cells: int = 8) -> tuple[float, float]:
    """Where a map (rows, columns) is largest, as shares of width and height, judged on at most `cells` a side."""
    rows, columns = min(cells, values.shape[0]), min(cells, values.shape[1])
    small = np.asarray(Image.fromarray(values.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX))
    down, across = np.unravel_index(int(small.argmax()), small.shape)
    return (float(across) + 0.5) / columns, (float(down) + 0.5) / rows


def share_on(values: np.ndarray, mask: np.ndarray) -> float:
    """How much of a map (rows, columns) lies where the probability of a mask is above one half, 0 to 1."""
    wide = np.asarray(Image.fromarray(values.astype(np.float32)).resize(mask.shape[::-1], Image.Resampling.BOX))
    return float((wide * (mask > 0.5)).sum() / (wide.sum() or 1.0))


def describe_masks(masks: Sequence[np.ndarray], timesteps: Sequence[float] | np.ndarray) -> str:
    """Where the face was expected, step by step, as a table: share of the frame, and its middle."""
    rows = (
        (f"{timestep:.0f}", f"{mask.mean():.0%}", in_shares(middle(mask.mean(0))))
        for timestep, mask in zip(timesteps, masks, strict=True)
    )
    return markdown_table(("timestep", "share of the frame", "middle (across, down)"), rows)


def in_shares(place: tuple[float, float]) -> str:
    """A place as shares of width and height in words."""
    return "{:.0%}, {:.0%}".format(*place)


def middle(mask: np.ndarray) -> tuple[float, float]:
    """Centre of mass of a map (rows, columns), as shares of width and height."""
    total = mask.sum() or 1.0
    rows, columns = np.indices(mask.shape) + 0.5
    return float((mask * columns).sum() / total / mask.shape[1]), float((mask * rows).sum() / total / mask.shape[0])
