"""What a trained variant can do: the evaluation's own figures on held-out cases in TIA, where all three senses meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from humo.evaluation import metrics
from humo.evaluation.ablation.changes import HardGate
from humo.evaluation.ablation.running import Material, changed
from humo.evaluation.ablation.variants import Variant
from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import GenerationSettings, generate_batch, settings_for
from humo.evaluation.judging import judge
from humo.evaluation.masks import mask_iou_by_noise
from humo.evaluation.probes.networks import ProbeOutput, Probes, stack_features
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState
from humo.training.transformer.loop import make_pipeline
from humo.training.transformer.model import MiniModel

MODE = "TIA"
FIGURES = ("sync", "sync_loudness", "width_sync", "identity", "text", "faces", "frechet", "mask_iou")
"""What is kept of a measurement."""
_OTHER_SEED = 500


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Cases and the readings of their renders, drawn once for all variants of a seed.

    Attributes:
        cases: what to generate.
        real: readings of the rendered truth.
        features: of other renders, (n, c), for the Frechet distance.
        probes: the eyes.
    """

    cases: list[Case]
    real: list[ProbeOutput]
    features: np.ndarray
    probes: Probes


def make_evaluation_set(probes: Probes, num_videos: int, seed: int, num_frames: int, size: int) -> EvaluationSet:
    """Draws a seed's held-out cases and reads their renders."""
    cases = make_cases(num_videos, seed, "test", num_frames, size)
    others = make_cases(num_videos, _OTHER_SEED + seed, "test", num_frames, size)
    real = [probes.read(case.clip.frames) for case in cases]
    return EvaluationSet(cases, real, stack_features([probes.read(case.clip.frames) for case in others]), probes)


def measure(
    material: Material,
    model: MiniModel,
    variant: Variant,
    rule: dict[str, Any],
    evaluation_set: EvaluationSet,
    num_mask_clips: int,
) -> dict[str, float]:
    """Generates the bench's cases and judges them.

    Args:
        material: with codec and encoders.
        model: a trained variant.
        variant: how it was trained, for it generates in the same form.
        rule: of guidance, as plain data.
        evaluation_set: cases.
        num_mask_clips: real clips on which the mask predictor is measured; 0 for not.

    Returns:
        `FIGURES`; "mask_iou" at timestep 500, left out where the predictor was not trained or not asked for.
    """
    pipe = make_pipeline(material.folder, model, material.tokenizer).to(model.transformer.device)
    settings = settings_for(pipe, len(evaluation_set.cases[0].clip.frames), guidance=rule)
    with changed(model, variant) as gate:
        videos = _generate(pipe, evaluation_set.cases, settings, gate)
        figures: dict[str, float] = {}
        if num_mask_clips and variant.focus_weight > 0 and gate is None:
            figures["mask_iou"] = mask_iou_by_noise(pipe, evaluation_set.cases[:num_mask_clips], settings, (500,))[
                "500"
            ]
    readings = [evaluation_set.probes.read(frames) for frames in videos]
    figures |= judge(evaluation_set.cases, readings, evaluation_set.real, MODE)
    figures["frechet"] = metrics.frechet_distance(stack_features(readings), evaluation_set.features)
    return {name: round(float(figures[name]), 4) for name in FIGURES if name in figures}


def _generate(
    pipe: HuMoPipeline, cases: Sequence[Case], settings: GenerationSettings, gate: HardGate | None
) -> list[np.ndarray]:
    videos = []
    for start in tqdm(range(0, len(cases), settings.batch_size), desc="generating", unit="batch"):
        if gate is not None:
            gate.mask = None  # before the first step nobody knows where the face will be
        chosen = cases[start : start + settings.batch_size]
        videos += generate_batch(pipe, chosen, MODE, settings, None if gate is None else _follow(gate, pipe))
    return videos


def _follow(gate: HardGate, pipe: HuMoPipeline) -> Callable[[StepState], None]:
    """Gates each step by the face that was predicted at the step before."""

    patch = pipe.transformer.config.patch_size[-1]

    def follow(state: StepState) -> None:
        gate.mask = None  # the predictor learned without it
        gate.show(state.face_mask(pipe.focus_head), state.latents.shape[-1] // patch)

    return follow
