"""Training of mini's transformer and focus head: the loss, the optimisers and one step.

Loss of a step: flow matching on the video latents, weighted so that the network's own output has unit variance at
every noise level and so that face and mouth count more, plus the size-aware focus loss of eq. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from humo.focus import FaceMaskPredictor, face_mask_loss, mask_iou
from humo.layers.linear_velocity import noisy_variance
from humo.requests.prompt_cache import encode_tokens
from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.precision import mixed_precision
from humo.training.transformer.attention import TrainingAttnProcessor
from humo.training.transformer.batches import Batch
from humo.training.transformer.muon import Muon
from humo.training.transformer.stages import Stage, trainable_names
from humo.transformer import HuMoTransformer3DModel, HuMoTransformerOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """Settings of the model's training; all ours, for the paper publishes none of them."""

    learning_rate: float = 2.5e-3
    """Peak rate of both optimisers (Muon for matrices inside the blocks, AdamW for the rest)."""
    warmup: float = 0.02
    """Share of the steps with a rising rate."""
    floor: float = 0.03
    """Rate at the end, as a share of the peak."""
    face_weight: float = 1.0
    """Extra loss on latents of the face."""
    mouth_weight: float = 5.0
    """Extra loss on latents of the mouth."""
    focus_weight: float = 0.05
    """Weight of the focus loss (eq. 3)."""
    ema_decay: float = 0.999
    """Largest decay of the averaged weights, which are the ones that are saved."""


class MiniModel(nn.Module):
    """What learns, transformer and focus head, beside the frozen text encoder.

    Args:
        transformer, text_encoder, focus_head: the three parts.
    """

    def __init__(
        self, transformer: HuMoTransformer3DModel, text_encoder: UMT5EncoderModel, focus_head: FaceMaskPredictor
    ) -> None:
        super().__init__()
        self.transformer, self.text_encoder, self.focus_head = transformer, text_encoder, focus_head
        text_encoder.eval().requires_grad_(False)

    def learned(self) -> dict[str, nn.Parameter]:
        """Parameters of transformer and focus head by name, whether or not a stage freezes some."""
        return {name: value for name, value in self.named_parameters() if not name.startswith("text_encoder.")}


def make_transformer(
    latent_std: list[float], text_dim: int, audio_channels: int, layers: int = 6, patch: int = 2
) -> HuMoTransformer3DModel:
    """Mini's transformer: 4 heads of 64, 1.7B form; audio attention starts at zero, so that sound does no harm."""
    transformer = HuMoTransformer3DModel(
        patch_size=(1, patch, patch),
        num_attention_heads=4, attention_head_dim=64, in_channels=len(latent_std),
        out_channels=len(latent_std), text_dim=text_dim,
        ffn_dim=1024, num_layers=layers, audio_dim=256, audio_channels=audio_channels, audio_hidden_dim=256,
        latent_std=latent_std, estimate_gate=True,
    )  # fmt: skip
    for block in transformer.blocks:
        nn.init.zeros_(block.audio_attn.attn.to_out[0].weight)
        nn.init.zeros_(block.audio_attn.attn.to_out[0].bias)
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    return transformer


def make_mini(
    latent_std: list[float],
    audio_channels: int,
    text_encoder: UMT5EncoderModel,
    layers: int = 6,
    patch: int = 2,
    detail_layers: int = 0,
) -> MiniModel:
    """Transformer and focus head untrained, at mini's sizes; a token is a square of `patch` latents a side."""
    from humo.training.transformer.data import MASK_SIDE, DataSettings, codec_grid

    transformer = make_transformer(latent_std, text_encoder.config.d_model, audio_channels, layers, patch)
    if detail_layers:
        transformer = add_detail_head(transformer, detail_layers)
    cells = MASK_SIDE * patch // codec_grid(DataSettings().size)  # of the mask grid along one side of a token
    focus_head = FaceMaskPredictor(dim=256, num_blocks=min(4, layers), hidden_dim=64, patch_size=(1, cells, cells))
    return MiniModel(transformer, text_encoder, focus_head)


def add_detail_head(transformer: HuMoTransformer3DModel, detail_layers: int) -> HuMoTransformer3DModel:
    """A transformer of the same weights with an untrained detail head, which adds nothing yet."""
    config = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    grown = HuMoTransformer3DModel.from_config({**config, "detail_layers": detail_layers})
    grown.load_state_dict({**grown.state_dict(), **transformer.state_dict()})
    return grown


def make_optimizers(model: MiniModel, settings: ModelSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of hidden layers, AdamW for the rest; each group has a factor on the learning rate.

    The biases of the audio projection learn at a tenth of the rate: its ReLUs see a constant whenever nothing is
    heard, and at the full rate that pushed all of them below zero for good within 600 steps, so that no sound came
    through any more.
    """
    layers, tables = ("blocks.", "audio_projection."), "scale_shift_table"
    hidden, heard, rest = list[Tensor](), list[Tensor](), list[Tensor]()
    for name, parameter in model.learned().items():
        if parameter.ndim == 2 and any(layer in name for layer in layers) and not name.endswith(tables):
            hidden.append(parameter)
        else:
            (heard if "audio_projection." in name else rest).append(parameter)
    rate = settings.learning_rate
    muon = Muon([{"params": hidden, "factor": 1.0}], lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    groups = [{"params": rest, "factor": 1.0}, {"params": heard, "factor": 0.1}]
    return [muon, torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, betas=(0.9, 0.98))]


def channel_error(error: Tensor, sigma: Tensor, latent_std: Sequence[float] | Tensor) -> Tensor:
    """Squared error of a velocity (b, c, k, h, w), mean over channels, (b, k, h, w).

    In units of the network's own output all channels would count the same; here a channel counts by the square of its
    spread (ours), for strong channels carry the layout. The cube draws layouts sooner but leaves out the mouth: of the
    world's mouth openness, a correlation of 0.59 is left in the 16 strongest channels and 0.95 in 64.

    Args:
        error: of the velocity.
        sigma: noise levels, (b, 1, 1, 1, 1).
        latent_std: standard deviation of each channel.
    """
    std = torch.as_tensor(latent_std).to(error.device, non_blocking=True).view(1, -1, 1, 1, 1)
    return (noisy_variance(std, sigma) / std.square().mean() * error.square()).mean(1)


def velocity_error(
    sample: Tensor, latents: Tensor, noise: Tensor, sigma: Tensor, latent_std: Tensor, movement: float
) -> Tensor:
    """Squared error of a predicted velocity at each place, (b, k, h, w).

    Args:
        sample: velocity, with the reference's after the video's, (b, c, k + 1, h, w).
        latents: clean video latents, (b, c, k, h, w).
        noise: same shape.
        sigma: noise levels, (b,).
        latent_std: standard deviation of each channel, (c,).
        movement: extra weight of what the error has different from frame to frame.
    """
    wrong = sample[:, :, : latents.shape[2]].float() - (noise - latents)
    sigma = sigma.view(-1, 1, 1, 1, 1)
    error = channel_error(wrong, sigma, latent_std)
    if movement:
        error = error + movement * channel_error(wrong - wrong.mean(2, keepdim=True), sigma, latent_std)
    return error


class Trainer:
    """Optimisers, averaged weights and one training step.

    Args:
        model: what learns; moved to `device`.
        settings: of the training.
        device: "cpu" or "cuda".
    """

    def __init__(self, model: MiniModel, settings: ModelSettings, device: str = "cpu") -> None:
        self.model, self.settings, self.device = model.to(device), settings, device
        model.transformer.set_attn_processor(TrainingAttnProcessor())
        self.velocity_error = velocity_error
        self.latent_std = torch.tensor(model.transformer.config.latent_std, device=device)
        self.optimizers = make_optimizers(model, settings)
        self.ema = EMAModel(
            model.learned().values(), decay=settings.ema_decay, use_ema_warmup=True, power=0.75, foreach=True
        )

    def compile(self, backend: str = "inductor") -> None:
        """Compiles what a step computes beside its optimisers, each part when it is first used; weights and their
        names stay as they are."""
        transformer = self.model.transformer
        transformer.compile_repeated_blocks(dynamic=True, backend=backend)
        transformer.add_estimate = torch.compile(transformer.add_estimate, dynamic=True, backend=backend)  # type: ignore[method-assign]
        self.velocity_error = torch.compile(velocity_error, dynamic=True, backend=backend)

    def state(self) -> dict[str, Any]:
        """Everything a resume needs, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.device)

    def step(self, batch: Batch, stage: Stage, progress: float, stage_progress: float = 1.0) -> dict[str, Tensor]:
        """Learns from a batch.

        Args:
            batch: from `draw_batch`.
            stage: what learns and which losses are on.
            progress: 0..1 of the whole training, for the learning rate.
            stage_progress: 0..1 of the stage, for the learning rate of one that begins anew.

        Returns:
            Figures for the log, on the device: to read one waits for the step's end.
        """
        settings = self.settings
        if stage.restart:
            factor = stage.restart * cosine_with_warmup(stage_progress, settings.warmup, settings.floor)
        else:
            factor = cosine_with_warmup(progress, settings.warmup, settings.floor)
        rate = settings.learning_rate * factor
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate * group["factor"]
        names = [name for name, _ in self.model.transformer.named_parameters()]
        learns = set(trainable_names(names, stage.learns))
        for name, parameter in self.model.transformer.named_parameters():
            parameter.requires_grad_(name in learns)
        loss, figures = self.loss(batch.to(self.device), stage.focus, stage.movement)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        figures["norm"] = nn.utils.clip_grad_norm_(self.model.learned().values(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.ema.step(self.model.learned().values())
        return figures

    def loss(self, batch: Batch, focus: bool, movement: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch and its parts.

        Args:
            batch: from `draw_batch`, on the model's device.
            focus: whether the focus head learns.
            movement: extra weight of what the velocity's error has different from frame to frame.
        """
        output = self.predict(batch, return_attended=focus)
        error = self.velocity_error(output.sample, batch.latents, batch.noise, batch.sigma, self.latent_std, movement)
        mouth, weights = batch.mouth, self._region_weights(batch.face, batch.mouth)
        loss = (weights * error).sum() / weights.sum()
        figures = {"loss": loss.detach(), "mouth": ((mouth * error).sum() / mouth.sum().clamp_min(1e-6)).detach()}
        return self.add_focus(loss, figures, output.attended, batch) if focus else (loss, figures)

    def predict(self, batch: Batch, return_attended: bool) -> HuMoTransformerOutput:
        """What the transformer says of a batch's noisy latents."""
        sigma = batch.sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - sigma) * batch.latents + sigma * batch.noise
        with mixed_precision(self.device):
            text = encode_tokens(self.model.text_encoder, batch.tokens, batch.attention_mask)
            return self.model.transformer(
                torch.cat([noisy, batch.references], dim=2),
                1000.0 * batch.sigma,
                text,
                batch.audio,
                return_attended=return_attended,
            )

    def add_focus(
        self, loss: Tensor, figures: dict[str, Tensor], attended: Sequence[Tensor], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds eq. 3 on the mask that the focus head reads from audio-attended states, and its figures."""
        num_video, patch = batch.latents.shape[2], self.model.transformer.config.patch_size[-1]
        grid = (num_video + 1, *(side // patch for side in batch.latents.shape[-2:]))
        logits = self.model.focus_head([states.float() for states in attended], grid)[:, :-1]
        focus_loss = face_mask_loss(logits, batch.face)
        more = {"focus": focus_loss.detach(), "iou": mask_iou(logits.detach(), batch.face)}
        return loss + self.settings.focus_weight * focus_loss, figures | more

    def _region_weights(self, face: Tensor, mouth: Tensor) -> Tensor:
        """1 plus extra on face and mouth, on the latent grid (b, k, h, w)."""
        cells = face.shape[-1] // mouth.shape[-1]
        share = nn.functional.avg_pool2d(face, cells)
        return 1 + self.settings.face_weight * share + self.settings.mouth_weight * mouth
