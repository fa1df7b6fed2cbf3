"""Measures of a clip's quality; all ours, since the paper names its filters but not their definitions.

They work on the frames as they will be encoded, so that a threshold means the same for every source.
"""

# f frames, h w pixels

from __future__ import annotations

import numpy as np

from humo.finetuning.dataset.dropping import Drop
from humo.finetuning.dataset.settings import PrepareSettings

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CELL = 16
"""Pixels a side of the cells in which motion is measured."""
LOOKS = 8
"""Frames of a clip at which brightness and sharpness are measured."""


def luma(frames: np.ndarray) -> np.ndarray:
    """Luma of RGB frames (..., 3) uint8, (...) float32 in 0..255."""
    return frames.astype(np.float32) @ LUMA


def brightness(frames: np.ndarray) -> float:
    """Mean luma of eight frames, 0 to 1."""
    return float(luma(_some(frames)).mean() / 255)


def sharpness(frames: np.ndarray) -> float:
    """Variance of the Laplacian of luma (0..255), median over eight frames: small where nothing is sharp."""
    grey = luma(_some(frames))
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner
    return float(np.median(laplacian.var((1, 2))))


def motion(frames: np.ndarray) -> float:
    """Mean change from frame to frame, of 255, in the cell of 16x16 pixels where it is greatest; 0 for a still.

    One cell is enough: of a person who talks to the camera little more than the mouth moves.
    """
    height, width = (side // CELL * CELL for side in frames.shape[1:3])
    total = np.zeros((height // CELL, width // CELL), np.float32)
    last = luma(frames[0, :height, :width])
    for frame in frames[1:]:
        grey = luma(frame[:height, :width])
        total += np.abs(grey - last).reshape(height // CELL, CELL, width // CELL, CELL).mean((1, 3))
        last = grey
    return float(total.max() / max(1, len(frames) - 1))


def check_quality(frames: np.ndarray, settings: PrepareSettings) -> dict[str, float]:
    """Measure a clip and refuse a bad one.

    Args:
        frames: (f, h, w, 3) uint8.
        settings: with the limits.

    Returns:
        The measures by name.

    Raises:
        Drop: if a measure is outside its limits.
    """
    scores = {"brightness": brightness(frames), "sharpness": sharpness(frames), "motion": motion(frames)}
    if scores["brightness"] < settings.min_brightness:
        raise Drop("too dark", f"{scores['brightness']:.3f}")
    if scores["brightness"] > settings.max_brightness:
        raise Drop("too bright", f"{scores['brightness']:.3f}")
    if scores["motion"] < settings.min_motion:
        raise Drop("static", f"{scores['motion']:.2f}")
    if scores["sharpness"] < settings.min_sharpness:
        raise Drop("blurred", f"{scores['sharpness']:.1f}")
    return scores


def _some(frames: np.ndarray) -> np.ndarray:
    return frames[np.linspace(0, len(frames) - 1, min(LOOKS, len(frames))).astype(int)]
