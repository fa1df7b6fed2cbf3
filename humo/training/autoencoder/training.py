"""Training of mini's codec: principal components of blocks (seconds), then the decoder (half an hour on two cores).

The components are fixed first, so the transformer's data can be encoded while the decoder still learns. Blocks of
faces count more, because the mouth is a small part of the picture and most of the message. Noise is added to the
latents in training, because the transformer's latents are never exact.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from humo.layers.autoencoder import SPACE, TIME, HuMoVideoCodec
from humo.training.autoencoder.critic import Critic
from humo.training.background import prefetch
from humo.training.precision import mixed_precision
from humo.world.clips import Clip, plan_clip, render_clip


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderSettings:
    """Settings of the codec's training; all ours."""

    size: int = 128
    """Side of the frames, pixels."""
    num_frames: int = 17
    """Frames a clip; a decoder trained on shorter ones drifts on longer ones."""
    batch_size: int = 4
    """Clips a step."""
    steps: int = 6000
    """Training steps of the decoder."""
    learning_rate: float = 1.5e-3
    """Peak rate of AdamW, reached after 2 % of the steps and lowered to 2 % of itself by a cosine."""
    latent_noise: float = 0.2
    """Largest standard deviation of the noise on normalised latents; each clip draws its own below it."""
    face_weight: float = 2.0
    """Extra loss on faces; mouth and eyes get three times as much."""
    square: float = 4.0
    """Weight of the squared error beside the absolute one: the square keeps large errors rare, the absolute keeps
    edges sharp."""
    edges: float = 0.0
    """Weight of the absolute error of the differences between neighbouring pixels: flat stays flat, edges stay."""
    critic: float = 0.0
    """Weight of a critic's lesson (`humo.training.autoencoder.critic`), as a share of the other losses' gradient."""
    component_clips: int = 500
    """Clips of which the principal components are computed."""
    flatten: float = 0.75
    """Power of a channel's standard deviation by which it is divided: 1 makes all channels equally loud, less keeps
    the strong components, which carry the layout, louder than the weak ones."""


class CodecBatch(NamedTuple):
    """Clips of one step."""

    frames: Tensor
    """What is to be drawn, (b, f, s, s, 3) uint8."""
    weights: Tensor
    """Of the loss, (b, f, s, s) float32."""
    latents: Tensor | None = None
    """Normalised latents to draw it from, (b, c, k, h, w) float16; None: its own, with noise."""


def render_batch(seed: int, settings: AutoencoderSettings, split: str = "train") -> CodecBatch:
    """Renders clips for the codec."""
    return CodecBatch(*map(torch.from_numpy, _render(seed, settings, split)))


def _render(seed: int, settings: AutoencoderSettings, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Frames and weights as arrays, which go from one process to another without ado."""
    clips = [
        render_clip(plan_clip(seed * settings.batch_size + index, split), settings.num_frames, settings.size)
        for index in range(settings.batch_size)
    ]
    return np.stack([clip.frames for clip in clips]), np.stack([weigh(regions_of(clip), settings) for clip in clips])


def rendered_batches(first: int, settings: AutoencoderSettings) -> Generator[CodecBatch]:
    """Batches of rendered clips from step `first` on, without an end; one background process renders ahead.

    A batch follows from its step's number, so a resumed run sees the same data.
    """
    with closing(prefetch(_render, first, settings)) as rendered:
        for frames, weights in rendered:
            yield CodecBatch(torch.from_numpy(frames), torch.from_numpy(weights))


def regions_of(clip: Clip) -> np.ndarray:
    """What counts more in a clip, (f, s, s) uint8: 1 on the face, 2 on its mouth and eyes, 0 elsewhere."""
    return clip.face * (1 + (clip.features > 0)).astype(np.uint8)


def weigh(regions: np.ndarray, settings: AutoencoderSettings) -> np.ndarray:
    """Loss weights of regions, float32: 1, more on the face, most on mouth and eyes."""
    weight = settings.face_weight
    return np.array([1.0, 1 + weight, 1 + 4 * weight], np.float32)[regions]


def to_video(frames: np.ndarray | Tensor) -> Tensor:
    """Frames (..., f, h, w, 3) uint8 to a video (..., 3, f, h, w) float32 in -1..1."""
    return torch.as_tensor(frames).movedim(-1, -4).float().contiguous() / 127.5 - 1.0


@torch.no_grad()
def fit_components(codec: HuMoVideoCodec, settings: AutoencoderSettings) -> None:
    """Sets the encoder's weights to the weighted principal components of rendered blocks, and the latents' scale."""
    block = (TIME, SPACE // 2, SPACE // 2)
    count, moment, mean = torch.zeros(3, dtype=torch.float64)
    for seed in range(settings.component_clips // settings.batch_size):
        frames, weights, _ = render_batch(10_000_000 + seed, settings)
        blocks = _blocks(to_video(frames), block).double()
        weight = _blocks(weights[:, None], block).mean(-1).double()[:, None]
        count, mean = count + weight.sum(), mean + (weight * blocks).sum(0)
        moment = moment + (weight * blocks).T @ blocks
    mean = mean / count
    values, vectors = torch.linalg.eigh(moment / count - torch.outer(mean, mean))
    components = vectors.flip(1)[:, : codec.config["z_dim"]].T  # (c, 768), strongest first
    codec.components.weight.copy_(components.reshape(codec.components.weight.shape))
    codec.components.get_parameter("bias").copy_(-(components @ mean))
    spread = values.flip(0)[: codec.config["z_dim"]].sqrt()
    scale = spread**settings.flatten
    frames = render_batch(20_000_000, replace(settings, batch_size=64)).frames
    codec.register_to_config(latents_mean=[0.0] * codec.config["z_dim"], latents_std=scale.tolist())
    rms = codec.normalize(codec.encode(to_video(frames)).latent_dist.mode()).square().mean().sqrt()
    codec.register_to_config(latents_std=(scale * rms.item()).tolist())  # unit variance on average


def _blocks(video: Tensor, block: tuple[int, int, int]) -> Tensor:
    """(b, c, f, h, w) at full resolution -> blocks at half resolution (n, c * 4 * 8 * 8), first frame repeated."""
    video = torch.cat([video[:, :, :1].expand(-1, -1, TIME - 1, -1, -1), video], dim=2)
    half = torch.nn.functional.avg_pool3d(video, (1, 2, 2))
    for axis, step in zip((2, 3, 4), block, strict=True):
        half = half.unfold(axis, step, step)  # (b, c, K, H, W, 4, 8, 8)
    return half.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(0, 3).flatten(1)


def train_decoder(
    codec: HuMoVideoCodec,
    settings: AutoencoderSettings,
    first_step: int = 0,
    optimizer_state: dict[str, Any] | None = None,
    batches: Callable[[int], Generator[CodecBatch]] | None = None,
    critic: Critic | None = None,
) -> Iterator[tuple[int, dict[str, Tensor], torch.optim.Optimizer]]:
    """Trains the decoder, on the codec's device.

    Args:
        codec: its decoder learns, in place.
        settings: of the training.
        first_step: steps that were done before.
        optimizer_state: of the optimiser after them.
        batches: gives the clips of the steps from a given one on; by default they are rendered.
        critic: teaches beside the loss, and learns itself.

    Yields:
        After every step, so that the caller can save and stop: its number; "loss", without the critic's part, which
        says little by its size, and "critic", the loss of its own; the optimiser.
    """
    optimizer = torch.optim.AdamW(codec.decoder.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    if optimizer_state is not None:
        optimizer.load_state_dict(optimizer_state)
    codec.components.requires_grad_(False)
    _lay_out_channels_last(codec.decoder)
    with closing((batches or partial(rendered_batches, settings=settings))(first_step)) as drawn:
        for step in range(first_step, settings.steps):
            batch = next(drawn)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * cosine_with_warmup(step / settings.steps, 0.02, 0.02)
            video = to_video(batch.frames.to(codec.device))
            decoded, loss = _decoder_loss(codec, video, batch, settings, step)
            taught = loss
            if critic is not None:
                taught = loss + critic.lesson(decoded, loss, codec.decoder.doublings[-1].get_parameter("weight"))
            optimizer.zero_grad()
            taught.backward()
            torch.nn.utils.clip_grad_norm_(codec.decoder.parameters(), 1.0)
            optimizer.step()
            figures = {"loss": loss.detach()}
            if critic is not None:
                figures["critic"] = critic.learn(decoded, video)
            yield step + 1, figures, optimizer


def _lay_out_channels_last(decoder: torch.nn.Module) -> None:
    """Channels last is the layout in which bfloat16 is convolved fast."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in decoder.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.ndim])


def cosine_with_warmup(progress: float, warmup: float, floor: float) -> float:
    """Learning-rate factor at a progress of 0..1: linear rise over `warmup`, then a cosine down to `floor`."""
    if progress < warmup:
        return (progress + 1e-4) / warmup
    part = (progress - warmup) / (1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * part)))


def _decoder_loss(
    codec: HuMoVideoCodec, video: Tensor, batch: CodecBatch, settings: AutoencoderSettings, step: int
) -> tuple[Tensor, Tensor]:
    """The decoded video and its loss against the rendered one, both videos (b, 3, f, s, s)."""
    weights, device = batch.weights.to(codec.device), codec.device.type
    with torch.no_grad():
        if batch.latents is None:
            latents = _noisy_latents(codec, video, settings.latent_noise, step)
        else:
            latents = batch.latents.to(codec.device).float()
        sketch = codec.sketch(codec.denormalize(latents))
    with mixed_precision(device):
        decoded = codec.decoder(latents.contiguous(memory_format=torch.channels_last_3d), sketch)
    decoded = decoded[:, :, TIME - 1 :].float()
    error = decoded - video
    loss = _mean((error.abs() + settings.square * error.square()).mean(1), weights)
    if settings.edges:
        for axis in (-1, -2):
            steps = error.diff(dim=axis).abs().mean(1)
            loss = loss + settings.edges * _mean(steps, weights.narrow(axis, 0, steps.shape[axis]))
    return decoded, loss


def _noisy_latents(codec: HuMoVideoCodec, video: Tensor, most: float, step: int) -> Tensor:
    generator = torch.Generator(codec.device).manual_seed(step)
    latents = codec.normalize(codec.encode(video).latent_dist.mode())
    strength = most * torch.rand(len(latents), 1, 1, 1, 1, generator=generator, device=codec.device)
    return latents + strength * torch.randn(latents.shape, generator=generator, device=codec.device)


def deepen(codec: HuMoVideoCodec, depths: Sequence[int]) -> HuMoVideoCodec:
    """The codec with more residual blocks in its decoder, which begin as nothing: it draws as before until it learns.

    Raises:
        ValueError: if a place would have fewer blocks than it has.
    """
    known = codec.config["depths"]
    if len(depths) != len(known) or any(a < b for a, b in zip(depths, known, strict=True)):
        raise ValueError(f"depths are {tuple(depths)} but the decoder has {tuple(known)}: give as many.")
    settings = {name: value for name, value in codec.config.items() if not name.startswith("_")}
    deeper = HuMoVideoCodec(**{**settings, "depths": tuple(depths)})
    deeper.load_state_dict(codec.state_dict(), strict=False)
    return deeper


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum()


@torch.no_grad()
def measure_autoencoder(
    codec: HuMoVideoCodec,
    num_clips: int = 24,
    size: int = 128,
    num_frames: int = 33,
    split: str = "test",
    show: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB over -1..1 on held-out clips: all, face, eyes, mouth, and the first frame.

    Args:
        codec: what to measure.
        num_clips, size, num_frames, split: of the clips.
        show: called with each clip's frames and its reconstruction, uint8.
    """
    errors: dict[str, list[np.ndarray]] = {"all": [], "face": [], "eyes": [], "mouth": [], "first": []}
    for seed in range(num_clips):
        clip = render_clip(plan_clip(5_000_000 + seed, split), num_frames, size)
        video = to_video(clip.frames)[None]
        with mixed_precision(codec.device.type):
            decoded = codec.decode(codec.encode(video.to(codec.device)).latent_dist.mode()).sample
        decoded = decoded[0].float().clamp(-1, 1).cpu()
        error = (decoded - video[0]).square().mean(0).numpy()
        errors["all"].append(error.ravel())
        errors["first"].append(error[0].ravel())
        errors["face"].append(error[clip.face])
        errors["eyes"].append(error[clip.features == 1])
        errors["mouth"].append(error[clip.features == 2])
        if show is not None:
            show(clip.frames, ((decoded.movedim(0, -1) + 1) * 127.5).round().byte().numpy())
    return decibels(errors)


def decibels(errors: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Peak signal-to-noise ratios in dB from squared errors of pixels in -1..1, by name."""
    return {name: round(float(10 * np.log10(4 / np.concatenate(parts).mean())), 2) for name, parts in errors.items()}
