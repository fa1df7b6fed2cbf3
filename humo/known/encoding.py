"""Frames, and which of their pixels stay, as known latents. Ours."""

# f video frames, k latent frames, h w latent grid, z channels of video latents

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from humo.known.latents import Known
from humo.references import encode_video, to_pixels
from humo.timing import check_num_frames


@torch.no_grad()
def know_frames(
    frames: np.ndarray,
    mask: np.ndarray | None,
    vae: Any,
    device: torch.device | str | None = None,
    resampling: int = 0,
) -> Known:
    """Encode frames of which some pixels stay.

    Args:
        frames: RGB, uint8 (f, height, width, 3), as many as the video has: 4k+1.
        mask: how far each pixel is known, 0 to 1, (f, height, width); None for all. A latent is known no further than
            the least known of the pixels that it stands for.
        vae: the video codec.
        device: where to compute, which is not the codec's own device while that is offloaded.
        resampling: see `Known`.

    Returns:
        For `humo.sampling.Conditions.known`, batch size 1.

    Raises:
        ValueError: if a shape or a number does not fit.
    """
    check_frames("known frames", frames)
    check_num_frames(len(frames), "known frames")
    height, width = frames.shape[1:3]
    multiple = vae.config.scale_factor_spatial
    if height % multiple or width % multiple:
        raise ValueError(f"known frames are {height}x{width} but both must be multiples of {multiple}.")
    latents = encode_video(to_pixels(frames).to(device or vae.device), vae)
    if mask is None:
        return Known(latents, torch.ones_like(latents[:, :1]), resampling)
    mask = np.asarray(mask, np.float32)
    if mask.shape != frames.shape[:3]:
        raise ValueError(f"the mask is {mask.shape} but the frames are {frames.shape[:3]}: give one value a pixel.")
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise ValueError("the mask leaves 0 to 1: 1 is known, 0 is made.")
    return Known(latents, pool_mask(torch.from_numpy(mask), vae).to(latents), resampling)


def check_frames(name: str, frames: Any) -> None:
    """Refuse what is no video.

    Raises:
        ValueError: if it is not uint8 of (f, height, width, 3) with a frame or more.
    """
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        kind = f"{frames.dtype} of {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"{name} are {kind}: give uint8 of (frames, height, width, 3).")
    if not len(frames):
        raise ValueError(f"{name} are none: give one or more.")


def pool_mask(mask: Tensor, vae: Any) -> Tensor:
    """The least value of the pixels that each latent stands for.

    Args:
        mask: (f, height, width), f = 4k+1, 0 to 1.
        vae: the video codec.

    Returns:
        (1, 1, k+1, h, w); the first latent stands for the first frame alone.
    """
    time, space = vae.config.scale_factor_temporal, vae.config.scale_factor_spatial
    groups = torch.cat([mask[:1].expand(time - 1, -1, -1), mask])[None, None]
    return -F.max_pool3d(-groups, (time, space, space))
