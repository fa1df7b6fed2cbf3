"""What every instrument here looks like, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.weights import Weights, WeightsFile
from humo.finetuning.dataset.clips.video import probe, read_frames, read_waveform
from humo.finetuning.dataset.dropping import Drop
from humo.timing import FPS, SAMPLE_RATE

MAX_FRAMES = 25 * 120
"""Of a video that is judged: two minutes, 3.6 GB of pixels at 480x832."""


@dataclass(frozen=True, eq=False, slots=True)
class Video:
    """A video as the instruments see and hear it. Two are the same only if they are one object."""

    frames: np.ndarray
    """RGB at 25 a second, uint8 (f, h, w, 3)."""
    waveform: np.ndarray | None
    """Mono at 16 kHz, float32 (640 f,); None without sound."""


class Metric(ABC):
    """An instrument that gives one figure a video."""

    name: ClassVar[str]
    """As the paper writes it."""
    family: ClassVar[str]
    """Metrics of a family share networks, and are measured together."""
    needs: ClassVar[tuple[WeightsFile, ...]]
    """Its weights."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What it imports beyond the requirements: "module" or "module:name to install"."""
    conditions: ClassVar[str] = ""
    """What a case must have: "" for nothing, "I" for a reference, "A" for a sound, "Q" for questions."""
    meaning: ClassVar[str]
    """Half a sentence for the report: range, direction, what differs from the paper's."""

    @classmethod
    def load(cls, weights: Weights) -> Self:
        """Make it ready.

        Raises:
            ValueError: if a package or a file is missing; the sentence says which, how large, and how to get it.
        """
        weights.require(cls.name, cls.needs, cls.packages)
        return cls._read(weights)

    @classmethod
    @abstractmethod
    def _read(cls, weights: Weights) -> Self:
        """Read the files, which are there."""

    @abstractmethod
    def measure(self, video: Video, case: BenchCase) -> float:
        """The figure; NaN where the instrument finds nothing to measure, such as no face."""


def applies(metric: type[Metric] | Metric, case: BenchCase) -> bool:
    """Whether a case has what a metric needs."""
    has = {"I": bool(case.references), "A": case.audio is not None, "Q": bool(case.questions)}
    return all(has[condition] for condition in metric.conditions)


def read_video(path: Path) -> Video:
    """Read an mp4 or WebM at its own size and 25 frames a second, with its sound.

    Raises:
        ValueError: if it cannot be decoded.
    """
    if not path.is_file():
        raise ValueError(f"video {path.name} does not exist: check the folder.")
    try:
        info = probe(path)
        frames = read_frames(path, info.height, info.width, MAX_FRAMES + 1)
        waveform = read_waveform(path, len(frames) / FPS) if info.has_sound else None
    except Drop as drop:
        raise ValueError(f"video {path.name} cannot be judged, {drop.reason} ({drop.detail}): make it again.") from None
    if len(frames) > MAX_FRAMES:
        raise ValueError(f"video {path.name} lasts more than {MAX_FRAMES // FPS} s: cut it.")
    return Video(frames, None if waveform is None else fit(waveform, len(frames)))


def fit(waveform: np.ndarray, num_frames: int) -> np.ndarray:
    """A sound cut or padded with silence to the length of the frames, (640 f,)."""
    length = num_frames * SAMPLE_RATE // FPS
    return np.pad(waveform[:length], (0, max(0, length - len(waveform)))).astype(np.float32)


def looks(num_frames: int, most: int) -> np.ndarray:
    """Positions of at most `most` frames, evenly from the first to the last."""
    return np.linspace(0, num_frames - 1, min(most, num_frames)).round().astype(int)
