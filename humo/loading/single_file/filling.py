"""Gives a model the weights of a file: those of linear layers stay quantised, all others become ordinary numbers.

A matrix in GGUF's blocks lies in diffusers' `GGUFLinear`, one in float8 in `Float8Linear`; both are widened for each
product and no earlier. Norms, biases, tables and convolutions, which no such layer has, are dequantised once, and so is
what the model computes in float32. Nothing is left as it was drawn: a model is filled whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from humo.layers.float8 import Float8Linear
from humo.loading.single_file.reading import StoredWeight


def empty(make: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """A model whose parameters take no memory yet; its tables, which no file holds, are there."""
    with init_empty_weights(include_buffers=False):
        return make(*arguments, **keywords)


@torch.no_grad()
def fill(
    model: nn.Module,
    weights: Mapping[str, StoredWeight],
    dtype: torch.dtype,
    stays: Callable[[str], bool] = lambda name: False,
) -> None:
    """Give an empty model its weights.

    Args:
        model: from `empty`.
        weights: by the model's own names, all of them.
        dtype: in which it computes, and of all that is not quantised.
        stays: whether a parameter is float32 whatever the dtype.

    Raises:
        ValueError: if a weight in float8 lacks its scale although the file has scales.
    """
    for name, weight in weights.items():
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        if not (weight.is_quantised and isinstance(module, nn.Linear) and leaf == "weight"):
            module._parameters[leaf] = _fixed(weight.read_plain(torch.float32 if stays(name) else dtype))
            continue
        if weight.lacks_scale:
            raise ValueError(f"The tensor {name!r} is float8 without a scale, which others have: fetch the file again.")
        if stays(name):
            module.weight = _fixed(weight.read_plain(torch.float32))
            continue
        layer = _quantised(module, weight, dtype)
        layer._parameters["bias"] = module._parameters["bias"]  # filled already, or filled later
        model.set_submodule(parent, layer)
    model.requires_grad_(False)


def _quantised(module: nn.Linear, weight: StoredWeight, dtype: torch.dtype) -> nn.Linear:
    """A layer like `module` around a quantised weight."""
    shape = module.in_features, module.out_features, module.bias is not None
    stored = weight.read()
    if not hasattr(stored, "quant_type"):
        layer = Float8Linear(*shape, stored.dtype, weight.read_scale())
        layer.weight = _fixed(stored.view(torch.int8))
        return layer
    from diffusers.quantizers.gguf.utils import GGUFLinear

    blocks: nn.Linear = empty(GGUFLinear, *shape, compute_dtype=dtype)
    setattr(blocks, "weight", stored)  # noqa: B010 (a Parameter, of which read() knows no more than a Tensor)
    return blocks


def _fixed(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
