"""How frames and pictures are brought to the square that a vision network reads.

Legend: n pictures, h w their pixels, s the network's side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_tensor(frames: np.ndarray) -> Tensor:
    """Frames (n, h, w, 3) uint8 to (n, 3, h, w) float32 in 0..255."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float()


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Pixels (n, 3, s, s) in 0..1, less the mean and over the deviation of each colour."""
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1).to(pixels) for values in (mean, std))
    return (pixels - shift) / scale


def embed_pictures(clip: CLIPModel, pixels: Tensor) -> Tensor:
    """CLIP's image embeddings, not yet of length 1, (n, c)."""
    return clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)


def vbench_square(frames: np.ndarray, side: int = 224) -> Tensor:
    """What VBench shows CLIP: shorter side to `side` by bicubic points without a low-pass, then the middle.

    Args:
        frames: (n, h, w, 3) uint8.
        side: pixels.

    Returns:
        Normalised as CLIP wants it, (n, 3, side, side).

    Source: VBench, `vbench/utils.py::clip_transform`; its resizing of tensors overshoots 0..255, as here.
    """
    height, width = frames.shape[1:3]
    shorter = min(height, width)
    size = [side if edge == shorter else int(side * edge / shorter) for edge in (height, width)]
    pixels = F.interpolate(to_tensor(frames), size, mode="bicubic", align_corners=False, antialias=False)
    top, left = (int(round((edge - side) / 2)) for edge in size)
    return normalize(pixels[:, :, top : top + side, left : left + side] / 255, CLIP_MEAN, CLIP_STD)


def pil_square(picture: Image.Image, shorter: int, side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """What CLIP's and DINO's own loaders do: shorter side by PIL's bicubic, which filters, then the middle.

    Args:
        picture: RGB.
        shorter: the shorter side after resizing, pixels.
        side: of the square cut from it, pixels.
        mean: of the colours.
        std: of the colours.

    Returns:
        (3, side, side).
    """
    smallest = min(picture.size)
    size = [shorter if edge == smallest else int(shorter * edge / smallest) for edge in picture.size]
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (int(round((edge - side) / 2)) for edge in size)
    cut = np.asarray(resized.crop((left, top, left + side, top + side)))
    return normalize(to_tensor(cut[None]) / 255, mean, std)[0]
