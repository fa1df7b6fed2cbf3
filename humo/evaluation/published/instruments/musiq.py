"""MUSIQ: a transformer that reads a picture's patches at several scales and says how good the picture is technically.

The picture is cut into 32x32 patches three times: with its longer side at 224, at 384, and as it is. A small
convolutional stem turns each patch into a token, to which a place on a 10x10 grid and the scale are added; the class
token's state gives the score.

Written from the paper with the settings and tensor names of the checkpoint that VBench loads; the class that VBench
takes from pyiqa gives the same scores to 1e-5 with the same random weights (compared by hand, not in the tests: pyiqa
may be used for noncommercial purposes only, so nothing here imports it).

Source: Ke et al. 2021, MUSIQ (arXiv 2108.05997).
"""

# b pictures, p patches, c channels

from __future__ import annotations

import math
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH, GRID = 32, 10
"""Pixels a side of a patch; places a side of the grid of positions."""
LONGER_SIDES = (224, 384)
"""Pixels, of the scales before the picture as it is."""
_RENAMED = {
    "transformer_encoder.transformer.encoderblock_": "blocks.",
    "transformer_encoder.posembed_input.position_emb": "positions",
    "transformer_encoder.scaleembed_input.scale_emb": "scales",
    "transformer_encoder.cls": "class_token",
    "transformer_encoder.encoder_norm": "norm",
    "block1.": "stem.",
    "conv_root.": "root.",
    "gn_root.": "root_norm.",
    ".mlp.fc1": ".expand",
    ".mlp.fc2": ".contract",
    ".attention.": ".",
}
"""Names in the published file: here."""


def rename(key: str) -> str:
    """A tensor's name in the published file -> its name in `Musiq`."""
    for published, ours in _RENAMED.items():
        key = key.replace(published, ours)
    return key


class Musiq(nn.Module):
    """The network; the defaults are those of the published checkpoint.

    Args:
        dim: width of the transformer.
        mlp_dim: width within its feed-forward layers.
        num_heads: of its attention.
        num_layers: its depth.
        stem_channels: channels of the first convolution; a multiple of 32.
    """

    def __init__(
        self, dim: int = 384, mlp_dim: int = 1152, num_heads: int = 6, num_layers: int = 14, stem_channels: int = 64
    ) -> None:
        super().__init__()
        self.root = _StandardizedConv(3, stem_channels, 7, stride=2)
        self.root_norm = nn.GroupNorm(32, stem_channels, eps=1e-6)
        self.stem = _Bottleneck(stem_channels, 4 * stem_channels)
        self.embedding = nn.Linear(4 * stem_channels * (PATCH // 4) ** 2, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, dim))
        self.scales = nn.Parameter(0.02 * torch.randn(len(LONGER_SIDES) + 1, dim))
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList([_Block(dim, mlp_dim, num_heads) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Score pictures of one size.

        Args:
            pixels: (b, 3, h, w) in 0..1.

        Returns:
            Scores (b,), about 0 to 100 with weights trained on SPAQ.
        """
        # 1. Patches of every scale, with their places
        parts = [_cut(picture, index) for index, picture in enumerate(_scales(2 * pixels - 1))]
        patches = torch.cat([patches for patches, _, _ in parts], dim=1)
        places = torch.tensor(list(chain.from_iterable(places for _, places, _ in parts)), device=pixels.device)
        scales = torch.tensor(list(chain.from_iterable(scales for _, _, scales in parts)), device=pixels.device)

        # 2. Tokens
        features = F.relu(self.root_norm(self.root(patches.flatten(0, 1))))
        features = self.stem(F.max_pool2d(_pad_same(features, 3, 2), 3, 2))
        features = features.permute(0, 2, 3, 1).reshape(*patches.shape[:2], -1)  # channels last, as in the original
        tokens = self.embedding(features) + self.positions[0, places] + self.scales[scales]
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)

        # 3. Transformer
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens[:, 0]))[:, 0]


class _StandardizedConv(nn.Conv2d):
    """A convolution whose kernels are brought to mean 0 and deviation 1, with TensorFlow's padding."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        kernels = kernels / (kernels.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(_pad_same(x, self.kernel_size[0], self.stride[0]), kernels, stride=self.stride)


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.conv1, self.gn1 = _StandardizedConv(channels, channels, 1), nn.GroupNorm(32, channels, eps=1e-4)
        self.conv2, self.gn2 = _StandardizedConv(channels, channels, 3), nn.GroupNorm(32, channels, eps=1e-4)
        self.conv3, self.gn3 = _StandardizedConv(channels, channels_out, 1), nn.GroupNorm(32, channels_out, eps=1e-4)
        self.conv_proj = _StandardizedConv(channels, channels_out, 1)
        self.gn_proj = nn.GroupNorm(32, channels_out, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.gn1(self.conv1(x)))
        hidden = F.relu(self.gn2(self.conv2(hidden)))
        return F.relu(self.gn3(self.conv3(hidden)) + self.gn_proj(self.conv_proj(x)))


class _Block(nn.Module):
    def __init__(self, dim: int, mlp_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.expand, self.contract = nn.Linear(dim, mlp_dim), nn.Linear(mlp_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        q, k, v = (
            layer(normed).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


def _scales(pixels: Tensor) -> list[Tensor]:
    """The picture with its longer side at each of `LONGER_SIDES`, by bicubic points, and as it is."""
    height, width = pixels.shape[-2:]
    resized = []
    for longer in LONGER_SIDES:
        ratio = longer / max(height, width)
        size = [max(1, round(edge * ratio)) for edge in (height, width)]
        resized.append(F.interpolate(pixels, size, mode="bicubic", align_corners=False))
    return [*resized, pixels]


def _cut(picture: Tensor, scale: int) -> tuple[Tensor, list[int], list[int]]:
    """A picture (b, 3, h, w) -> patches (b, p, 3, 32, 32), their places on the grid, their scale."""
    rows, columns = (math.ceil(edge / PATCH) for edge in picture.shape[-2:])
    patches = F.unfold(_pad_same(picture, PATCH, PATCH), PATCH, stride=PATCH)
    patches = patches.transpose(1, 2).unflatten(2, (3, PATCH, PATCH))
    places = [GRID * row + column for row in _hash(rows) for column in _hash(columns)]
    return patches, places, [scale] * len(places)


def _hash(count: int) -> list[int]:
    """Places on the grid for `count` patches in a row, as a nearest-neighbour resizing of 0..9 gives them."""
    return F.interpolate(torch.arange(float(GRID)).view(1, 1, -1), count, mode="nearest").int().flatten().tolist()


def _pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's padding: as many outputs as strides fit, one more zero after than before where it is odd."""
    rows, columns = ((math.ceil(edge / stride) - 1) * stride + kernel - edge for edge in x.shape[-2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
