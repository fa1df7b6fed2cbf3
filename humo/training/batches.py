"""Batches of the model's training: which clips, what each of them is told, at which noise.

Everything follows from the step's number, so a resumed run draws the same batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from humo.audio import window_audio
from humo.codec import TIME
from humo.schedules import shift_noise
from humo.training.data import ClipData
from humo.training.stages import Stage, audio_share
from humo.training.text import hide_words
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


def draw_batch(
    data: ClipData,
    tokenizer: PreTrainedTokenizerFast,
    stage: Stage,
    stage_progress: float,
    step: int,
    settings: BatchSettings,
    tokens_per_frame: int = 16,
) -> Batch:
    """Draws the batch of a step.

    Args:
        data: clips.
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
    shares = {"image": stage.image_share, "audio": audio_share(stage, stage_progress)}
    samples = [_draw_sample(data, rng, length, shares, settings) for _ in range(size)]
    texts = [sample.pop("caption") for sample in samples]
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    stacked = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    u = torch.from_numpy(rng.permutation((np.arange(size) + rng.random()) / size)).float()  # spread over the batch
    generator = torch.Generator().manual_seed(step)
    return Batch(
        **stacked,
        tokens=hide_words(tokens.input_ids, settings.hidden_words, generator),
        attention_mask=tokens.attention_mask,
        sigma=shift_noise(u, settings.shift),
        noise=torch.randn(stacked["latents"].shape, generator=generator),
    )


def _draw_sample(
    data: ClipData, rng: np.random.Generator, length: int, shares: dict[str, float], settings: BatchSettings
) -> dict[str, Tensor | str]:
    clip = data[int(rng.integers(len(data)))]
    has_image, has_audio, has_text = (
        rng.random() < share for share in (shares["image"], shares["audio"], 1 - settings.text_dropout)
    )
    plan = _plan(int(clip["seeds"]))
    named = not has_image or rng.random() >= settings.unnamed
    caption = write_caption(rng, plan.person if named else None, plan.setting, bool(plan.sentence), plan.distractor)
    windows = window_audio(clip["audio"].float() * has_audio, TIME * (length - 1) + 1)
    return {
        "latents": clip["latents"][:, :length].float(),
        "references": clip["references"].float() * has_image,
        "audio": torch.cat([windows, torch.zeros_like(windows[:1])]),
        "face": (clip["face"][:length] > 127).float(),
        "mouth": clip["mouth"][:length].float() / 255,
        "has_audio": torch.tensor(bool(has_audio)),
        "seeds": clip["seeds"],
        "caption": caption if has_text else "",
    }
