"""Latents to frames in a stream, so that the first ones can be shown before the last ones are done. Ours.

Both codecs decode most of a video one stretch after the other anyway: AutoencoderKLWan one latent frame at a time with
what it remembers of those before, `HuMoVideoCodec` frame by frame at full resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humo.layers.autoencoder import HuMoVideoCodec

OnFrames = Callable[[np.ndarray], None]
"""Told each stretch of frames, uint8 (f, height, width, 3), in order."""


def decode_frames(latents: Tensor, vae: Any, on_frames: OnFrames | None = None) -> np.ndarray:
    """Decode one video.

    Args:
        latents: normalised, (1, z, f, h, w).
        vae: AutoencoderKLWan, or `HuMoVideoCodec`.
        on_frames: told each stretch as soon as it is decoded; all at once where the codec works in tiles.

    Returns:
        RGB, uint8 (video frames, height, width, 3).
    """
    if on_frames is None:
        return to_frames(decode_latents(latents, vae)[0])
    if isinstance(vae, HuMoVideoCodec):
        stretches = []
        for pixels in vae.decode_stream(denormalize_latents(latents, vae)):
            stretches.append(to_frames(pixels[0].float()))
            on_frames(stretches[-1])
        return np.concatenate(stretches)
    if vae.use_tiling or vae.config.patch_size is not None:  # its decoder makes parts of frames
        frames = to_frames(decode_latents(latents, vae)[0])
        on_frames(frames)
        return frames

    def tell(decoder: nn.Module, given: tuple[Any, ...], decoded: Tensor) -> None:  # a result would be decoded further
        on_frames(to_frames(decoded[0].float()))

    with vae.decoder.register_forward_hook(tell):
        return to_frames(decode_latents(latents, vae)[0])


def to_frames(pixels: Tensor) -> np.ndarray:
    """Turn a video's pixels (3, f, height, width) in [-1, 1] into frames (f, height, width, 3) uint8."""
    return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()


def decode_latents(latents: Tensor, vae: Any, frames: Sequence[int] | None = None) -> Tensor:
    """Decode normalised latents into pixels.

    Args:
        latents: (b, z, f, h, w).
        vae: AutoencoderKLWan, or a codec with its interface.
        frames: those that are wanted, counted from 0; None for all. Only `HuMoVideoCodec` saves time by them.

    Returns:
        (b, 3, frames, height, width) in [-1, 1], float32.
    """
    raw = denormalize_latents(latents, vae)
    if frames is not None and isinstance(vae, HuMoVideoCodec):
        return vae.decode(raw, frames=frames).sample.float().clamp(-1, 1)
    pixels = vae.decode(raw).sample.float().clamp(-1, 1)
    return pixels if frames is None else pixels[:, :, list(frames)]


def denormalize_latents(latents: Tensor, vae: Any) -> Tensor:
    """Normalised latents (b, z, f, h, w) as the codec itself knows them, in its dtype."""
    mean, std = latent_statistics(vae, latents)
    return (latents.float() * std + mean).to(vae.dtype)


def latent_statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the codec's latents, (1, z, 1, 1, 1), float32."""
    mean = torch.tensor(vae.config.latents_mean, dtype=torch.float32, device=like.device)
    std = torch.tensor(vae.config.latents_std, dtype=torch.float32, device=like.device)
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)
