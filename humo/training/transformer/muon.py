"""Muon for many matrices at once: those of one shape are orthogonalised together. Ours, after PyTorch's.

PyTorch's takes one matrix after another, and mini has 86 small ones: batched products keep every core busy, and each
part of a step is one call for all of them. Where a processor only emulates bfloat16, the iteration runs in float32: in
bfloat16 it was nearly the whole time of a step there (13 of 15 seconds in 31 steps of a two-block model).
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from humo.system.processor import has_bfloat16

if not hasattr(torch.optim, "Muon"):
    raise ValueError(f"PyTorch is {torch.__version__} and has no Muon, with which this trains: use 2.9 or newer.")

_TOGETHER = 2**20
"""Numbers of the matrices that are orthogonalised together: these, and what is made of them, fit into a cache."""


class Muon(torch.optim.Muon):
    """PyTorch's Muon in fewer and larger operations; either goes on with the other's state."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the parameters; returns what the closure returns, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            known = [parameter for parameter in group["params"] if parameter.grad is not None]
            if known:
                self._step(known, group)
        return loss

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        rate, momentum = float(group["lr"]), group["momentum"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = [
            self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter)) for parameter in parameters
        ]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        updates = list(torch._foreach_lerp(gradients, means, momentum)) if group["nesterov"] else means
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        dtype = torch.bfloat16 if has_bfloat16(parameters[0].device.type) else torch.float32
        for places in _alike(parameters):
            alike, wide = [parameters[place] for place in places], [_wide(updates[place]) for place in places]
            stack = wide[0].new_empty((len(wide), *wide[0].shape), dtype=dtype)
            torch._foreach_copy_(list(stack.unbind()), wide)
            found = orthogonal(stack, group["ns_coefficients"], group["ns_steps"], group["eps"])
            adjusted = rate * rate_scale(alike[0].shape, group["adjust_lr_fn"])
            torch._foreach_add_([_wide(each) for each in alike], list(found.unbind()), alpha=-adjusted)


def rate_scale(shape: torch.Size, how: str | None) -> float:
    """By how much the learning rate of a matrix is multiplied, as PyTorch documents Muon's `adjust_lr_fn`.

    Args:
        shape: of the matrix, (n, m).
        how: "match_rms_adamw", so that an update is as large as AdamW's usually are; None or "original" for Keller
            Jordan's rule.
    """
    rows, columns = shape
    return 0.2 * math.sqrt(max(rows, columns)) if how == "match_rms_adamw" else math.sqrt(max(1, rows / columns))


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, or its transpose if that has fewer rows: the iteration multiplies rows by rows."""
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix


def _alike(matrices: list[Tensor]) -> list[list[int]]:
    """Places of the matrices that are taken together: of one shape, and not too many."""
    by_shape = defaultdict[torch.Size, list[int]](list)
    for place, matrix in enumerate(matrices):
        by_shape[matrix.shape].append(place)
    groups = list[list[int]]()
    for shape, places in by_shape.items():
        size = max(1, _TOGETHER // shape.numel())
        groups += [places[first : first + size] for first in range(0, len(places), size)]
    return groups


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest matrices whose singular values are all about 1, by Newton and Schulz's iteration in their dtype.

    Args:
        matrices: (k, n, m), n at most m.
        coefficients: of the first, third and fifth power.
        steps: iterations.
        eps: smallest norm that is divided by.
    """
    first, third, fifth = coefficients
    found = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth), found, beta=first)
    return found
