"""How well the focus head finds the speaker's face, by noise level. Ours; the paper publishes no such figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from humo.dubbing.dub import face_logits
from humo.evaluation.cases import Case
from humo.evaluation.generation import GenerationSettings, encode_cases
from humo.focus import mask_iou
from humo.guidance import make_rule
from humo.layers.step_caches import cached
from humo.pipeline import HuMoPipeline
from humo.references import encode_video, to_pixels
from humo.training.transformer.data import shrink_mask

NOISE_LEVELS = (100, 300, 500, 700, 900)
"""Timesteps at which the focus head is asked."""


@torch.no_grad()
def mask_iou_by_noise(
    pipe: HuMoPipeline, cases: Sequence[Case], generation: GenerationSettings, levels: Sequence[int] = NOISE_LEVELS
) -> dict[str, float]:
    """Intersection over union of the focus head's masks with the exact ones, on real clips made noisy.

    Args:
        pipe: a model with a focus head.
        cases: real clips; text, picture and sound are all shown.
        generation: size, length and batch size.
        levels: timesteps.

    Returns:
        Mean over clips by timestep; keys are strings, as in JSON.
    """
    rule = make_rule(generation.guidance)
    scores: dict[str, list[float]] = {str(level): [] for level in levels}
    for start in range(0, len(cases), generation.batch_size):
        batch = cases[start : start + generation.batch_size]
        conditions = encode_cases(pipe, batch, "TIA", generation)
        clean = torch.cat([encode_video(to_pixels(case.clip.frames).to(pipe.device), pipe.vae) for case in batch])
        generator = torch.Generator("cpu").manual_seed(batch[0].noise_seed)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        for level in levels:
            if pipe.transformer.config.guidance_embeds:  # told of the way from there to the clean video
                conditions = conditions.with_guidance(rule, level / 1000, 0.0)
            noisy = clean + level / 1000 * (noise - clean)
            with cached(pipe.transformer, None):  # every noise level is asked alone
                predicted = face_logits(pipe, noisy, level, conditions).cpu()
            for case, logits in zip(batch, predicted, strict=True):
                truth = shrink_mask(case.clip.face, logits.shape[-1]) > 127
                scores[str(level)].append(float(mask_iou(logits, truth)))
    return {level: float(np.mean(values)) for level, values in scores.items()}
