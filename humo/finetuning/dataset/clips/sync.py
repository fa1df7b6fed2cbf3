"""How well the lips follow the sound: a filter for pairs that do not belong together.

HuMo filters by a network that was trained for it and does not name it; `humo.finetuning.dataset.clips.syncnet` is the
usual one and needs weights. `mouth_loudness_correlation` is ours and needs none. On 40 clips of the world it tells a
clip's own sound from another's in nine pairs of ten: enough to drop music and voices from elsewhere, too coarse to tell
a delay of two frames.
"""

# f frames, h w pixels

from __future__ import annotations

import numpy as np
from PIL import Image

from humo.finetuning.dataset.clips.faces import boxes_of
from humo.timing import SAMPLES_PER_FRAME

SIDE = 24
"""Side of the mouth's crop, pixels."""
MAX_LAG = 2
"""Frames by which sound and mouth may be apart."""
DARKEST = 10
"""Percent of the crop's pixels that count as the open mouth's inside."""


def mouth_loudness_correlation(frames: np.ndarray, face: np.ndarray, waveform: np.ndarray) -> float:
    """Correlation of how dark the mouth is with how loud the sound is, at the best lag of up to two frames.

    An open mouth shows its dark inside. The measure is ours; it is no Sync-C and cannot be compared with one.

    Args:
        frames: (f, h, w, 3) uint8.
        face: mask (f, h, w) bool.
        waveform: mono at 16 kHz, (640 f,).

    Returns:
        -1 to 1; 0 without a face, a change in the mouth, or a change in loudness.
    """
    seen = face.any((1, 2))
    if seen.sum() < 2 * MAX_LAG + 3:
        return 0.0
    openness = mouth_darkness(frames, face)
    loudness = np.sqrt((waveform.reshape(len(frames), SAMPLES_PER_FRAME) ** 2).mean(1))
    loudness = np.convolve(np.pad(loudness, 1, "edge"), np.full(3, 1 / 3), "valid")
    return max(_correlation(openness, loudness, lag) for lag in range(-MAX_LAG, MAX_LAG + 1))


def mouth_darkness(frames: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Minus the luma (0..255) of the darkest tenth of the mouth's region, (f,) float32.

    The region is the middle of the face's lower half, and keeps its size throughout the clip. Frames without a face
    take over from those beside them.
    """
    boxes = boxes_of(face)
    seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
    width, height = np.median(boxes[seen, 2:] - boxes[seen, :2], axis=0)
    centres = (boxes[seen, 2:] + boxes[seen, :2]) / 2
    darkness = np.empty(len(seen), np.float32)
    for index, (frame, (x, y)) in enumerate(zip(frames[seen], centres, strict=True)):
        region = (x - 0.3 * width, y + 0.08 * height, x + 0.3 * width, y + 0.5 * height)
        limits = frame.shape[1], frame.shape[0]
        left, right = np.clip(region[::2], 0, limits[0])
        top, bottom = np.clip(region[1::2], 0, limits[1])
        if right - left < 1 or bottom - top < 1:  # the face is cut off above its mouth
            darkness[index] = darkness[index - 1] if index else 0.0
            continue
        grey = Image.fromarray(frame).convert("L")
        crop = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        darkness[index] = -np.percentile(np.asarray(crop), DARKEST)
    return np.interp(np.arange(len(frames)), seen, darkness).astype(np.float32)


def _correlation(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Pearson's r of a[t + lag] and b[t]; 0 where one of them is constant."""
    a, b = a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) - max(0, lag)]
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 1e-6 else 0.0
