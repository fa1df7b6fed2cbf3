"""Batches of the model's training: which clips, what each of them is told, at which noise.

Everything follows from the step's number, the clips that there are and the stage's progress, so a resumed run by steps
on the same clips draws the same batches. A plan holds what is small and slow to make, the captions above all, and can
be made ahead by other processes; clips and noise are put in on the device.

Legend: b samples, k video latents, c latent channels, h w latent grid, g side of the mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from humo.explain.schedules import shift_noise
from humo.training.text_encoder.model import hide_words
from humo.training.transformer.data import ClipData
from humo.training.transformer.stages import Stage, audio_share
from humo.world.captions import write_caption
from humo.world.clips import ClipPlan, plan_clip


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSettings:
    """How batches are drawn; all ours."""

    tokens: int = 3000
    """Tokens a step: short clips come in larger batches."""
    text_dropout: float = 0.12
    """Share of samples without their caption."""
    unnamed: float = 0.5
    """Share of samples with a reference whose caption says "a person", so that the picture must be used."""
    hidden_words: float = 0.03
    """Share of words replaced by the unknown one."""
    shift: float = 4.0
    """How much noise levels lean to noise: sigma = s u / (1 + (s - 1) u) with u uniform."""
    sigmas: tuple[float, float] | None = None
    """Least and greatest noise level, between which they are spread evenly in place of the shift."""


@dataclass(slots=True)
class Batch:
    """One step's samples; b samples of k video latents and one reference slot."""

    latents: Tensor
    """Clean video latents, (b, c, k, h, w)."""
    references: Tensor
    """Clean references, zeros where not shown, (b, c, 1, h, w)."""
    audio: Tensor
    """Audio windows, zeros where not heard and on the reference, (b, k + 1, 8, 5, channels)."""
    tokens: Tensor
    """Token ids, (b, 48)."""
    attention_mask: Tensor
    """1 on tokens, (b, 48)."""
    face: Tensor
    """Face mask, (b, k, g, g) in {0, 1}."""
    mouth: Tensor
    """Share of the mouth's area, (b, k, h, w) in 0..1."""
    sigma: Tensor
    """Noise levels, (b,)."""
    noise: Tensor
    """(b, c, k, h, w)."""
    has_audio: Tensor
    """(b,) bool."""
    seeds: Tensor
    """Of the clips' plans, (b,) int64."""

    def to(self, device: str | torch.device) -> Batch:
        """The batch on a device."""
        return Batch(**{name: getattr(self, name).to(device) for name in self.__slots__})


@lru_cache(maxsize=50_000)
def _plan(seed: int) -> ClipPlan:
    return plan_clip(seed)


@dataclass(slots=True)
class BatchPlan:
    """What a step draws, before a clip is touched."""

    step: int
    """Number of the step, the seed of the noise."""
    length: int
    """Of the clips, latent frames."""
    chosen: np.ndarray
    """Places of the clips, (b,)."""
    has_image: np.ndarray
    """(b,) bool."""
    has_audio: np.ndarray
    """(b,) bool."""
    tokens: np.ndarray
    """Token ids, (b, 48)."""
    attention_mask: np.ndarray
    """(b, 48)."""
    sigma: np.ndarray
    """Noise levels, (b,) float32."""


def plan_batch(
    seeds: np.ndarray,
    tokenizer: PreTrainedTokenizerFast,
    stage: Stage,
    stage_progress: float,
    step: int,
    settings: BatchSettings,
    tokens_per_frame: int = 16,
) -> BatchPlan:
    """Plans the batch of a step.

    Args:
        seeds: of the clips that there are, (n,).
        tokenizer: of the text encoder.
        stage: which conditions are shown.
        stage_progress: 0..1 within the stage.
        step: number of the step, the seed of everything drawn.
        settings: how to draw.
        tokens_per_frame: of the transformer, to fit the batch into `settings.tokens`.
    """
    rng = np.random.default_rng((7, step))
    length = int(rng.choice(stage.latent_frames))
    size = max(1, settings.tokens // ((length + 1) * tokens_per_frame))
    chosen = rng.integers(len(seeds), size=size)
    has_image, has_audio, has_text = (
        rng.random(size) < share
        for share in (stage.image_share, audio_share(stage, stage_progress), 1 - settings.text_dropout)
    )
    is_named = ~has_image | (rng.random(size) >= settings.unnamed)
    captions = [
        _caption(rng, int(seeds[place]), named) if has_caption else ""
        for place, named, has_caption in zip(chosen, is_named, has_text, strict=True)
    ]
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    hidden = hide_words(tokens.input_ids, settings.hidden_words, torch.Generator().manual_seed(step))
    u = rng.permutation((np.arange(size) + rng.random()) / size)  # spread over the batch
    return BatchPlan(
        step=step,
        length=length,
        chosen=chosen,
        has_image=has_image,
        has_audio=has_audio,
        tokens=hidden.numpy(),
        attention_mask=tokens.attention_mask.numpy(),
        sigma=_noise_levels(u, settings).astype(np.float32),
    )


def fill_batch(data: ClipData, plan: BatchPlan) -> Batch:
    """Puts the clips and the noise into a plan, on the device of the clips."""
    chosen, has_image, has_audio, tokens, attention_mask, sigma = (
        _move(each, data.device)
        for each in (plan.chosen, plan.has_image, plan.has_audio, plan.tokens, plan.attention_mask, plan.sigma)
    )
    clips = data.take(chosen, plan.length)
    windows = clips["audio"].float() * has_audio.view(-1, 1, 1, 1, 1)
    generator = torch.Generator(data.device).manual_seed(plan.step)
    latents = clips["latents"].float()
    return Batch(
        latents=latents,
        references=clips["references"].float() * has_image.view(-1, 1, 1, 1, 1),
        audio=torch.cat([windows, torch.zeros_like(windows[:, :1])], dim=1),
        tokens=tokens,
        attention_mask=attention_mask,
        face=(clips["face"] > 127).float(),
        mouth=clips["mouth"].float() / 255,
        sigma=sigma,
        noise=torch.randn(latents.shape, generator=generator, device=data.device),
        has_audio=has_audio,
        seeds=clips["seeds"],
    )


def draw_batch(
    data: ClipData,
    tokenizer: PreTrainedTokenizerFast,
    stage: Stage,
    stage_progress: float,
    step: int,
    settings: BatchSettings,
) -> Batch:
    """Plans the batch of a step and fills it; arguments as of `plan_batch`."""
    return fill_batch(data, plan_batch(data.seeds, tokenizer, stage, stage_progress, step, settings))


def _noise_levels(u: np.ndarray, settings: BatchSettings) -> np.ndarray:
    """Noise levels from numbers in 0..1."""
    if settings.sigmas is None:
        return np.asarray(shift_noise(u, settings.shift))
    least, greatest = settings.sigmas
    return least + (greatest - least) * u


def _caption(rng: np.random.Generator, seed: int, is_named: bool) -> str:
    plan = _plan(seed)
    return write_caption(rng, plan.person if is_named else None, plan.setting, bool(plan.sentence), plan.distractor)


def _move(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on a device; the host does not wait until it is there."""
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
