"""The face as SyncNet wants to see it: a square crop of 224 pixels that follows a smoothed box.

Source: SyncNet's released `run_pipeline.py::crop_video`; our boxes come from the face mask, and the crop is made with
antialiasing.
"""

# f frames, h w pixels

from __future__ import annotations

import numpy as np
from PIL import Image

from humo.finetuning.dataset.clips.faces import boxes_of

SIDE = 224
"""Pixels a side."""
MARGIN = 0.4
"""Of half the box's side, around the face; below it twice as much."""
GREY = 110
"""What lies outside the frame."""
SMOOTHING = 13
"""Frames of the median filter."""
WINDOW = 5
"""Frames that SyncNet sees at once."""


def crop_faces(frames: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Crop the face out of every frame.

    Args:
        frames: (f, h, w, 3) uint8.
        face: mask (f, h, w) bool, with a face in one frame at least.

    Returns:
        (f, 224, 224, 3) uint8; where there is no face, the place is taken over from the frames beside it.
    """
    boxes = boxes_of(face)
    seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
    return crop_boxes(frames, np.stack([np.interp(np.arange(len(frames)), seen, side[seen]) for side in boxes.T], 1))


def crop_boxes(frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Crop a followed face out of every frame, with more room below than above.

    Args:
        frames: (f, h, w, 3) uint8.
        boxes: left, top, right, bottom in every frame, (f, 4) pixels.

    Returns:
        (f, 224, 224, 3) uint8.
    """
    left, top, right, bottom = boxes.T
    half = _median(np.maximum(right - left, bottom - top) / 2)
    middle, centre = _median((left + right) / 2), _median((top + bottom) / 2)
    crops = np.empty((len(frames), SIDE, SIDE, 3), np.uint8)
    for index, frame in enumerate(frames):
        size, pad = half[index], int(2 * half[index]) + 1
        x, y = middle[index] + pad, centre[index] + pad
        padded = Image.fromarray(np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=GREY))
        region = (x - size * (1 + MARGIN), y - size, x + size * (1 + MARGIN), y + size * (1 + 2 * MARGIN))
        crops[index] = np.asarray(padded.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=region))
    return crops


def _median(values: np.ndarray) -> np.ndarray:
    """Running median; the ends repeat."""
    reach = SMOOTHING // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, "edge"), SMOOTHING)
    return np.median(windows, axis=1)
