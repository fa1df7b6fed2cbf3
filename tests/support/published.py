"""Rebuilds the tensors behind the figures in `tests/golden` from a seed and a name (golden/README.md)."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from humo.checkpoints import load_published_transformer
from humo.transformer import HuMoTransformer3DModel

GOLDEN = Path(__file__).parents[1] / "golden"
SEED = 2025


def tensor(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """A tensor of the recipe, float32."""
    seed = int.from_bytes(hashlib.sha256(f"{SEED}/{name}".encode()).digest()[:8], "little")
    values = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape) * scale
    return torch.from_numpy(values.astype(np.float32))


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A weight of the recipe, named by its published key."""
    if name.endswith("modulation"):
        return tensor(name, shape, 0.3)
    if len(shape) == 1:
        values = tensor(name, shape, 0.1)
        return 1 + values if name.endswith(".weight") else values
    return tensor(name, shape, 1 / math.sqrt(math.prod(shape[1:])))


def state_dict(kind: str) -> dict[str, Tensor]:
    """The published state dict of the tiny "1.7B" or "17B" model."""
    keys = json.loads((GOLDEN / f"dit_{kind}.json").read_text())["keys"]
    return {name: weight(name, tuple(shape)) for name, shape in keys.items()}


@cache
def model(kind: str) -> HuMoTransformer3DModel:
    """The tiny "1.7B" or "17B" model, made once for all tests; do not change it."""
    return load_published_transformer(state_dict(kind), num_attention_heads=4)


def figures(name: str) -> dict[str, Tensor]:
    """Stored figures: "dit_1.7B", "dit_17B", "sampler" or "audio"."""
    return load_file(GOLDEN / f"{name}.safetensors")


def text(name: str, tokens: int) -> Tensor:
    """Text features padded with zeros to 512 tokens, (1, 512, 64)."""
    padded = torch.zeros(1, 512, 64)
    padded[0, :tokens] = tensor(name, (tokens, 64))
    return padded


def audio() -> Tensor:
    """Audio windows of three video frames and one reference, (1, 4, 8, 5, 1280)."""
    windows = tensor("input/audio", (4, 8, 5, 1280), 0.5)[None]
    windows[:, 3] = 0
    return windows
