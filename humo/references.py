"""Reference pictures: letterboxing, their latents, and the transformer's two input forms.

References are appended at the end of latent time, so that they are never read as a first frame;
self-attention carries the identity. A reference is one latent frame. The 1.7B form overwrites the last
frames of the latents with clean references at every pass; the 17B form shows them in further channels,
beside a mask. Without a picture the reference slots hold nulls: zeros in the 1.7B form, the black video's
latents in the 17B form.

Source: HuMo sec. 3.2 and released code (`generate.py::load_image_latent_ref_id`, `inference`).
"""

# b batch, f latent frames (video + references), r references, h w latent grid, z channels of video latents

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.layers.decoding import decode_latents as decode_latents
from humo.layers.decoding import latent_statistics
from humo.layers.decoding import to_frames as to_frames
from humo.media.letterbox import letterbox

MASK_CHANNELS = 4
"""Mask channels of the 17B form: 0 on video frames, 1 on references."""


def picture_to_pixels(picture: Image.Image) -> Tensor:
    """Turn an RGB picture into one frame of pixels (1, 3, 1, height, width) in [-1, 1], float32."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32))
    return (pixels / 127.5 - 1).permute(2, 0, 1)[None, :, None]


def to_pixels(frames: np.ndarray) -> Tensor:
    """Turn a video's frames (f, height, width, 3) uint8 into pixels (1, 3, f, height, width) in [-1, 1], float32."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2))).float()[None] / 127.5 - 1


def encode_video(pixels: Tensor, vae: Any) -> Tensor:
    """Encode pixels into normalised latents.

    Args:
        pixels: (b, 3, video frames, height, width) in [-1, 1], on the device that computes.
        vae: AutoencoderKLWan, or a codec with its interface.

    Returns:
        (b, z, f, h, w) with about zero mean and unit variance, float32. The mode of the posterior, as
        released.
    """
    latents = vae.encode(pixels.to(vae.dtype)).latent_dist.mode().float()
    mean, std = latent_statistics(vae, latents)
    return (latents - mean) / std


def encode_references(
    pictures: Sequence[Image.Image],
    vae: Any,
    height: int,
    width: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Encode pictures as references, each alone, in the given order.

    Args:
        pictures: one or several.
        vae: the video codec.
        height: pixels of the video.
        width: pixels of the video.
        device: where to compute, which is not the codec's own device while that is offloaded.

    Returns:
        (1, z, r, h, w), float32.
    """
    frames = (picture_to_pixels(letterbox(picture, height, width)) for picture in pictures)
    return torch.cat([encode_video(frame.to(device or vae.device), vae) for frame in frames], dim=2)


def encode_black_video(
    vae: Any,
    num_latents: int,
    height: int,
    width: int,
    level: float = -1.0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Latents of an empty video, the null of the 17B form's condition channels.

    The release ships them as files of two sizes; computed with the VAE they exist for every size. It is usually
    called black, but what the shipped latents show is the middle grey (`humo.loading.published.parts.BLACK_LEVEL`).

    Args:
        vae: the video codec.
        num_latents: latent frames, references included.
        height: pixels of the video.
        width: pixels of the video.
        level: value of every pixel, -1 black to 1 white; a converted pipeline names its own in `black_level`.
        device: where to compute, which is not the codec's own device while that is offloaded.

    Returns:
        (1, z, num_latents, h, w), float32.
    """
    num_frames = 1 + (num_latents - 1) * vae.config.scale_factor_temporal
    pixels = torch.full((1, 3, num_frames, height, width), level, device=device or vae.device)
    return encode_video(pixels, vae)


def assemble_input(
    latents: Tensor,
    in_channels: int,
    num_references: int,
    references: Tensor | None,
    black_video: Tensor | None,
) -> Tensor:
    """Put noisy latents and references into the form that the transformer reads.

    Args:
        latents: noisy latents with the reference frames at the end, (b, z, f, h, w).
        in_channels: the transformer's; z for the 1.7B form, 2 z + 4 for the 17B form.
        num_references: reference frames in `latents`.
        references: clean latents of the references (b, z, r, h, w); None for their null.
        black_video: latents of the black video (b, z, f, h, w); 17B form only.

    Returns:
        (b, in_channels, f, h, w), with the dtype of `latents`.

    Raises:
        ValueError: if the references do not fill their slots or the black video is missing.
    """
    if references is not None and references.shape[2] != num_references:
        raise ValueError(f"references has {references.shape[2]} frames but num_references is {num_references}.")
    num_video = latents.shape[2] - num_references
    if in_channels == latents.shape[1]:
        null = torch.zeros_like(latents[:, :, num_video:])
        last = null if references is None else references.to(latents)
        return torch.cat([latents[:, :, :num_video], last], dim=2)
    if black_video is None:
        raise ValueError(
            f"black_video is missing but a transformer of {in_channels} input channels needs it: "
            "compute it with humo.references.encode_black_video."
        )
    condition = black_video.to(latents).expand_as(latents)
    if references is not None:
        condition = torch.cat([condition[:, :, :num_video], references.to(latents)], dim=2)
    mask = torch.zeros_like(latents[:, :1]).expand(-1, MASK_CHANNELS, -1, -1, -1).clone()
    mask[:, :, num_video:] = 1
    return torch.cat([latents, mask, condition], dim=1)
