"""Muon also where bfloat16 is slow: PyTorch's orthogonalises every update in that format. Ours.

On a CPU without instructions for bfloat16 that is nearly the whole time of a step (13 of 15 seconds in 31 steps of a
two-block model); in float32 the same iteration takes a fortieth of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from humo.system.processor import has_bfloat16

try:
    from torch.optim._muon import _adjust_lr
except ImportError:
    raise ValueError(
        f"PyTorch is {torch.__version__} and has no Muon, with which this trains: use 2.9 to 2.13."
    ) from None


class Muon(torch.optim.Muon):
    """PyTorch's Muon; where bfloat16 is emulated it takes the same step in float32, nearer to what is meant."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the parameters."""
        for group in self.param_groups:
            known = [parameter for parameter in group["params"] if parameter.grad is not None]
            if known and has_bfloat16(known[0].device.type):
                return super().step(closure)
            for parameter in known:
                self._step(parameter, group)

    def _step(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, rate, momentum = self.state[parameter], float(group["lr"]), group["momentum"]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(parameter.grad))
        mean.lerp_(parameter.grad, 1 - momentum)
        update = parameter.grad.lerp(mean, momentum) if group["nesterov"] else mean
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.add_(update, alpha=-_adjust_lr(rate, group["adjust_lr_fn"], parameter.shape))


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest matrix whose singular values are all about 1, by Newton and Schulz's iteration in float32.

    Args:
        matrix: (n, m).
        coefficients: of the first, third and fifth power.
        steps: iterations.
        eps: smallest norm that is divided by.
    """
    first, third, fifth = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if is_tall else matrix
    found = found / found.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), found, beta=first)
    return found.T if is_tall else found
