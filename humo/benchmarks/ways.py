"""One job in several ways in one run: as the published code does it, as we do it, and each shorter way with its price.

The job is what a page does most: held-out clips of the world, one after the other, text, picture and sound. Seconds are
of denoising alone, for all ways share what comes before and after, and are told as shares of our exact way's. The price
is how far the latents come to lie from the exact way's, as a signal-to-noise ratio; what that means for sync and
attributes is measured by `python -m humo evaluate` with the same options. All of this file is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humo.benchmarks.instruments import now
from humo.benchmarks.plain import plain_step
from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import draw_noise, encode_cases, settings_for
from humo.evaluation.metrics import psnr
from humo.guidance import make_rule
from humo.layers.step_caches import cached
from humo.loading.compiling import computed_by, use_compiled
from humo.loading.fast_form import make_fast
from humo.pipeline import HuMoPipeline
from humo.sampling import denoise, set_timesteps
from humo.system.fast_form_config import has_fast
from humo.system.tables import markdown_table

QUIET_BELOW = 750.0
"""Timestep from which the way with fewer branches follows text, picture and sound unamplified, in one pass a step."""
CACHES = ("first_block:0.1", "taylor:3")
FAST_STEPS = (6, 4)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to do the job.

    Attributes:
        name: of the way.
        steps: of the solver.
        seconds: of denoising a clip, the median of all clips.
        share: of the exact way's seconds for the same clip, the median of all clips.
        psnr: of the latents to the exact way's, dB, their range being the peak; infinite for the same latents.
    """

    name: str
    steps: int
    seconds: float
    share: float
    psnr: float


def compare_ways(
    pipe: HuMoPipeline, folder: Path, num_clips: int = 5, num_frames: int = 49, is_compiled: bool = False
) -> list[Way]:
    """Do the job in every way that this model has.

    Args:
        pipe: the model, with conditions for all three inputs.
        folder: of the model, where its fast form lies if it has one.
        num_clips: held-out clips.
        num_frames: of each, 4k + 1.
        is_compiled: also compiled, as `humo.load` does it; a minute a form that is not counted.

    Raises:
        ValueError: if the model cannot be compiled.
    """
    cases = make_cases(num_clips, 0, "validation", num_frames)
    steps = pipe.config.default_num_inference_steps
    ways: list[tuple[str, int, Callable[[Case], tuple[Tensor, float]]]] = [
        ("ours, exact", steps, partial(_denoise, pipe)),
        ("as published: plain passes", steps, partial(_plain, pipe)),
        ("ours, branches in turn", steps, partial(_denoise, pipe, batch_branches=False)),
        (f"no guidance below timestep {QUIET_BELOW:g}", steps, partial(_denoise, pipe, rule=_quiet(pipe))),
        *((f"cache {name}", steps, partial(_cached, pipe, name)) for name in CACHES),
        ("half the steps", steps // 2, partial(_denoise, pipe, steps=steps // 2)),
    ]
    fast = make_fast(pipe, folder) if has_fast(folder) else None
    if is_compiled:
        ways.append(("ours, exact, compiled", steps, _compiled(pipe)))
    if fast is not None:
        ways += [("fast form", number, partial(_denoise, fast, steps=number)) for number in FAST_STEPS]
        if is_compiled:
            compiled = _compiled(fast)
            ways += [("fast form, compiled", number, partial(compiled, steps=number)) for number in FAST_STEPS]
    _denoise(pipe, cases[0], steps=1)  # the first pass is slower
    made: list[list[Tensor]] = [[] for _ in ways]
    seconds = np.zeros((len(ways), num_clips))
    for clip, case in enumerate(cases):  # all ways of a clip beside each other, for a machine has slower minutes
        for row, (*_, way) in enumerate(ways):
            latents, seconds[row, clip] = way(case)
            made[row].append(latents)
    shares = shares_of(seconds)
    return [
        Way(name, number, float(np.median(seconds[row])), float(shares[row]), _psnr(made[row], made[0]))
        for row, (name, number, _) in enumerate(ways)
    ]


def shares_of(seconds: np.ndarray) -> np.ndarray:
    """What each way takes of the first one's time.

    Args:
        seconds: (ways, clips).

    Returns:
        (ways,), the median over clips of the ratio within a clip.
    """
    return np.median(seconds / seconds[0], axis=1)


@torch.no_grad()
def _denoise(
    pipe: HuMoPipeline,
    case: Case,
    steps: int | None = None,
    rule: dict[str, Any] | None = None,
    batch_branches: bool | None = None,
) -> tuple[Tensor, float]:
    """Latents of a case and the seconds they took."""
    settings = settings_for(pipe, len(case.clip.frames), steps, rule)
    conditions, noise = encode_cases(pipe, [case], "TIA", settings), draw_noise(pipe, case.noise_seed, settings)
    batch_branches = pipe.config.batch_branches if batch_branches is None else batch_branches
    arguments = (make_rule(settings.guidance), conditions, noise, settings.num_inference_steps)
    start = now(noise.device)
    latents = denoise(pipe.transformer, pipe.scheduler, *arguments, batch_branches=batch_branches)
    return latents, now(noise.device) - start


@torch.no_grad()
def _plain(pipe: HuMoPipeline, case: Case) -> tuple[Tensor, float]:
    """The same with the passes of the published code (`humo.benchmarks.plain`) in its loop."""
    settings = settings_for(pipe, len(case.clip.frames))
    conditions, latents = encode_cases(pipe, [case], "TIA", settings), draw_noise(pipe, case.noise_seed, settings)
    rule, scheduler = make_rule(settings.guidance), pipe.scheduler
    start = now(latents.device)
    set_timesteps(scheduler, settings.num_inference_steps)
    for index, timestep in enumerate(scheduler.timesteps.tolist()):
        velocity = plain_step(pipe.transformer, latents, timestep, rule(timestep), conditions)
        latents = scheduler.step(velocity, scheduler.timesteps[index], latents, return_dict=False)[0]
    return latents[:, :, : -conditions.num_references], now(latents.device) - start


def _cached(pipe: HuMoPipeline, name: str, case: Case) -> tuple[Tensor, float]:
    with cached(pipe.transformer, name):
        return _denoise(pipe, case)


def _compiled(pipe: HuMoPipeline) -> Callable[..., tuple[Tensor, float]]:
    """The way of a small model's compiled code, made now where it is not there yet."""
    use_compiled(pipe, is_small=True)
    transformer, compiled = pipe.transformer, pipe.transformer.compiled_pass
    if compiled is None:
        raise ValueError("The model was not compiled, the line above says why: leave --compile out.")
    transformer.compiled_pass = None

    def run(case: Case, steps: int | None = None) -> tuple[Tensor, float]:
        with computed_by(transformer, compiled):
            return _denoise(pipe, case, steps=steps)

    run(make_cases(1, 0, "validation", 5)[0], 1)  # the first pass is slower
    return run


def _quiet(pipe: HuMoPipeline) -> dict[str, Any]:
    """The model's own rule with scales of 1 in late steps, where all branches but the full one have no weight."""
    rule = dict(pipe.config.default_guidance)
    for name in {"text", "image", "audio"} & rule.keys():
        rule[name] = {"ramp": "step", "early": rule[name], "late": 1.0, "switch": QUIET_BELOW}
    return rule


def _psnr(made: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    error = torch.stack([(one - other).square().mean() for one, other in zip(made, truth, strict=True)]).mean()
    peak = max(float(latents.max() - latents.min()) for latents in truth)
    return psnr(float(error), peak)


def describe_ways(ways: Sequence[Way]) -> str:
    """A table in markdown."""
    head = ("way", "steps", "denoising, s", "share of the exact way", "PSNR of the latents to it, dB")
    price = ("the same" if way.psnr == float("inf") else f"{way.psnr:.1f}" for way in ways)
    rows = [(way.name, way.steps, f"{way.seconds:.2f}", f"{way.share:.2f}", next(price)) for way in ways]
    return markdown_table(head, rows)


def plain_numbers(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """For JSON, which knows no infinity."""
    return [asdict(way) | {"psnr": None if way.psnr == float("inf") else way.psnr} for way in ways]
