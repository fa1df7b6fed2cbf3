"""IResNet-100: the network behind ArcFace, CosFace and CurricularFace, in the forms in which its weights are published.

One architecture with two details that differ: a batch norm between the two convolutions of a block (ArcFace's
repository has it, CurricularFace's has not), and whether the first block of all projects its shortcut or skips pixels.
Which detail a file has, its tensors tell.

Source: Deng et al. 2019, ArcFace (arXiv 1801.07698), sec. 3.1; Huang et al. 2020, CurricularFace (arXiv 2004.00288).
"""

# n faces

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from humo.evaluation.published.instruments.faces import SIDE

DEPTHS, WIDTHS = (3, 13, 30, 3), (64, 128, 256, 512)
EMBEDDING = 512
_STEM = {"conv1": "stem.0", "bn1": "stem.1", "prelu": "stem.2"}
_TAIL = {"bn2": "norm", "fc": "linear", "features": "last_norm"}
_BLOCK = {"bn1": "norm1", "conv1": "conv1", "bn2": "norm2", "prelu": "prelu", "conv2": "conv2", "bn3": "norm3"}
_OUTPUT = {"0": "norm", "3": "linear", "4": "last_norm"}


class FaceNetwork(nn.Module):
    """The network.

    Args:
        has_middle_norm: whether a batch norm stands between the convolutions of a block.
        projects_first: whether the first block's shortcut has weights, though its width stays.
        widths: channels of the four stages.
        depths: blocks of the four stages.
    """

    def __init__(
        self,
        has_middle_norm: bool = True,
        projects_first: bool = True,
        widths: tuple[int, ...] = WIDTHS,
        depths: tuple[int, ...] = DEPTHS,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        blocks, channels = [], widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                projects = index == 0 and (stage > 0 or projects_first)
                blocks.append(_Block(channels, width, 2 if index == 0 else 1, has_middle_norm, projects))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels * (SIDE // 2 ** len(widths)) ** 2, EMBEDDING)
        self.last_norm = nn.BatchNorm1d(EMBEDDING, affine=projects_first)

    def forward(self, pixels: Tensor) -> Tensor:
        """Aligned faces (n, 3, 112, 112) in -1..1 -> embeddings of length 1, (n, 512)."""
        hidden = self.norm(self.blocks(self.stem(pixels)))
        return F.normalize(self.last_norm(self.linear(hidden.flatten(1))), dim=-1)


class _Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, has_middle_norm: bool, projects: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width) if has_middle_norm else nn.Identity()
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.MaxPool2d(1, stride)  # every second pixel
        if projects:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.prelu(self.norm2(self.conv1(self.norm1(x))))
        return self.norm3(self.conv2(hidden)) + self.shortcut(x)


def read_published(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, bool], dict[str, Tensor]]:
    """Recognise a published file.

    Args:
        state_dict: its tensors, as insightface's arcface_torch names them ("layer1.0.conv1.weight") or as the
            repositories of CurricularFace and TFace do ("body.0.res_layer.1.weight").

    Returns:
        Details for `FaceNetwork`, and the tensors under its names; unknown ones keep theirs.
    """
    if any(name.startswith("body.") for name in state_dict):
        prelu = state_dict.get("body.0.res_layer.3.weight")
        has_middle_norm = prelu is not None and prelu.ndim == 1  # a convolution is there without the norm
        order = ("norm1", "conv1", "norm2", "prelu", "conv2", "norm3")
        layers = [layer for layer in order if has_middle_norm or layer != "norm2"]
        details = {"has_middle_norm": has_middle_norm, "projects_first": False}
        return details, {_rename_body(name, layers): value for name, value in state_dict.items()}
    return {"has_middle_norm": True, "projects_first": True}, {
        _rename_stages(n): value for n, value in state_dict.items()
    }


def _rename_body(name: str, layers: list[str]) -> str:
    if found := re.fullmatch(r"body\.(\d+)\.res_layer\.(\d)\.(\w+)", name):
        layer = layers[int(found[2])] if int(found[2]) < len(layers) else name
        return f"blocks.{found[1]}.{layer}.{found[3]}"
    if found := re.fullmatch(r"body\.(\d+)\.shortcut_layer\.(.+)", name):
        return f"blocks.{found[1]}.shortcut.{found[2]}"
    if found := re.fullmatch(r"output_layer\.(\d)\.(\w+)", name):
        return f"{_OUTPUT.get(found[1], name)}.{found[2]}"
    return name.replace("input_layer.", "stem.")


def _rename_stages(name: str) -> str:
    if found := re.fullmatch(r"layer([1-4])\.(\d+)\.(\w+)\.(.+)", name):
        block = sum(DEPTHS[: int(found[1]) - 1]) + int(found[2])
        layer = "shortcut" if found[3] == "downsample" else _BLOCK.get(found[3], found[3])
        return f"blocks.{block}.{layer}.{found[4]}"
    layer, _, rest = name.partition(".")
    return f"{(_STEM | _TAIL).get(layer, layer)}.{rest}"


def to_pixels(faces: list[np.ndarray]) -> Tensor:
    """Aligned faces (112, 112, 3) uint8 RGB -> (n, 3, 112, 112) in -1..1."""
    return torch.from_numpy(np.stack(faces).transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
