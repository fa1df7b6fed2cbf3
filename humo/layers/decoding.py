"""Latents to frames in a stream, so that the first ones can be shown before the last ones are done. Ours.

Both codecs decode most of a video one stretch after the other anyway: AutoencoderKLWan one latent frame at a time with
what it remembers of those before, `HuMoVideoCodec` frame by frame at full resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from humo.layers.autoencoder import HuMoVideoCodec
from humo.references import decode_latents, denormalize_latents, to_frames

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

    def tell(decoder: nn.Module, given: tuple, decoded: Tensor) -> None:  # what a hook returns would be decoded further
        on_frames(to_frames(decoded[0].float()))

    with vae.decoder.register_forward_hook(tell):
        return to_frames(decode_latents(latents, vae)[0])
