"""Longer than trained: overlapping windows in latent time whose velocities are blended (ours).

The transformer never sees more video frames than it was trained on. A longer video is denoised as a whole,
but at every step its velocity is put together from overlapping windows, each with the references at its own
end, so that neighbouring windows agree. The paper trains 97 frames and does not speak of longer video.

Source: ours, after MultiDiffusion (arXiv 2302.08113).
"""

from __future__ import annotations

import torch
from torch import Tensor

LEEWAY = 1
"""Latent frames beyond a window that it takes in all the same: a sound is rounded up by less than one."""


def plan_windows(num_latents: int, window: int) -> list[slice]:
    """Cover latent time with windows that overlap by about half.

    Args:
        num_latents: latent frames of the video, without references.
        window: most latent frames in a window.

    Returns:
        Slices of latent time, each `window` long, evenly spread; one slice if the video is no longer, or by `LEEWAY`.

    Raises:
        ValueError: if window is below 2 and the video is longer than it.
    """
    if num_latents <= window + LEEWAY:
        return [slice(0, num_latents)]
    if window < 2:
        raise ValueError(f"window is {window} but at least 2 latent frames are needed for an overlap.")
    hop = window - window // 2
    count = 1 + -(-(num_latents - window) // hop)
    starts = [round(index * (num_latents - window) / (count - 1)) for index in range(count)]
    return [slice(start, start + window) for start in starts]


def triangle(length: int) -> Tensor:
    """Blending weight of a window's frames: 1 at its ends, rising by 1 per frame to the middle, (length,)."""
    ascending = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(ascending, ascending.flip(0))


def blend_windows(parts: list[Tensor], windows: list[slice]) -> Tensor:
    """Blend what was predicted in each window with triangular weights.

    Args:
        parts: one tensor per window, (b, c, window, h, w).
        windows: their places in latent time, together covering it.

    Returns:
        (b, c, f, h, w), float32; frames in one window only are that window's.
    """
    if len(parts) == 1:
        return parts[0].float()
    batch_size, channels, _, height, width = parts[0].shape
    total = torch.zeros(batch_size, channels, windows[-1].stop, height, width, device=parts[0].device)
    weight = torch.zeros(windows[-1].stop, device=parts[0].device)
    for part, place in zip(parts, windows, strict=True):
        share = triangle(part.shape[2]).to(part.device)
        total[:, :, place] += part.float() * share.view(-1, 1, 1)
        weight[place] += share
    return total / weight.view(-1, 1, 1)
