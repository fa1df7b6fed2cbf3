"""How the time of a clip grows with its length, its steps, and the clips made at once. All of this file is ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from humo.benchmarks.clip import example_inputs
from humo.benchmarks.instruments import now
from humo.evaluation.cases import make_cases
from humo.evaluation.generation import generate_batch, settings_for
from humo.pipeline import HuMoPipeline

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
    return list(_points(pipe, lengths, steps, together))


def _points(
    pipe: HuMoPipeline, lengths: Sequence[float], steps: Sequence[int], together: Sequence[int]
) -> Iterator[Point]:
    device = torch.device(pipe.device)
    pipe(**example_inputs(0.2), num_inference_steps=1)  # the first run is slower
    for axis, values in (("seconds of video", lengths), ("steps", steps)):
        for value in values:
            given = example_inputs(value if axis != "steps" else 2.0)
            start = now(device)
            pipe(**given, num_inference_steps=value if axis == "steps" else None)
            yield Point(axis, value, now(device) - start)
    cases = make_cases(max(together), 0, "validation", pipe.config.default_num_frames)
    for number in together:
        start = now(device)
        generate_batch(pipe, cases[:number], "TIA", settings_for(pipe, pipe.config.default_num_frames))
        yield Point("clips at once", number, (now(device) - start) / number)


def describe_scaling(points: Sequence[Point]) -> str:
    """A table in markdown, shares within each axis beside the seconds."""
    rows, first = [], {}
    for point in points:
        whole = first.setdefault(point.axis, point.seconds)
        rows.append(
            f"| {point.axis} | {point.value:g} | {point.seconds:.2f} | {point.seconds / whole:.2f} | "
            f"{60 / point.seconds:.0f} |"
        )
    head = "| axis | value | a clip, s | to the first | clips a minute |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])
