"""Where the face is: masks given beside the videos, or boxes of a detector.

Two detectors come with OpenCV (Apache 2.0): YuNet, a small network whose weights are one file
(`face_detection_yunet_2023mar.onnx` of OpenCV's model zoo, 230 kB, MIT), and the older cascade of Haar features, which
the wheel carries and which finds upright frontal faces only. Both know photographs; drawn people need given masks.

Among several faces the one that covers most over time is taken (ours; the paper does not say).
"""

# f frames, h w pixels, k latent frames, g grid

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from humo.finetuning.dataset.clips.video import read_frames
from humo.finetuning.dataset.rows import Files

EVERY = 4
"""Frames from one look of a detector to the next: one latent frame."""
OVERLAP = 0.3
"""Intersection over union from which two boxes are the same face."""
MIN_SIDE = 24
"""Pixels of the smallest face."""
CONFIDENCE = 0.7
"""Least score of YuNet."""


class FaceFinder(Protocol):
    """Finds the speaker's face in the frames of a clip."""

    def __call__(self, frames: np.ndarray, files: Files) -> np.ndarray:
        """Frames (f, h, w, 3) uint8 and where they come from -> mask (f, h, w) bool, empty where no face is."""


def given_masks(frames: np.ndarray, files: Files) -> np.ndarray:
    """A `FaceFinder`: the video `face_mask/KEY.mp4`, white where the face is, fitted as the frames are.

    Raises:
        Drop: if it cannot be decoded.
    """
    length, height, width = frames.shape[:3]
    masks = read_frames(files.mask, height, width, length)[..., 0] > 127
    missing = length - len(masks)
    return np.pad(masks, ((0, missing), (0, 0), (0, 0)))


@dataclass
class DetectedFaces:
    """A `FaceFinder`: an ellipse in the boxes of a detector, which looks at every fourth frame."""

    detect: Callable[[np.ndarray], np.ndarray]
    """Frame (h, w, 3) uint8 RGB -> boxes (n, 4): left, top, width, height in pixels."""

    def __call__(self, frames: np.ndarray, files: Files) -> np.ndarray:
        """See `FaceFinder`."""
        looks = [*range(0, len(frames), EVERY)]
        track = main_track([self.detect(frames[look]) for look in looks])
        mask = np.zeros(frames.shape[:3], bool)
        if not track:
            return mask
        seen = np.array([looks[index] for index in track])
        boxes = np.array(list(track.values()), np.float32)
        rows, columns = np.mgrid[0 : frames.shape[1], 0 : frames.shape[2]].astype(np.float32) + 0.5
        for frame in range(max(0, seen[0] - EVERY + 1), min(len(frames), seen[-1] + EVERY)):
            if np.abs(seen - frame).min() < 2 * EVERY:  # a gap of one look is bridged, a longer one is no face
                x, y, width, height = (np.interp(frame, seen, side) for side in boxes.T)
                across, down = (columns - x) / width * 2 - 1, (rows - y) / height * 2 - 1
                mask[frame] = across**2 + down**2 <= 1
        return mask


@dataclass
class _Track:
    last: np.ndarray
    boxes: dict[int, np.ndarray] = field(default_factory=dict)


def main_track(looks: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Follow boxes from look to look and take the face that covers most.

    Args:
        looks: boxes (n, 4) of each look.

    Returns:
        Look: box (4,), in order; {} without any face.
    """
    tracks: list[_Track] = []
    for index, boxes in enumerate(looks):
        free = list(boxes)
        for track in tracks:
            if free:
                overlaps = [_overlap(track.last, box) for box in free]
                best = int(np.argmax(overlaps))
                if overlaps[best] > OVERLAP:
                    track.last = track.boxes[index] = free.pop(best)
        tracks += [_Track(box, {index: box}) for box in free]
    if not tracks:
        return {}
    return max(tracks, key=lambda track: sum(box[2] * box[3] for box in track.boxes.values())).boxes


def opencv_detector(weights: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """One of OpenCV's detectors, for `DetectedFaces`.

    Args:
        weights: YuNet's file; None for the cascade.

    Raises:
        ValueError: if the file is missing.
    """
    import cv2.data  # slow to import

    if weights is None:
        cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")

        def by_cascade(frame: np.ndarray) -> np.ndarray:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            found = cascade.detectMultiScale(grey, 1.1, 5, minSize=(MIN_SIDE, MIN_SIDE))
            return np.array(found, np.float32).reshape(-1, 4)

        return by_cascade
    if not Path(weights).is_file():
        raise ValueError(
            f"face_weights names {Path(weights).name}, which does not exist: fetch "
            "face_detection_yunet_2023mar.onnx from OpenCV's model zoo."
        )
    net = cv2.FaceDetectorYN.create(weights, "", (320, 320), CONFIDENCE)

    def by_network(frame: np.ndarray) -> np.ndarray:
        net.setInputSize((frame.shape[1], frame.shape[0]))
        found = net.detect(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1]
        return np.zeros((0, 4), np.float32) if found is None else found[:, :4]

    return by_network


@cache
def face_finder(has_masks: bool, weights: str | None) -> FaceFinder:
    """The finder of a data set, made once in each process.

    Args:
        has_masks: whether masks lie beside the videos.
        weights: YuNet's file, or None.
    """
    return given_masks if has_masks else DetectedFaces(opencv_detector(weights))


def mask_on_grid(mask: np.ndarray, scale: int) -> np.ndarray:
    """Bring a mask to the latent grid: a cell is face where half of its pixels and frames are.

    A face that fills no cell takes the cell in which it has most, so that it is not lost (ours).

    Args:
        mask: (f, h, w) bool with f = 4k - 3.
        scale: pixels a side of a latent.

    Returns:
        (k, h / scale, w / scale) bool. Latent frame 0 is frame 0; latent frame i is frames 4i - 3 to 4i.
    """
    frames, height, width = mask.shape
    groups = np.concatenate([np.repeat(mask[:1], 3, axis=0), mask])
    cells = groups.reshape((frames + 3) // 4, 4, height // scale, scale, width // scale, scale)
    shares = cells.mean((1, 3, 5), dtype=np.float32)
    most = shares.max((1, 2), keepdims=True)
    return (shares >= 0.5) | ((shares == most) & (most > 0))


def boxes_of(mask: np.ndarray) -> np.ndarray:
    """Bounding boxes of a mask's frames, (f, 4) float32: left, top, right, bottom; NaN without a face."""
    boxes = np.full((len(mask), 4), np.nan, np.float32)
    for index, frame in enumerate(mask):
        rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
        if rows.size:
            boxes[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.clip(sides, 0, None)))
    return common / (float(a[2] * a[3] + b[2] * b[3]) - common)
