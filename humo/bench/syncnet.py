"""SyncNet: two networks that bring five frames of a mouth and the fifth of a second that it speaks to one place.

Source: Chung and Zisserman 2016, Out of time; layers and tensor names of the published `syncnet_v2.model`.
"""

# n windows

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 5
"""Frames that are seen together."""
SIDE = 224
"""Of the face's crop, pixels."""
COEFFICIENTS_A_FRAME = 4
"""MFCC frames a video frame, so that a window hears 20."""
EMBEDDING = 1024
REACH = 15
"""Frames by which sound and picture are shifted against each other, either way."""


class SyncNet(nn.Module):
    """The network, 13.6 million parameters. The names are those of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d, 1, 64, 3, padding=1),
            nn.MaxPool2d(1),
            *_layer(nn.Conv2d, 64, 192, 3, padding=1),
            nn.MaxPool2d(3, (1, 2)),
            *_layer(nn.Conv2d, 192, 384, 3, padding=1),
            *_layer(nn.Conv2d, 384, 256, 3, padding=1),
            *_layer(nn.Conv2d, 256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
            *_layer(nn.Conv2d, 256, 512, (5, 4)),
        )
        self.netfcaud = _projection()
        self.netcnnlip = nn.Sequential(
            *_layer(nn.Conv3d, 3, 96, (WINDOW, 7, 7), stride=(1, 2, 2)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d, 96, 256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
            *_layer(nn.Conv3d, 256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_layer(nn.Conv3d, 256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_layer(nn.Conv3d, 256, 256, (1, 3, 3), padding=(0, 1, 1)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d, 256, 512, (1, 6, 6)),
        )
        self.netfclip = _projection()

    def embed_sound(self, coefficients: Tensor) -> Tensor:
        """MFCC (n, 1, 13, 20) -> (n, 1024)."""
        return self.netfcaud(self.netcnnaud(coefficients).flatten(1))

    def embed_mouth(self, frames: Tensor) -> Tensor:
        """Crops of faces (n, 3, 5, 224, 224), blue green red in 0..255 -> (n, 1024)."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))


def shifted_distances(mouth: Tensor, sound: Tensor, reach: int = REACH) -> Tensor:
    """Mean distance of mouth and sound at every shift.

    Args:
        mouth: embedding of each window, (n, c).
        sound: likewise; beyond its ends zeros stand, as in the published code.
        reach: frames of the longest shift.

    Returns:
        (2 reach + 1,): at index i the sound is taken i - reach windows later than the mouth.

    Raises:
        ValueError: if the shapes differ or there is no window.

    Source: syncnet_python, `SyncNetInstance.py::calc_pdist`.
    """
    if mouth.shape != sound.shape or mouth.ndim != 2 or len(mouth) == 0:
        raise ValueError(f"mouth is {tuple(mouth.shape)} and sound {tuple(sound.shape)}: give two equal (n, c), n > 0.")
    padded = F.pad(sound, (0, 0, reach, reach))
    return torch.stack(
        [F.pairwise_distance(mouth, padded[shift : shift + len(mouth)]).mean() for shift in range(2 * reach + 1)]
    )


def score_sync(distances: Tensor) -> tuple[float, float, int]:
    """What the distances say.

    Args:
        distances: from `shifted_distances`, (2 reach + 1,).

    Returns:
        Confidence (Sync-C: how far the best shift stands out from the median one), distance at the best shift
        (Sync-D), and the frames by which the sound comes too early (negative: too late), as the published code counts.
    """
    best = int(distances.argmin())
    confidence = distances.median() - distances[best]
    return float(confidence), float(distances[best]), len(distances) // 2 - best


def _layer(convolution: Any, channels_in: int, channels_out: int, kernel: Any, **options: Any) -> list[nn.Module]:
    norm = nn.BatchNorm2d if convolution is nn.Conv2d else nn.BatchNorm3d
    return [convolution(channels_in, channels_out, kernel, **options), norm(channels_out), nn.ReLU()]


def _projection() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))
