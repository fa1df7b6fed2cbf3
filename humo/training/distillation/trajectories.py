"""The teacher's trajectories from noise to video: what the student learns from, made once and kept in shards.

A trajectory is made as the pipeline makes a video, with UniPC and guidance of Eq. 4 in all its branches, on training
clips' captions, pictures and sounds. Every sample has scales of its own, so that the student learns what each does.

Legend: b samples, k video latents, n steps, c latent channels, h w latent grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.guidance import Branch
from humo.pipeline import HuMoPipeline
from humo.sampling import Conditions, denoise, make_scheduler, set_timesteps
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint
from humo.training.claim import claim
from humo.training.precision import mixed_precision
from humo.training.transformer.batches import BatchSettings, draw_batch
from humo.training.transformer.conditions import conditions_of
from humo.training.transformer.data import ClipData
from humo.training.transformer.stages import Stage

_CHAIN = (Branch(), Branch(text=True), Branch(text=True, image=True), Branch(text=True, image=True, audio=True))
_FIRST_STEP = 50_000_000
"""Seeds of these batches, far from those of the trainings."""
_SHOWN = Stage(
    name="trajectories", end=1.0, learns="all", image_share=0.7, audio_start=0.75, audio_end=0.75,
    latent_frames=(13, 13, 9, 5),
)  # fmt: skip
"""What the samples see: many of them all three conditions, each condition is missing in some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrajectorySettings:
    """How trajectories are sampled; all ours."""

    steps: int = 12
    """Steps of the solver. A student's step may cover several of them."""
    tokens: int = 1800
    """Tokens of a batch: 8 samples of 49 frames; a GPU takes 16000 and more."""
    text_dropout: float = 0.06
    """Share of samples without a caption."""
    shift: float = 6.0
    """Of the noise levels, as the pipeline's."""


@dataclass(slots=True)
class Trajectories:
    """Trajectories of a batch and their conditions."""

    states: Tensor
    """Latents before every step and after the last, (n + 1, b, c, k, h, w)."""
    sigmas: Tensor
    """Their noise levels, from 0.9998 down to 0, (n + 1,)."""
    scales: Tensor
    """Scales of text, picture and sound at every step, (n, b, 3)."""
    text: Tensor
    """Features of the captions, (b, tokens, channels)."""
    references: Tensor
    """Clean references, zeros where none is shown, (b, c, 1, h, w)."""
    audio: Tensor
    """Audio windows, zeros where nothing is heard, (b, k + 1, 8, 5, channels)."""

    def save(self, path: Path) -> None:
        """Writes a shard; a killed run leaves no half file."""
        with atomic_write(path) as part:
            save_file({name: getattr(self, name).contiguous() for name in self.__slots__}, part)

    @classmethod
    def load(cls, path: Path) -> Trajectories:
        """Reads a shard."""
        return cls(**load_file(path))

    def to(self, device: str) -> Trajectories:
        """The trajectories with all that is large on a device."""
        large = {name: getattr(self, name).to(device) for name in ("states", "text", "references", "audio")}
        return replace(self, **large)


def draw_scales(rng: np.random.Generator, guidance: dict[str, Any], timesteps: Tensor, size: int) -> Tensor:
    """Scales of every step and sample, (n, b, 3): around the model's own rule, or free ones that end anywhere.

    Args:
        rng: draws them.
        guidance: the model's own rule `paper`, as plain data.
        timesteps: of the steps, 1000 to 0.
        size: samples.
    """
    late = np.array([guidance[name] for name in ("text", "image", "audio")])
    early, switch = np.array(guidance.get("early") or late), np.full(size, guidance["switch"])
    early, late = (each * np.exp(rng.normal(0, 0.2, (size, 3))) for each in (early, late))
    is_free = rng.random(size) < 0.5
    free_late, free_early = rng.uniform(1, 5, (2, size, 3))
    free_early = np.where(rng.random((size, 1)) < 0.5, free_early, free_late)
    early, late = np.where(is_free[:, None], free_early, early), np.where(is_free[:, None], free_late, late)
    switch = np.where(is_free, rng.uniform(850, 990, size), switch)
    until = np.where(is_free, rng.uniform(0, 850, size), guidance.get("until", 0.0))
    places = timesteps.numpy()[:, None, None]
    scales = np.where(places > switch[None, :, None], early, late)
    return torch.from_numpy(np.where(places < until[None, :, None], 1.0, scales)).float()


@torch.no_grad()
def sample_trajectories(
    pipe: HuMoPipeline, conditions: Conditions, index: int, settings: TrajectorySettings
) -> Trajectories:
    """One batch of trajectories.

    Args:
        pipe: the teacher.
        conditions: of the samples, with sound and one reference, zeros where a sample is shown none.
        index: number of the batch, seed of noise and scales.
        settings: of the sampling.

    Raises:
        ValueError: if the conditions have no sound or no reference.
    """
    if conditions.audio is None or conditions.references is None:
        raise ValueError("the conditions have no sound or no reference: give both, zeros where a sample has none.")
    scheduler = make_scheduler(settings.shift)
    set_timesteps(scheduler, settings.steps)  # the scales of all steps are drawn before the first
    size, channels, _, *grid = conditions.references.shape
    rng, generator = np.random.default_rng((11, index)), torch.Generator().manual_seed(index)
    scales = draw_scales(rng, pipe.config.default_guidance, scheduler.timesteps, size)
    noise = torch.randn((size, channels, conditions.audio.shape[1], *grid), generator=generator)
    states: list[Tensor] = []
    with mixed_precision(pipe.device.type):
        last = denoise(
            pipe.transformer,
            scheduler,
            _rule_of(scales.to(pipe.device)),
            conditions,
            noise.to(pipe.device),
            settings.steps,
            on_step=lambda state: states.append(state.noisy[:, :, :-1]),
            batch_branches=True,
        )
    trajectories = torch.stack([*states, last]).cpu()
    parts = (part.cpu() for part in (conditions.text, conditions.references, conditions.audio))
    return Trajectories(trajectories, scheduler.sigmas.float().cpu(), scales, *parts)


def _rule_of(scales: Tensor) -> Any:
    """Eq. 4 with scales (n, b, 3) of every step and sample: the weights are tensors, (b, 1, 1, 1, 1)."""
    steps = iter(scales[..., None, None, None, None].unbind())

    def rule(timestep: float, has_image: bool, has_audio: bool) -> dict[Branch, Tensor]:
        text, image, audio = next(steps).unbind(1)
        return dict(zip(_CHAIN, (1 - text, text - image, image - audio, audio), strict=True))

    return rule


def write_trajectories(
    pipe: HuMoPipeline, data: ClipData, folder: Path, num_batches: int, settings: TrajectorySettings
) -> Iterator[Path]:
    """Samples and keeps the shards that are missing; yields each path as it is there.

    Raises:
        ValueError: if the folder holds another transformer's trajectories.
    """
    claim(folder, fingerprint(pipe.transformer), "trajectories")
    drawing = BatchSettings(tokens=settings.tokens, text_dropout=settings.text_dropout, hidden_words=0.0)
    for index in range(num_batches):
        path = folder / f"trajectories-{index:04d}.safetensors"
        if not path.exists():
            batch = draw_batch(data, pipe.tokenizer, _SHOWN, 1.0, _FIRST_STEP + index, drawing)
            sample_trajectories(pipe, conditions_of(pipe, batch), index, settings).save(path)
        yield path
