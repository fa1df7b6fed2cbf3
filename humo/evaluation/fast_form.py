"""How near the fast form comes to the exact one, and how much sooner: the same held-out cases and noise for both. Ours.

What a video shows is judged by `python -m humo evaluate --fast`; here frames are compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humo.evaluation.cases import make_cases
from humo.evaluation.generation import generate_batch, settings_for
from humo.evaluation.metrics import psnr
from humo.loading.fast_form import make_fast
from humo.pipeline import HuMoPipeline
from humo.system.tables import markdown_table


@dataclass(frozen=True, slots=True)
class Comparison:
    """A form with a number of steps, against the exact path.

    Attributes:
        form: "exact" or "fast".
        steps: of the solver.
        psnr: of the frames against the exact path's at its own steps, dB; infinite for that path itself.
        ratio: seconds of a video, as a share of the exact path's in the same run.
    """

    form: str
    steps: int
    psnr: float
    ratio: float


def compare_forms(
    pipe: HuMoPipeline, folder: Path, num_videos: int = 8, num_frames: int = 49, steps: Sequence[int] = (8, 6, 4)
) -> list[Comparison]:
    """Makes held-out validation videos of text, picture and sound in both forms.

    Args:
        pipe: the model.
        folder: of the model, with its fast form in it.
        num_videos: cases.
        num_frames: 4k+1 frames of each.
        steps: that both forms are tried with, besides the exact form's own.
    """
    fast, cases = make_fast(pipe, folder), make_cases(num_videos, 0, "validation", num_frames)
    forms = {"exact": pipe, "fast": fast}
    tried = [("exact", pipe.config.default_num_inference_steps), *((form, n) for form in forms for n in steps)]
    truth, comparisons, whole = None, [], 1.0
    for form, number in tried:
        maker = forms[form]
        start = time.perf_counter()
        made = np.stack(generate_batch(maker, cases, "TIA", settings_for(maker, num_frames, number)))
        seconds = time.perf_counter() - start
        if truth is None:
            truth, whole = made, seconds
        error = float(np.square(made.astype(np.float32) - truth).mean())
        comparisons.append(Comparison(form, number, psnr(error, 255), seconds / whole))
    return comparisons


def describe_comparisons(comparisons: Sequence[Comparison]) -> str:
    """A table in markdown."""
    rows = ((each.form, each.steps, f"{each.psnr:.1f}", f"{each.ratio:.2f}") for each in comparisons)
    return markdown_table(("form", "steps", "PSNR to the exact path, dB", "time, as a share of its"), rows)
