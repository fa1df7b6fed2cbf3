"""The region of a dub laid over its clip, so that it is seen, and corrected, before anything is made."""

from __future__ import annotations

import numpy as np
from PIL import Image

from humo.dubbing.region import Region
from humo.explain.overlays import mask_overlay


def show_region(frames: np.ndarray, region: Region) -> np.ndarray:
    """A clip with a region laid over it, as strong as what is new will be, uint8 (f, height, width, 3)."""
    pairs = zip(frames, region.opacity, strict=True)
    return np.stack([np.asarray(mask_overlay(frame, opacity / 255.0)) for frame, opacity in pairs])


def strip(frames: np.ndarray, count: int = 4, height: int = 160) -> Image.Image:
    """Frames from begin to end beside each other."""
    places = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    width = max(1, round(frames.shape[2] * height / frames.shape[1]))
    small = [Image.fromarray(frames[place]).resize((width, height), Image.Resampling.LANCZOS) for place in places]
    return Image.fromarray(np.concatenate([np.asarray(each) for each in small], axis=1))
