"""What a training step asks of the network: conditions drawn by chance, the input in either form, and two losses.

Everything that chance decides of a clip comes from a generator of its own, seeded by the training's seed, the number of
the batch and the clip's place in it over all processes. So a resumed run needs no saved generators, and two processes
draw what one with the doubled batch would.

Time is diffusers' everywhere: sigma 1 is noise, x = (1 - sigma) x0 + sigma noise, v = noise - x0. The paper writes the
opposite.
"""

# b batch, f latent frames (video + references), k video frames, r references, h w latent grid, z latent channels

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.training_utils import compute_density_for_timestep_sampling
from torch import Tensor

from humo.explain.schedules import shift_noise
from humo.finetuning.dataset.batch import TrainingBatch
from humo.finetuning.settings import FinetuneSettings
from humo.focus import face_mask_loss
from humo.references import assemble_input


@dataclass(frozen=True, slots=True)
class RandomDraws:
    """What chance decided for each clip of a batch."""

    noise: Tensor
    """(b, z, f, h, w), float32."""
    sigma: Tensor
    """Noise level in (0, 1), (b,), float32."""
    shows_text: Tensor
    """Whether the caption is read, (b,), bool."""
    shows_image: Tensor
    """Whether the references are seen, (b,), bool."""
    hears: Tensor
    """Whether the sound is heard, the sync task, (b,), bool."""

    def to(self, device: torch.device | str) -> RandomDraws:
        """The same on a device."""
        return RandomDraws(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """A batch as the network is asked it, and the answer."""

    hidden_states: Tensor
    """(b, in_channels, f, h, w)."""
    timestep: Tensor
    """1000 sigma, (b,)."""
    encoder_hidden_states: Tensor
    """(b, n, c)."""
    audio_hidden_states: Tensor
    """(b, f, 8, 5, ca)."""
    velocity: Tensor
    """What is to be predicted of the frames that count, the first ones, (b, z, k or f, h, w)."""
    face: Tensor
    """Face mask of the clips that count in the focus loss, zero in others, (b, k, h, w)."""

    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first arguments of the transformer, in its order."""
        return self.hidden_states, self.timestep, self.encoder_hidden_states, self.audio_hidden_states


def with_slot(batch: TrainingBatch) -> TrainingBatch:
    """A batch whose clips have at least one place for a reference, as at inference; an added one holds the null.

    Its `shows_image` must then be false, which `draw_random` sees to.
    """
    if batch.references.shape[2] > 0:
        return batch
    references = torch.zeros_like(batch.latents[:, :, :1])
    return replace(batch, references=references, audio=F.pad(batch.audio, (0, 0, 0, 0, 0, 0, 0, 1)))


def draw_random(
    batch: TrainingBatch, settings: FinetuneSettings, audio_share: float, number: int, first: int
) -> RandomDraws:
    """Draw noise, noise levels and dropped conditions.

    Args:
        batch: on any device, as the loader gave it.
        settings: of the training.
        audio_share: share of the sync task by now (`humo.training.transformer.stages.audio_share`).
        number: of the batch in the training, counted in one process.
        first: place of its first clip among the clips of all processes.

    Returns:
        On the CPU, so that a seed means the same on every device.
    """
    num_frames = batch.latents.shape[2] + max(1, batch.references.shape[2])
    shape = (*batch.latents.shape[1:2], num_frames, *batch.latents.shape[3:])
    has_image = batch.references.shape[2] > 0
    drawn = [_draw_clip(shape, settings, audio_share, (number, first + place)) for place in range(len(batch))]
    noise, sigma, shows_text, shows_image, hears = zip(*drawn, strict=True)
    return RandomDraws(
        torch.stack(noise),
        torch.stack(sigma),
        torch.tensor(shows_text),
        torch.tensor(shows_image) & has_image,
        torch.tensor(hears),
    )


def _draw_clip(
    shape: tuple[int, ...], settings: FinetuneSettings, audio_share: float, place: tuple[int, int]
) -> tuple[Tensor, Tensor, bool, bool, bool]:
    seed = int(np.random.SeedSequence((settings.seed, *place)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    generator = torch.Generator().manual_seed(seed)
    dice_text, dice_image, dice_audio = torch.rand(3, generator=generator).tolist()
    hears = dice_audio < audio_share
    dropout = settings.sync_image_dropout if hears else settings.image_dropout
    sigma = compute_density_for_timestep_sampling(
        "logit_normal", 1, settings.noise_mean, settings.noise_std, generator=generator
    )[0]
    sigma = shift_noise(sigma, settings.noise_shift)
    noise = torch.randn(shape, generator=generator)
    return noise, sigma, dice_text >= settings.text_dropout, dice_image >= dropout, hears


def make_model_inputs(
    batch: TrainingBatch,
    draws: RandomDraws,
    in_channels: int,
    settings: FinetuneSettings,
    black_video: Tensor | None = None,
) -> ModelInputs:
    """Put a batch and what chance decided into the network's input, with the velocity to be predicted.

    In the 1.7B form the references lie clean in the latents at every pass, so their velocity does not count. In the 17B
    form the solver steps those frames as any other, so they are noised and do count (ours; the paper does not say).

    Args:
        batch: from the loader.
        draws: from `draw_random` for this batch, on its device.
        in_channels: of the transformer.
        settings: of the training.
        black_video: latents of the null video (1, z, f, h, w) on the same device; 17B form only.

    Raises:
        ValueError: if the 17B form lacks its null video.
    """
    batch = with_slot(batch)
    num_references = batch.references.shape[2]
    is_first_form = in_channels == batch.latents.shape[1]
    null = torch.zeros_like(batch.references) if black_video is None else black_video[:, :, -num_references:]
    references = torch.where(_wide(draws.shows_image, 5), batch.references, null)
    clean, sigma = torch.cat([batch.latents, references], dim=2), _wide(draws.sigma, 5)
    noisy = (1 - sigma) * clean + sigma * draws.noise
    num_counted = batch.latents.shape[2] + (0 if is_first_form else num_references)
    counts = torch.ones_like(draws.hears) if settings.focus_on_silent else draws.hears
    return ModelInputs(
        hidden_states=assemble_input(noisy, in_channels, num_references, references, black_video),
        timestep=1000.0 * draws.sigma,
        encoder_hidden_states=torch.where(_wide(draws.shows_text, 3), batch.text, batch.null_text),
        audio_hidden_states=batch.audio * _wide(draws.hears, 5),
        velocity=(draws.noise - clean)[:, :, :num_counted],
        face=batch.face * _wide(counts, 4),
    )


def flow_loss(predicted: Tensor, velocity: Tensor) -> Tensor:
    """Mean squared error of the velocity, unweighted, over the frames that count.

    Args:
        predicted: (b, z, f, h, w).
        velocity: the first frames of the same, (b, z, k or f, h, w).

    Returns:
        Scalar, float32.

    Source: HuMo sec. 3.1 (flow matching).
    """
    return F.mse_loss(predicted[:, :, : velocity.shape[2]].float(), velocity.float())


def shared_focus_loss(logits: Tensor, face: Tensor, num_faces: float, num_processes: int) -> Tensor:
    """Eq. 3 as this process' part of a mean over all frames with a face in all processes.

    A process whose clips show few faces would otherwise weigh each of them more than another's, and two processes would
    not train as one with the doubled batch.

    Args:
        logits: of the focus head for the video frames, (b, k, h, w).
        face: mask in {0, 1}, same shape.
        num_faces: frames with a face in all processes.
        num_processes: over which gradients are averaged.

    Returns:
        Scalar, float32; its mean over the processes is eq. 3 of all their clips.

    Source: HuMo eq. 3; the sharing is ours.
    """
    own = count_faces(face).clamp_min(1)
    return face_mask_loss(logits, face) * own * num_processes / max(num_faces, 1.0)


def on_grid(face: Tensor, logits: Tensor) -> Tensor:
    """The face mask on the focus head's grid, which is finer than the latents' in mini: a cell is as what it lies in.

    Args:
        face: (b, k, h, w).
        logits: of the head, (b, k, rows, columns).

    Returns:
        (b, k, rows, columns); the mask itself where the grids are the same.
    """
    return F.interpolate(face, size=logits.shape[-2:], mode="nearest")


def count_faces(face: Tensor) -> Tensor:
    """Number of frames with a face, float32."""
    return face.flatten(2).any(dim=-1).sum().float()


def _wide(values: Tensor, ndim: int) -> Tensor:
    """(b,) with further axes of length one."""
    return values.view(-1, *[1] * (ndim - 1))


def check_batch(batch: TrainingBatch, config: Any) -> None:
    """Refuses data that the transformer cannot read.

    Args:
        batch: from the loader.
        config: of the transformer.

    Raises:
        ValueError: if channels or sizes do not fit.
    """
    rows, columns = batch.latents.shape[3:]
    window = (config.audio_window, config.audio_bands, config.audio_channels)
    wanted = {
        "latent channels": (batch.latents.shape[1], config.out_channels),
        "text channels": (batch.text.shape[2], config.text_dim),
        "audio windows": (tuple(batch.audio.shape[2:]), window),
    }
    for name, (given, needed) in wanted.items():
        if given != needed:
            raise ValueError(
                f"The data has {name} {given} but the transformer reads {needed}: "
                "prepare the data with the codec and the encoders of this model."
            )
    if rows % config.patch_size[1] or columns % config.patch_size[2]:
        raise ValueError(f"The data's latents are {rows}x{columns}, no multiple of the patch {config.patch_size[1:]}.")
