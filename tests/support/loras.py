"""Tiny LoRAs for tiny models: one pair of matrices for a layer."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from humo.pipeline import HuMoPipeline

LAYER = "blocks.0.attn1.to_q"


def layer_of(pipe: HuMoPipeline) -> nn.Linear:
    """The layer that they change."""
    layer = pipe.transformer.get_submodule(LAYER)
    assert isinstance(layer, nn.Linear)
    return layer


def save_lora(path: Path, pipe: HuMoPipeline, seed: int = 1, told: dict[str, str] | None = None) -> Tensor:
    """Write one.

    Args:
        path: of the file, safetensors.
        pipe: for which it is made.
        seed: of its numbers.
        told: for its header.

    Returns:
        What it adds to the layer's weight where its own weight is 1.
    """
    rows, columns = layer_of(pipe).weight.shape
    dice = torch.Generator().manual_seed(seed)
    down, up = torch.randn(2, columns, generator=dice), torch.randn(rows, 2, generator=dice)
    key = f"diffusion_model.{LAYER.replace('attn1.to_q', 'self_attn.q')}"
    save_file({f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, path, told)
    return up @ down
