"""Latents to frames in a stream, so that the first ones can be shown before the last ones are done. Ours.

Both codecs decode most of a video one stretch after the other anyway: AutoencoderKLWan one latent frame at a time with
what it remembers of those before, `HuMoVideoCodec` frame by frame at full resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from humo.codec import HuMoVideoCodec
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
            stretches.append(to_frames(pixels[0].float().clamp(-1, 1)))
            on_frames(stretches[-1])
        return np.concatenate(stretches)
    heard = _Listener(vae, on_frames)
    with heard:
        frames = to_frames(decode_latents(latents, vae)[0])
    if not heard.is_told:
        on_frames(frames)
    return frames


class _Listener:
    """Hears every latent frame that AutoencoderKLWan has decoded, while it is entered."""

    def __init__(self, vae: Any, on_frames: OnFrames) -> None:
        self._vae, self._on_frames = vae, on_frames
        self.is_told = False

    def __enter__(self) -> None:
        self._hook = self._vae.decoder.register_forward_hook(self._tell)

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _tell(self, decoder: nn.Module, given: tuple, decoded: Tensor) -> None:
        is_whole = not self._vae.use_tiling and self._vae.config.patch_size is None  # else it is a part of frames
        if is_whole:
            self._on_frames(to_frames(decoded[0].float().clamp(-1, 1)))
            self.is_told = True
