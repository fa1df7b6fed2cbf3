"""What a trained variant can do: the evaluation's own figures on held-out cases in TIA, where all three senses meet.

Some questions live where two people are seen and one of them speaks. Probes read one face, so the other half of
the picture is painted over with the column between both: of renders, the speaker's lip sync stays at 0.86.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from humo.evaluation import metrics
from humo.evaluation.ablation.changes import HardGate
from humo.evaluation.ablation.running import Material, changed
from humo.evaluation.ablation.variants import RULES, Variant, is_asked
from humo.evaluation.cases import Case, make_cases
from humo.evaluation.generation import GenerationSettings, generate_batch, settings_for
from humo.evaluation.judging import judge, judge_mouths
from humo.evaluation.masks import mask_iou_by_noise
from humo.evaluation.probes.networks import ProbeOutput, Probes, stack_features
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState
from humo.training.transformer.loop import make_pipeline
from humo.training.transformer.model import MiniModel

MODE = "TIA"
FIGURES = (
    *("sync", "sync_loudness", "width_sync", "sync_second", "sync_second_renders", "leak", "leak_renders"),
    *("identity", "text", "faces", "frechet", "mask_iou"),
)
"""What is kept of a measurement."""
_OTHER_SEED = 500
_MASK_CLIPS = 16
_LOOK_CASES, _LOOK_STEPS = 8, 8


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Cases and the readings of their renders, drawn once for all variants of a seed.

    Attributes:
        cases: what to generate.
        real: readings of the rendered truth.
        features: of other renders, (n, c), for the Frechet distance.
        beside: cases in which a silent listener is seen beside the speaker.
        probes: the eyes.
    """

    cases: list[Case]
    real: list[ProbeOutput]
    features: np.ndarray
    beside: list[Case]
    probes: Probes


def make_evaluation_set(probes: Probes, num_videos: int, seed: int, num_frames: int, size: int) -> EvaluationSet:
    """Draws a seed's held-out cases, as many with a listener, and reads their renders."""
    cases = make_cases(num_videos, seed, "test", num_frames, size)
    others = make_cases(num_videos, _OTHER_SEED + seed, "test", num_frames, size)
    beside = make_cases(num_videos, seed, "test", num_frames, size, has_second=True)
    real = [probes.read(case.clip.frames) for case in cases]
    features = stack_features([probes.read(case.clip.frames) for case in others])
    return EvaluationSet(cases, real, features, beside, probes)


def measure(material: Material, model: MiniModel, variant: Variant, evaluation_set: EvaluationSet) -> dict[str, float]:
    """Generates the bench's cases with time-adaptive guidance and judges them.

    Args:
        material: with codec and encoders.
        model: a trained variant.
        variant: how it was trained, for it generates in the same form.
        evaluation_set: cases.

    Returns:
        `FIGURES`; "mask_iou" at timestep 500, left out where the predictor was not trained, and what is measured beside
        a listener where a claim asks for it.
    """
    pipe = _pipeline(material, model)
    settings = settings_for(pipe, len(evaluation_set.cases[0].clip.frames), guidance=RULES["adaptive"])
    figures: dict[str, float] = {}
    with changed(model, variant) as gate:
        videos = _generate(pipe, evaluation_set.cases, settings, gate)
        if is_asked(variant.name, "sync_second"):
            figures |= judge_beside(evaluation_set, _generate(pipe, evaluation_set.beside, settings, gate))
        if variant.focus_weight > 0 and gate is None:
            figures["mask_iou"] = mask_iou_by_noise(pipe, evaluation_set.cases[:_MASK_CLIPS], settings, (500,))["500"]
    return _kept(figures | _judged(evaluation_set, videos))


def measure_rule(pipe: HuMoPipeline, rule: str, evaluation_set: EvaluationSet) -> dict[str, float]:
    """Generates the bench's cases with one of `RULES` and a trained model, and judges them."""
    settings = settings_for(pipe, len(evaluation_set.cases[0].clip.frames), guidance=RULES[rule])
    return _kept(_judged(evaluation_set, _generate(pipe, evaluation_set.cases, settings, None)))


def second_sync(material: Material, variant: Variant, evaluation_set: EvaluationSet, model: MiniModel) -> float:
    """Lip sync beside a listener, of fewer videos and steps: a look at a variant that still learns."""
    pipe, cases = _pipeline(material, model), evaluation_set.beside[:_LOOK_CASES]
    settings = settings_for(pipe, len(cases[0].clip.frames), _LOOK_STEPS, RULES["adaptive"])
    with changed(model, variant) as gate:
        videos = _generate(pipe, cases, settings, gate)
    return judge_beside(replace(evaluation_set, beside=cases), videos).get("sync_second", 0.0)


def judge_beside(evaluation_set: EvaluationSet, videos: Sequence[np.ndarray]) -> dict[str, float]:
    """How much the mouths of speaker and listener follow the voice, in videos and in renders of the same cases.

    Args:
        evaluation_set: whose `beside` the videos show.
        videos: (f, s, s, 3) each.

    Returns:
        "sync_second" of the speaker, at one lag for all, "leak" of the listener at the same lag, and both with
        "_renders"; nothing if nobody speaks.
    """
    cases, figures = evaluation_set.beside, dict[str, float]()
    for ending, shown in (("", videos), ("_renders", [case.clip.frames for case in cases])):
        speakers = [_read_one(evaluation_set, case, frames, True) for case, frames in zip(cases, shown, strict=True)]
        mouths = judge_mouths(cases, speakers)
        if not mouths:
            return {}
        leaks = [
            metrics.lagged_correlation(
                _read_one(evaluation_set, case, frames, False).openness, case.clip.openness, mouths["sync_lag"]
            )
            for case, frames in zip(cases, shown, strict=True)
            if case.clip.openness.std() > metrics.MIN_SPREAD
        ]
        figures |= {f"sync_second{ending}": mouths["sync"], f"leak{ending}": float(np.mean(leaks))}
    return figures


def _read_one(evaluation_set: EvaluationSet, case: Case, frames: np.ndarray, speaker: bool) -> ProbeOutput:
    is_left = case.clip.plan.setting.position == "left"
    return evaluation_set.probes.read(one_of_two(frames, left=is_left == speaker))


def one_of_two(frames: np.ndarray, left: bool) -> np.ndarray:
    """Frames (f, s, s, 3) of which one half stays and the other shows the column between both again and again."""
    kept, middle = frames.copy(), frames.shape[2] // 2
    if left:
        kept[:, :, middle:] = frames[:, :, middle : middle + 1]
    else:
        kept[:, :, :middle] = frames[:, :, middle : middle + 1]
    return kept


def _pipeline(material: Material, model: MiniModel) -> HuMoPipeline:
    return make_pipeline(material.folder, model, material.tokenizer).to(model.transformer.device)


def _judged(evaluation_set: EvaluationSet, videos: Sequence[np.ndarray]) -> dict[str, float]:
    readings = [evaluation_set.probes.read(frames) for frames in videos]
    figures = judge(evaluation_set.cases, readings, evaluation_set.real, MODE)
    return figures | {"frechet": metrics.frechet_distance(stack_features(readings), evaluation_set.features)}


def _kept(figures: dict[str, float]) -> dict[str, float]:
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
