"""What time does to the states of a block: norms that are scaled and shifted by it, and sums that it weighs.

Norms and sums are computed in float32 as in the released code, in as few operations as there are: where all videos of a
batch are at the same noise level, as in sampling, scale and shift are the norm's own weight and bias. Ours.
"""

# b batch, n tokens

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modulated_norm(norm: nn.LayerNorm, hidden_states: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The normalised states times (1 + scale), plus shift.

    Args:
        norm: without weight and bias of its own.
        hidden_states: (b, n, dim).
        scale: (b, 1, dim), or (1, 1, dim) for all of a batch alike; float32.
        shift: of the same shape.

    Returns:
        (b, n, dim), float32.
    """
    hidden_states = hidden_states.float()
    if len(scale) == 1:
        return F.layer_norm(hidden_states, norm.normalized_shape, (1 + scale).flatten(), shift.flatten(), norm.eps)
    return torch.addcmul(shift, norm(hidden_states), 1 + scale)


def gated_sum(hidden_states: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """The states plus what a layer made of them times a gate.

    Args:
        hidden_states: (b, n, dim).
        update: (b, n, dim).
        gate: (b, 1, dim) or (1, 1, dim), float32.

    Returns:
        (b, n, dim), in the dtype of the states.
    """
    return torch.addcmul(hidden_states.float(), update.float(), gate).type_as(hidden_states)
