"""Sync-C and Sync-D: whether the lips follow the sound, by SyncNet.

The face that covers most of the video is followed, cut out with room around it, and every window of five frames is
compared with the sound of the same moment, shifted by up to 15 frames either way. Sync-D is the mean distance at the
best shift, Sync-C how far it stands out from the median shift. Both forgive a constant delay, as published.

What differs from syncnet_python: faces are found by YuNet instead of S3FD, whose boxes are not quite the same; frames
go from the decoder to the network without a JPEG in between; a track may be as short as 30 frames, because a clip of
97 has none of the 100 that the published pipeline asks for. Expect figures near the published ones, not equal.

Source: syncnet_python, `run_pipeline.py` and `SyncNetInstance.py`.
"""

# f frames, t frames of the track, h w pixels

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.faces import OPENCV, YUNET, FindFaces, load_detector
from humo.evaluation.published.instruments.metric import Metric, Video
from humo.evaluation.published.instruments.weights import Weights, WeightsFile
from humo.finetuning.dataset.clips.crops import crop_boxes
from humo.finetuning.dataset.clips.faces import main_track
from humo.finetuning.dataset.clips.syncnet import SyncNet, SyncNetScore
from humo.timing import SAMPLES_PER_FRAME

SYNCNET = WeightsFile(
    path="syncnet_v2.model",
    num_bytes=54_573_114,
    url="http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
    sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
    licence="MIT",
)
MIN_FRAMES = 30
"""Of a track; ours."""


@dataclass(eq=False, slots=True)
class SyncReader:
    """Follows, cuts and compares; remembers the last video, which two metrics ask for."""

    find: FindFaces
    network: SyncNet
    min_frames: int = MIN_FRAMES
    _last: tuple[Video, SyncNetScore | None] | None = field(default=None)

    def read(self, video: Video) -> SyncNetScore | None:
        """What SyncNet says; None without a face for `min_frames` frames, or without sound."""
        if self._last is None or self._last[0] is not video:
            self._last = video, self._read(video)
        return self._last[1]

    def _read(self, video: Video) -> SyncNetScore | None:
        if video.waveform is None:
            return None
        boxes = track_face(video.frames, self.find)
        if len(boxes) < self.min_frames:
            return None
        start = min(boxes)
        corners = np.array([boxes[frame] for frame in sorted(boxes)])
        corners[:, 2:] += corners[:, :2]
        crops = crop_boxes(video.frames[start : start + len(boxes)], corners)
        heard = video.waveform[start * SAMPLES_PER_FRAME : (start + len(boxes)) * SAMPLES_PER_FRAME]
        return self.network.score(crops, heard)


def track_face(frames: np.ndarray, find: Callable[..., Any]) -> dict[int, np.ndarray]:
    """Follow the face that covers most.

    Args:
        frames: (f, h, w, 3) uint8.
        find: a detector.

    Returns:
        Frame: box (left, top, width, height), from its first frame to its last without a gap.
    """
    boxes = [[face.box for face in find(frame)] for frame in frames]
    track = main_track([np.array(found, np.float32).reshape(-1, 4) for found in boxes])
    if not track:
        return {}
    seen = np.array(list(track))
    every = np.arange(seen[0], seen[-1] + 1)
    sides = [np.interp(every, seen, side) for side in np.array(list(track.values())).T]
    return dict(zip(every.tolist(), np.stack(sides, axis=1), strict=True))


@dataclass(eq=False, slots=True)
class _Sync(Metric):
    """See the module."""

    name: ClassVar[str]
    family: ClassVar[str] = "sync"
    needs: ClassVar[tuple[WeightsFile, ...]] = (SYNCNET, YUNET)
    packages: ClassVar[tuple[str, ...]] = (OPENCV,)
    conditions: ClassVar[str] = "A"
    figure: ClassVar[str]
    """Of `SyncNetScore`."""

    reader: SyncReader

    @classmethod
    def _read(cls, weights: Weights) -> Self:
        def make() -> SyncReader:
            network = weights.fill(SyncNet(), SYNCNET, weights.state_dict(SYNCNET))
            return SyncReader(load_detector(weights), network)

        return cls(weights.once("sync reader", make))

    def measure(self, video: Video, case: BenchCase) -> float:
        """0 or more; NaN without a face for 30 frames, or without sound."""
        read = self.reader.read(video)
        return math.nan if read is None else getattr(read, self.figure)


class SyncConfidence(_Sync):
    """The metric Sync-C."""

    name: ClassVar[str] = "Sync-C"
    meaning: ClassVar[str] = "confidence, higher is better; the face detector is our choice"
    figure: ClassVar[str] = "confidence"


class SyncDistance(_Sync):
    """The metric Sync-D."""

    name: ClassVar[str] = "Sync-D"
    meaning: ClassVar[str] = "distance at the best shift, lower is better; the face detector is our choice"
    figure: ClassVar[str] = "distance"
