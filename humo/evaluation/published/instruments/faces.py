"""Faces: found by OpenCV's YuNet, and brought to the pose in which recognition networks learned them.

YuNet's weights are one file of OpenCV's model zoo (MIT). The paper's detector is not named; OpenS2V, whose protocol we
follow otherwise, uses RetinaFace of insightface, whose weights are for research only.
"""

# n faces, f frames, h w pixels

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from humo.evaluation.published.instruments.weights import Weights, WeightsFile

YUNET = WeightsFile(
    path="face_detection_yunet_2023mar.onnx",
    num_bytes=232_589,
    url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    licence="MIT",
)
OPENCV = "cv2:opencv-python-headless"
CONFIDENCE = 0.7
"""Least score of a face; ours."""
LONGEST = 640
"""Longer side of what the detector sees, pixels: larger pictures are shrunk, for it learned no huge faces; ours."""
SIDE = 112
"""Of an aligned face, pixels."""
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Where an aligned face has the eyes, the tip of the nose and the mouth's corners, the image's left one first.

Source: insightface, `face_align.py`, for 112x112 pixels."""


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """A face in a picture."""

    box: np.ndarray
    """Left, top, width, height in pixels, (4,) float32."""
    points: np.ndarray
    """Eyes, tip of the nose, corners of the mouth, the image's left one first, (5, 2) float32."""
    score: float
    """0 to 1."""

    @property
    def area(self) -> float:
        """Square pixels."""
        return float(self.box[2] * self.box[3])


FindFaces = Callable[[np.ndarray], list[Face]]
"""Picture (h, w, 3) uint8 RGB -> its faces, the largest first."""


def load_detector(weights: Weights) -> FindFaces:
    """YuNet, shared by all that ask for it.

    Args:
        weights: in which `YUNET` was seen to be (`Weights.require`), as OpenCV was.
    """
    return weights.once("face detector", lambda: yunet(str(weights.folder / YUNET.path)))


def yunet(path: str) -> FindFaces:
    """YuNet from a file.

    Raises:
        ValueError: if OpenCV cannot read it.
    """
    import cv2

    try:
        network = cv2.FaceDetectorYN.create(path, "", (320, 320), CONFIDENCE)
    except cv2.error:
        raise ValueError(f"{YUNET.path} cannot be read by OpenCV: fetch it from {YUNET.url}.") from None

    def find(picture: np.ndarray) -> list[Face]:
        network.setInputSize((picture.shape[1], picture.shape[0]))
        return faces_of_rows(network.detect(np.ascontiguousarray(picture[..., ::-1]))[1])

    return lambda picture: find_shrunk(find, picture)


def find_shrunk(find: FindFaces, picture: np.ndarray) -> list[Face]:
    """Faces of a picture in its own pixels, found in one whose longer side has at most `LONGEST`."""
    height, width = picture.shape[:2]
    factor = max(height, width) / LONGEST
    if factor <= 1:
        return find(picture)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    back = np.array([width / size[0], height / size[1]], np.float32)
    return [Face(face.box * np.tile(back, 2), face.points * back, face.score) for face in find(small)]


def faces_of_rows(rows: Any) -> list[Face]:
    """What YuNet tells -> faces, the largest first.

    Args:
        rows: (n, 15): box, the person's right and left eye, nose, right and left corner of the mouth, score; None for
            no face.
    """
    if rows is None:
        return []
    found = [Face(row[:4], row[4:14].reshape(5, 2), float(row[14])) for row in np.asarray(rows, np.float32)]
    return sorted((face for face in found if face.area > 0), key=lambda face: -face.area)


def find_padded(find: FindFaces, picture: np.ndarray) -> list[Face]:
    """Faces of a picture; if there is none, a second look with grey around it, for faces that fill the picture.

    Source: OpenS2V-Eval, `get_facesim.py`: a quarter of the height and width on each side, grey 128.
    """
    if faces := find(picture):
        return faces
    rows, columns = picture.shape[0] // 4, picture.shape[1] // 4
    around = np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), constant_values=128)
    shift = np.array([columns, rows], np.float32)
    return [Face(face.box - [*shift, 0, 0], face.points - shift, face.score) for face in find(around)]


def align(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Turn, scale and move a face so that its points lie as near to the template as they can.

    Args:
        picture: (h, w, 3) uint8.
        points: (5, 2) in pixels.

    Returns:
        (112, 112, 3) uint8; black beyond the picture.
    """
    back = np.linalg.inv(np.vstack([similarity(points, TEMPLATE), [0, 0, 1]]))
    # Pillow's coordinates are those of pixels' corners, the points' those of their centres.
    back[:2, 2] += 0.5 - back[:2, :2] @ [0.5, 0.5]
    turned = Image.fromarray(picture).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, tuple(back[:2].ravel()), Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that bring points nearest to others by least squares, as a (2, 3) matrix.

    Args:
        source: (n, 2).
        target: (n, 2).

    Raises:
        ValueError: if the points all lie in one place.

    Source: Umeyama 1991; in the plane it is one complex division.
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source.astype(np.float64), target))
    spread = z - z.mean()
    length = float((abs(spread) ** 2).sum())
    if length < 1e-9:
        raise ValueError("All points of the face lie in one place: give five different ones.")
    turn = (spread.conj() @ (w - w.mean())) / length
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
