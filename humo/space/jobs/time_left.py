"""How long the next video will take, by how long the last ones took.

Time is taken to grow with the tokens that pass through the network: steps x branches x tokens. What a device needs for
one of them is measured, the median of the last few videos, so that the first one, which warms things up, soon counts
for nothing. Before the first measurement only the published models on a GPU have a figure, the estimate of
`humo.loading.estimates`. All of it is ours; it lives in memory and starts anew with the process.
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from humo.timing import count_latents

if TYPE_CHECKING:
    from humo.loading.estimates import Sizes

KEPT = 5
"""Measurements of a model on a device that count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What of a video decides its time, beside the model and the device."""

    num_inference_steps: int
    num_frames: int
    """Video frames."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    num_images: int
    has_audio: bool
    guidance: Mapping[str, Any]
    """Rule as plain data."""
    trained_frames: int | None = None
    """Longer videos are made of overlapping windows of this many frames; None for never."""

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], trained_frames: int | None = None) -> Work:
        """Read it from the settings of a finished video (`HuMoPipelineOutput.settings`)."""
        names = ("num_inference_steps", "num_frames", "height", "width", "num_images", "guidance")
        has_audio = "A" in settings["mode"]
        return cls(**{name: settings[name] for name in names}, has_audio=has_audio, trained_frames=trained_frames)

    def count(self) -> int:
        """Tokens that pass through the network, in all steps, branches and windows together."""
        from humo.layers.windows import plan_windows
        from humo.loading.estimates import (  # these take seconds, which the page opens without
            count_branches,
            count_tokens,
        )

        num_latents, references = count_latents(self.num_frames), max(1, self.num_images)
        longest = num_latents if self.trained_frames is None else count_latents(self.trained_frames)
        windows = plan_windows(num_latents, longest)
        latents = sum(window.stop - window.start + references for window in windows)
        branches = count_branches(self.guidance, self.num_images > 0, self.has_audio)
        return self.num_inference_steps * branches * count_tokens(latents, self.height, self.width)


class Pace:
    """Measured speed of each model on each device."""

    def __init__(self) -> None:
        self._rates: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._lock = threading.Lock()

    def learn(self, model: str, device: str, work: Work, seconds: float) -> None:
        """Take note of a finished video.

        Args:
            model: its name.
            device: where it ran.
            work: what was made.
            seconds: from the first look at the inputs to the finished file, loading the model not included.
        """
        rate = seconds / work.count()
        with self._lock:
            self._rates[model, device].append(rate)

    def predict(self, model: str, device: str, work: Work) -> float | None:
        """Seconds that a video will take; None as long as nothing is known."""
        with self._lock:
            rates = list(self._rates[model, device])
        if rates:
            return statistics.median(rates) * work.count()
        return _estimated(model, device, work)


def _estimated(model: str, device: str, work: Work) -> float | None:
    """What `humo.loading.estimates` says of a published model on a GPU of its assumed speed; None for any other."""
    if not device.startswith("cuda") or model not in ("1.7B", "17B"):
        return None
    from humo.loading.estimates import sizes_of_preset

    return assumed_seconds(sizes_of_preset(model), work)


def assumed_seconds(sizes: Sizes, work: Work) -> float:
    """Seconds of the denoising of a video on a GPU of the speed that `humo.loading.estimates` assumes."""
    from humo.loading.estimates import Call, estimate
    from humo.loading.memory_presets import Plan

    call = Call(num_images=work.num_images, has_audio=work.has_audio, guidance=work.guidance)
    figures = estimate(sizes, work.height, work.width, work.num_frames, Plan(), call)
    return figures.seconds(work.num_inference_steps)
