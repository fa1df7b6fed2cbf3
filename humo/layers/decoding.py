"""Latents to frames in a stream, so that the first ones can be shown before the last ones are done. Ours.

Both codecs decode most of a video one stretch after the other anyway: AutoencoderKLWan one latent frame at a time with
what it remembers of those before, `HuMoVideoCodec` frame by frame at full resolution.

Decoding comes last and may take more of a GPU's memory than all before it. So a video that does not fit is decoded once
more in tiles, where the codec can, and if that fails too, the error brings its latents along: none are lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humo.layers.autoencoder import HuMoVideoCodec

logger = logging.getLogger(__name__)

OnFrames = Callable[[np.ndarray], None]
"""Told each stretch of frames, uint8 (f, height, width, 3), in order."""


class DecodingMemoryError(torch.OutOfMemoryError):
    """The memory is too small to decode a video.

    Attributes:
        latents: of the video, normalised, (b, z, f, h, w), on the CPU.
    """

    def __init__(self, sentence: str, latents: Tensor) -> None:
        super().__init__(sentence)
        self.latents = latents

    def __reduce__(self) -> tuple[type[DecodingMemoryError], tuple[str, Tensor]]:
        return type(self), (str(self), self.latents)  # on its way from another process


def decode_frames(latents: Tensor, vae: Any, on_frames: OnFrames | None = None) -> np.ndarray:
    """Decode one video.

    Args:
        latents: normalised, (1, z, f, h, w).
        vae: AutoencoderKLWan, or `HuMoVideoCodec`.
        on_frames: told each stretch as soon as it is decoded; what is left at once where the codec works in tiles.

    Returns:
        RGB, uint8 (video frames, height, width, 3).

    Raises:
        DecodingMemoryError: if the memory is too small, also in tiles.
    """
    if on_frames is None:
        return to_frames(decode_latents(latents, vae)[0])
    if isinstance(vae, HuMoVideoCodec):
        stretches = []
        for pixels in vae.decode_stream(denormalize_latents(latents, vae)):
            stretches.append(to_frames(pixels[0].float()))
            on_frames(stretches[-1])
        return np.concatenate(stretches)
    num_told = 0

    def tell(decoder: nn.Module, given: tuple[Any, ...], decoded: Tensor) -> None:  # a result would be decoded further
        nonlocal num_told
        if vae.use_tiling or vae.config.patch_size is not None:  # its decoder makes parts of frames
            return
        on_frames(stretch := to_frames(decoded[0].float()))
        num_told += len(stretch)

    with vae.decoder.register_forward_hook(tell):
        frames = to_frames(decode_latents(latents, vae)[0])
    if num_told < len(frames):
        on_frames(frames[num_told:])
    return frames


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

    Raises:
        DecodingMemoryError: if the memory is too small, also in tiles.
    """
    chosen = {"frames": frames} if frames is not None and isinstance(vae, HuMoVideoCodec) else {}
    pixels = _decode_that_fits(latents, vae, chosen).float().clamp(-1, 1)
    return pixels if frames is None or chosen else pixels[:, :, list(frames)]


def _decode_that_fits(latents: Tensor, vae: Any, chosen: dict[str, Any]) -> Tensor:
    """Decode, and where the memory is too small for that decode once more in tiles, if the codec has any."""
    with suppress(torch.OutOfMemoryError):
        return _decode(latents, vae, chosen)
    _let_go(vae)  # not while the error is handled, which holds what was alive
    if getattr(vae, "use_tiling", None) is False:  # mini's codec has none
        logger.warning(
            "The video does not fit into the memory at once, so it is decoded in tiles, whose seams are blended: to "
            "have it so from the start, load with memory= the size of your GPU."
        )
        vae.enable_tiling()
        try:
            with suppress(torch.OutOfMemoryError):
                return _decode(latents, vae, chosen)
        finally:
            vae.disable_tiling()
        _let_go(vae)
    raise DecodingMemoryError(
        "The memory is too small to decode the video, but nothing is lost: its latents are this error's `latents`, "
        "which `humo.layers.decoding.decode_frames` decodes where there is more, as with a codec on the CPU.",
        latents.cpu(),
    )


def _decode(latents: Tensor, vae: Any, chosen: dict[str, Any]) -> Tensor:
    pixels: Tensor = vae.decode(denormalize_latents(latents, vae), **chosen).sample
    return pixels


def _let_go(vae: Any) -> None:
    """Free what a decoding that failed has left."""
    if hasattr(vae, "clear_cache"):
        vae.clear_cache()  # what AutoencoderKLWan remembers of the frames before
    torch.cuda.empty_cache()


def denormalize_latents(latents: Tensor, vae: Any) -> Tensor:
    """Normalised latents (b, z, f, h, w) as the codec itself knows them, in its dtype."""
    mean, std = latent_statistics(vae, latents)
    return (latents.float() * std + mean).to(vae.dtype)


def latent_statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the codec's latents, (1, z, 1, 1, 1), float32."""
    mean = torch.tensor(vae.config.latents_mean, dtype=torch.float32, device=like.device)
    std = torch.tensor(vae.config.latents_std, dtype=torch.float32, device=like.device)
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)
