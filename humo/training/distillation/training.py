"""The student's lessons: from a place of the teacher's trajectory, name the straight way to a later place.

What it learns is the mean velocity between two noise levels, (x_i - x_j) / (sigma_i - sigma_j), for spans of one to
several of the teacher's steps, as a flow map (Boffi et al., arXiv 2406.07507; Geng et al., arXiv 2505.13447) fitted to
stored trajectories. A plain step along it arrives where the teacher arrived, so one student serves several numbers of
steps. All settings are ours.

Legend: b samples, k video latents, n steps of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from humo.layers.detail import DETAIL_PREFIX
from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.distillation.student import learned
from humo.training.distillation.trajectories import Trajectories
from humo.training.precision import mixed_precision
from humo.training.transformer.attention import TrainingAttnProcessor
from humo.training.transformer.model import channel_error
from humo.transformer import HuMoTransformer3DModel


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationSettings:
    """How the student learns."""

    steps: int = 600
    """Training steps."""
    learning_rate: float = 1.5e-3
    """Peak rate of AdamW."""
    detail_rate: float = 0.3
    """Rate of the detail head, as a share of it: the head begins as the teacher's and has every weight to lose."""
    spans: tuple[int, ...] = (1, 2, 2, 2, 3, 3)
    """Steps of the teacher that one of the student covers; each sample draws one."""
    movement_weight: float = 2.0
    """Extra loss where the teacher's video moves, which is the mouth and little else."""
    batch_size: int = 8
    """Samples of a step at 13 latents; more where clips are shorter."""
    ema_decay: float = 0.998
    """Largest decay of the averaged weights, which are saved."""


@dataclass(slots=True)
class DistillationBatch:
    """What a step learns from."""

    noisy: Tensor
    """(b, c, k, h, w)."""
    target: Tensor
    """Mean velocity, same shape."""
    sigma: Tensor
    """(b,)."""
    scalars: Tensor
    """What the student is told, (b, 4)."""
    movement: Tensor
    """How much each cell moves, mean 1, (b, 1, h, w)."""
    text: Tensor
    references: Tensor
    audio: Tensor


def draw_distillation_batch(
    trajectories: Trajectories, rng: np.random.Generator, spans: tuple[int, ...], size: int
) -> DistillationBatch:
    """Draws places and spans from the trajectories of one shard.

    Args:
        paths: of a shard.
        rng: draws them.
        spans: to choose from.
        size: samples; a trajectory may come twice, at other places.
    """
    count, samples = len(trajectories.sigmas) - 1, trajectories.states.shape[1]
    chosen = torch.from_numpy(rng.integers(samples, size=size))
    first = torch.from_numpy(rng.integers(count, size=size))
    last = (first + torch.from_numpy(rng.choice(spans, size))).clamp_max(count)
    sigma, next_sigma = trajectories.sigmas[first], trajectories.sigmas[last]
    noisy, later = trajectories.states[first, chosen], trajectories.states[last, chosen]
    span = (sigma - next_sigma).view(-1, 1, 1, 1, 1).to(noisy.device)
    lengths = (trajectories.sigmas[:-1] - trajectories.sigmas[1:])[None]  # (1, n)
    steps = torch.arange(count)[None]
    inside = lengths * ((steps >= first[:, None]) & (steps < last[:, None]))  # (b, n)
    scales = (inside[..., None] * trajectories.scales[:, chosen].transpose(0, 1)).sum(1) / inside.sum(1, keepdim=True)
    spread = trajectories.states[-1, chosen].std(2).mean(1, keepdim=True)  # (b, 1, h, w)
    return DistillationBatch(
        noisy=noisy,
        target=(noisy - later) / span,
        sigma=sigma,
        scalars=torch.cat([scales, (sigma - next_sigma)[:, None]], dim=1),
        movement=spread / spread.mean((2, 3), keepdim=True).clamp_min(1e-6),
        text=trajectories.text[chosen],
        references=trajectories.references[chosen],
        audio=trajectories.audio[chosen],
    )


class Distiller:
    """Optimiser, averaged weights and one step.

    Args:
        student: from `make_student`.
        settings: of the learning.
        device: "cpu" or "cuda".
    """

    def __init__(self, student: HuMoTransformer3DModel, settings: DistillationSettings, device: str = "cpu") -> None:
        self.student, self.settings, self.device = student.to(device).train(), settings, device
        student.set_attn_processor(TrainingAttnProcessor())
        adapter, detail = list[nn.Parameter](), list[nn.Parameter]()
        for name, parameter in student.named_parameters():
            if parameter.requires_grad:
                (detail if name.startswith(DETAIL_PREFIX) else adapter).append(parameter)
        self.parameters = [*adapter, *detail]
        groups = [{"params": adapter, "factor": 1.0}, {"params": detail, "factor": settings.detail_rate}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.0)
        self.ema = EMAModel(self.parameters, decay=settings.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)

    def state(self) -> dict[str, Any]:
        """Everything a resume needs, as tensors and plain values."""
        return {
            "student": learned(self.student),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        for name, value in learned(self.student).items():
            value.data.copy_(state["student"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.parameters[0].device)

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights, under the names of their file."""
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        weights = {name: value.detach().clone() for name, value in learned(self.student).items()}
        self.ema.restore(self.parameters)
        return weights

    def step(self, batch: DistillationBatch, progress: float) -> dict[str, Tensor]:
        """Learns from steps; progress 0..1 of the training sets the rate. Returns figures for the log."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * group["factor"] * cosine_with_warmup(progress, 0.03, 0.03)
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.ema.step(self.parameters)
        return {"loss": loss.detach(), "norm": norm}

    def loss(self, batch: DistillationBatch) -> Tensor:
        """Squared error of the mean velocity; what moves counts more."""
        noisy, target, references = (each.to(self.device) for each in (batch.noisy, batch.target, batch.references))
        sigma = batch.sigma.to(self.device)
        with mixed_precision(self.device):
            sample = self.student(
                torch.cat([noisy, references], dim=2),
                1000.0 * sigma,
                batch.text.to(self.device),
                batch.audio.to(self.device),
                guidance=batch.scalars.to(self.device),
            ).sample
        wrong = sample[:, :, : noisy.shape[2]].float() - target
        error = channel_error(wrong, sigma.view(-1, 1, 1, 1, 1), self.student.config.latent_std)  # (b, k, h, w)
        region = 1 + self.settings.movement_weight * batch.movement.to(self.device)
        return (region * error).sum() / region.expand_as(error).sum()


def load_trajectories(folder: Path, device: str = "cpu") -> list[Trajectories]:
    """All trajectories of a folder; what is large lies on the device.

    Raises:
        ValueError: if there are none.
    """
    shards = [Trajectories.load(path).to(device) for path in sorted(folder.glob("trajectories-*.safetensors"))]
    if not shards:
        raise ValueError(f"{folder} has no trajectories: run `python -m humo distill trajectories` first.")
    return shards
