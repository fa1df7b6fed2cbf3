"""What narrower numbers change: the same held-out clips and noise in them and in float32, frames and latents compared.

What a video shows is judged by `python -m humo evaluate --dtype`. All of this file is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humo.checkpoints import load
from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import denoise_cases, settings_for
from humo.evaluation.metrics import psnr
from humo.layers.decoding import decode_frames
from humo.loading.fast_form import make_fast
from humo.pipeline import HuMoPipeline
from humo.system.dtypes import dtype_name
from humo.system.fast_form_config import has_fast
from humo.system.tables import markdown_table

MODES = ("TI", "TA", "TIA")
CLIPS = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """What becomes of the clips of one mode.

    Attributes:
        form: "exact" or "fast".
        mode: "TI", "TA" or "TIA".
        frames: PSNR of each clip's frames, uint8, dB; infinite where they are the same.
        latents: likewise of its latents, their range being the peak.
    """

    form: str
    mode: str
    frames: tuple[float, ...]
    latents: tuple[float, ...]


def load_forms(preset: str, dtype: torch.dtype | None = None) -> HuMoPipeline:
    """A model, with its fast form in place if it has one; the arguments of `humo.load`."""
    pipe = load(preset, dtype=dtype)
    if has_fast(folder := Path(pipe.name_or_path)):
        pipe.fast_form = make_fast(pipe, folder)
    return pipe


def measure_differences(
    narrow: HuMoPipeline,
    exact: HuMoPipeline,
    num_clips: int = CLIPS,
    num_frames: int = 49,
    modes: Sequence[str] = MODES,
) -> list[Difference]:
    """Make the same clips with both models, alone each, as a visitor's are.

    Args:
        narrow: the model in narrower numbers, from `load_forms`.
        exact: likewise in float32.
        num_clips: held-out clips of each mode.
        num_frames: of each, 4k + 1.
        modes: of `Difference`.

    Returns:
        Those of each form and mode.

    Raises:
        ValueError: if both compute in the same numbers.
    """
    if narrow.transformer.dtype == exact.transformer.dtype:
        name = dtype_name(exact.transformer.dtype)
        raise ValueError(f"Both models compute in {name}: compare where bfloat16 is multiplied in hardware.")
    forms = {"exact": (narrow, exact)}
    if narrow.fast_form is not None and exact.fast_form is not None:
        forms["fast"] = narrow.fast_form, exact.fast_form
    cases = make_cases(num_clips, 0, "validation", num_frames)
    return [
        Difference(form, mode, *zip(*(_compare(pair, case, mode, num_frames) for case in cases), strict=True))
        for form, pair in forms.items()
        for mode in modes
    ]


def describe_differences(found: Sequence[Difference]) -> str:
    """A table in markdown: the lowest clip and the median one."""
    head = ("form", "mode", "clips", "frames, lowest, dB", "median", "latents, lowest, dB", "median")
    rows = ((each.form, each.mode, len(each.frames), *_cells(each.frames), *_cells(each.latents)) for each in found)
    return markdown_table(head, rows)


def plain_numbers(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """For JSON, which knows no infinity."""
    return [
        {"form": each.form, "mode": each.mode, "frames": _finite(each.frames), "latents": _finite(each.latents)}
        for each in found
    ]


@torch.no_grad()
def _compare(pair: Sequence[HuMoPipeline], case: Case, mode: str, num_frames: int) -> tuple[float, float]:
    """PSNR of frames and of latents."""
    (made, shown), (truth, true_frames) = (_make(pipe, case, mode, num_frames) for pipe in pair)
    error = np.square(shown.astype(np.float32) - true_frames).mean()
    peak = float(truth.max() - truth.min())
    return psnr(float(error), 255), psnr(float((made - truth).square().mean()), peak)


def _make(pipe: HuMoPipeline, case: Case, mode: str, num_frames: int) -> tuple[Tensor, np.ndarray]:
    latents = denoise_cases(pipe, [case], mode, settings_for(pipe, num_frames))
    return latents, decode_frames(latents, pipe.vae)


def _cells(values: Sequence[float]) -> Iterator[str]:
    for value in (min(values), median(values)):
        yield "the same" if value == float("inf") else f"{value:.1f}"


def _finite(values: Sequence[float]) -> list[float | None]:
    return [None if value == float("inf") else value for value in values]
