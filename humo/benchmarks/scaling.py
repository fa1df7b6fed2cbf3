"""How the time of a clip grows with its length, its steps, and the clips made at once. All of this file is ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from humo.benchmarks.clip import example_inputs
from humo.benchmarks.instruments import now
from humo.evaluation.cases import make_cases
from humo.evaluation.generation import generate_batch, settings_for
from humo.pipeline import HuMoPipeline
from humo.system.tables import markdown_table

LENGTHS = (1.0, 2.0, 4.0)
"""Seconds; beyond what the model was trained on a clip is made of windows."""
STEPS = (8, 16, 32)
TOGETHER = (1, 2, 4, 8)
"""Clips that are denoised as one batch."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        axis: what grows: "seconds of video", "steps" or "clips at once".
        value: how much.
        seconds: of one clip, from its inputs to its frames.
    """

    axis: str
    value: float
    seconds: float


def measure_scaling(
    pipe: HuMoPipeline,
    lengths: Sequence[float] = LENGTHS,
    steps: Sequence[int] = STEPS,
    together: Sequence[int] = TOGETHER,
) -> list[Point]:
    """Time clips from text, picture and sound along each axis, all else as the model's defaults have it."""
    frames = pipe.config.default_num_frames
    cases, settings = make_cases(max(together), 0, "validation", frames), settings_for(pipe, frames)

    def seconds(make: Callable[[], object]) -> float:
        start = now(torch.device(pipe.device))
        make()
        return now(torch.device(pipe.device)) - start

    def clip(length: float, number: int | None = None) -> float:
        return seconds(partial(pipe, **example_inputs(length), num_inference_steps=number))

    def batch(number: int) -> float:
        return seconds(partial(generate_batch, pipe, cases[:number], "TIA", settings)) / number

    clip(0.2, 1)  # the first run is slower
    return [
        *(Point("seconds of video", length, clip(length)) for length in lengths),
        *(Point("steps", number, clip(2.0, number)) for number in steps),
        *(Point("clips at once", number, batch(number)) for number in together),
    ]


def describe_scaling(points: Sequence[Point]) -> str:
    """A table in markdown, shares within each axis beside the seconds."""
    rows, first = [], dict[str, float]()
    for point in points:
        whole = first.setdefault(point.axis, point.seconds)
        shares = f"{point.seconds / whole:.2f}", f"{60 / point.seconds:.0f}"
        rows.append((point.axis, f"{point.value:g}", f"{point.seconds:.2f}", *shares))
    return markdown_table(("axis", "value", "a clip, s", "to the first", "clips a minute"), rows)
