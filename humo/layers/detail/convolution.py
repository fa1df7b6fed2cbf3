"""Convolutions whose weights are held as matrices, one row for each channel of the output.

So held they are hidden layers as any other to an optimiser that orthogonalises matrices (Muon), and they are files and
numbers of the same kind as the transformer's. Ours.
"""

# b batch, f latent frames, h w latent grid, c channels

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class MatrixConvolution(nn.Linear):
    """A convolution over latents with channels last, which keeps their size.

    Args:
        channels: of the input.
        out_channels: of the output.
        kernel: latent frames, rows and columns that one output looks at, odd numbers; frames alone or places alone.
    """

    def __init__(self, channels: int, out_channels: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(channels * math.prod(kernel), out_channels)
        self.channels, self.kernel = channels, kernel

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, h, w, c) -> (b, f, h, w, out_channels)."""
        weight = self.weight.unflatten(1, (self.channels, *self.kernel))
        frames, *places = self.kernel
        if frames == 1:  # pictures, in the layout that a CPU convolves fastest
            flat = x.flatten(0, 1).permute(0, 3, 1, 2)
            padding = [side // 2 for side in places]
            made = F.conv2d(flat, weight.squeeze(2), self.bias, padding=padding)
            return made.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])
        made = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, self.bias, padding=[side // 2 for side in self.kernel])
        return made.permute(0, 2, 3, 4, 1)
