"""The three networks that look at a photograph: faces, landmarks of a face, and where the person is.

They are MediaPipe's (Google, Apache 2.0), a third party's data in `assets/face`, and OpenCV runs them. Each file is
read once, its SHA-256 checked before. A network of OpenCV holds its inputs, so that only one thread may use it at a
time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from threading import Lock

import cv2
import numpy as np

from humo import assets

FOLDER = assets.FOLDER / "face"


@dataclass(frozen=True, slots=True)
class Network:
    """A file and how it is asked."""

    file: str
    sha256: str
    side: int
    """Of the square picture that it takes, pixels."""
    outputs: tuple[str, ...]
    mean: float = 0.0
    scale: float = 1 / 255
    """It sees (pixel - mean) * scale."""


DETECTOR = Network(
    file="face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    side=128,
    outputs=("classificators", "regressors"),
    mean=127.5,
    scale=1 / 127.5,
)
"""BlazeFace: logits (1, 896, 1) and boxes with six points (1, 896, 16) in pixels from each anchor."""
LANDMARKS = Network(
    file="face_landmark.tflite",
    sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    side=192,
    outputs=("conv2d_31", "conv2d_21"),
)
"""Face mesh: logit of a human face, and 468 points (x, y, z) in pixels."""
PERSON = Network(
    file="selfie_segmentation.tflite",
    sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    side=256,
    outputs=("activation_10",),
)
"""Selfie segmentation: probability of the person, (1, 1, 256, 256)."""


def run(network: Network, picture: np.ndarray) -> list[np.ndarray]:
    """Show a picture to a network.

    Args:
        network: one of the three.
        picture: RGB, uint8 (side, side, 3) of the network's side.

    Returns:
        Its outputs, float32.

    Raises:
        ValueError: if the network's file is missing or damaged.
    """
    loaded, lock = _load(network)
    blob = cv2.dnn.blobFromImage(picture, network.scale, (network.side, network.side), (network.mean,) * 3)
    with lock:
        loaded.setInput(blob)
        return [output.copy() for output in loaded.forward(network.outputs)]


@cache
def _load(network: Network) -> tuple[cv2.dnn.Net, Lock]:
    try:
        content = (FOLDER / network.file).read_bytes()
    except OSError:
        raise ValueError(f"{network.file} is missing from assets/face: fetch the project again.") from None
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise ValueError(f"{network.file} in assets/face is damaged: fetch the project again.")
    return cv2.dnn.readNetFromTFLite(np.frombuffer(content, np.uint8)), Lock()
