"""The evaluation of a pipeline: what the probes read in its videos, beside what they read in real clips. All ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from humo.evaluation import metrics
from humo.evaluation.cases import MODES, Case, make_cases
from humo.evaluation.generation import GenerationSettings, generate
from humo.evaluation.judging import judge
from humo.evaluation.masks import mask_iou_by_noise
from humo.evaluation.probes.networks import ProbeOutput, Probes, stack_features
from humo.layers.step_caches import describe_cache
from humo.pipeline import HuMoPipeline
from humo.references import decode_latents, encode_video, to_frames, to_pixels
from humo.system.dtypes import dtype_name
from humo.system.fingerprint import fingerprint_pipeline

OnVideos = Callable[[str, list[Case], list[np.ndarray], list[ProbeOutput]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """What is evaluated."""

    num_videos: int = 64
    """Cases a mode."""
    seed: int = 0
    """Of the cases."""
    split: str = "test"
    """Split of the world: "test", or "validation" to choose settings on."""
    modes: tuple[str, ...] = MODES
    """Modes to generate."""
    num_mask_clips: int = 32
    """Real clips on which the focus head is measured, and as many with two people."""


def evaluate_pipeline(
    pipe: HuMoPipeline,
    probes: Probes,
    settings: EvaluationSettings,
    generation: GenerationSettings,
    folder: Path | None = None,
    on_videos: OnVideos | None = None,
) -> dict[str, Any]:
    """Generates and judges.

    Args:
        pipe: the model.
        probes: trained.
        settings: what is evaluated.
        generation: how videos are generated.
        folder: where videos are kept and found again.
        on_videos: called with mode, cases, videos and readings of each mode, and with "real" first.

    Returns:
        Plain data for report.json; a figure that does not exist in a mode is left out.
    """
    cases = _cases(settings.num_videos, settings, generation)
    real = _read_all(probes, [case.clip.frames for case in cases], "real clips: reading")
    others = _cases(settings.num_videos, settings, generation, seed=settings.seed + 500)
    other_features = stack_features(
        _read_all(probes, [case.clip.frames for case in others], "more real clips: reading")
    )
    coded = _read_all(probes, [_recode(pipe, case.clip.frames) for case in _bar(cases, "codec")], "codec: reading")
    if on_videos is not None:
        on_videos("real", cases, [case.clip.frames for case in cases], real)
    report: dict[str, Any] = {"modes": {}, "ceilings": {}, "frechet": {}}
    for name, readings in (("renders", real), ("codec", coded)):
        report["ceilings"][name] = judge(cases, readings, real, "TIA")
        report["frechet"][name] = metrics.frechet_distance(stack_features(readings), other_features)
    for mode in settings.modes:
        videos = generate(pipe, cases, mode, generation, folder)
        readings = _read_all(probes, videos, f"{mode}: reading")
        report["modes"][mode] = judge(cases, readings, real, mode)
        report["frechet"][mode] = metrics.frechet_distance(stack_features(readings), other_features)
        if on_videos is not None:
            on_videos(mode, cases, videos, readings)
    report["mask_iou"] = {}
    if pipe.focus_head is not None:
        chosen = cases[: settings.num_mask_clips]
        report["mask_iou"] = mask_iou_by_noise(pipe, chosen, generation)
        pairs = _cases(settings.num_mask_clips, settings, generation, has_second=True)
        report["mask_iou_two_people"] = mask_iou_by_noise(pipe, pairs, generation)
    report["probes"] = probes.accuracy
    report["settings"] = asdict(settings) | asdict(generation) | {"model": fingerprint_pipeline(pipe)}
    report["settings"]["dtype"] = dtype_name(pipe.transformer.dtype)
    if (cache := describe_cache(pipe.transformer)) is not None:
        report["settings"]["cache"] = cache  # not the exact result
    return report


def _cases(
    num: int,
    settings: EvaluationSettings,
    generation: GenerationSettings,
    seed: int | None = None,
    has_second: bool = False,
) -> list[Case]:
    seed = settings.seed if seed is None else seed
    with tqdm(desc="drawing cases", total=num, unit="clip") as bar:
        return make_cases(num, seed, settings.split, generation.num_frames, generation.size, has_second, bar.update)


def _read_all(probes: Probes, videos: Sequence[np.ndarray], name: str) -> list[ProbeOutput]:
    return [probes.read(frames) for frames in _bar(videos, name)]


def _bar(items: Sequence[Any], name: str) -> Any:
    return tqdm(items, desc=name, unit="clip")


@torch.no_grad()
def _recode(pipe: HuMoPipeline, frames: np.ndarray) -> np.ndarray:
    """A real clip encoded and decoded: the best that any transformer can do with this codec."""
    return to_frames(decode_latents(encode_video(to_pixels(frames).to(pipe.device), pipe.vae), pipe.vae)[0])
