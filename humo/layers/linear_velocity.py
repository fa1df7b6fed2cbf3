"""The linear part of mini's velocity: what can be said of a channel without looking anywhere else.

For a channel whose clean latents have the standard deviation s, x_t = (1 - sigma) x_0 + sigma noise has the variance
D = (1 - sigma)^2 s^2 + sigma^2, and the best linear estimate of the velocity is k x_t with
k = (sigma - (1 - sigma) s^2) / D. What is left of the velocity has the variance s^2 / D, so a network that predicts it
in these units has outputs of unit variance at every noise level, in every channel.

The gate answers where the spread of a channel is not what it is on average: fine channels are zero on a plain wall and
loud at an edge. The network says by how much, place by place, and the estimate follows. Without it the noise of every
flat patch would have to be carried through the network to be subtracted, 384 numbers a token through 256 channels,
which left grain.

Ours: EDM's preconditioning (arXiv 2206.00364) written for flow matching. The published models have neither.
"""

# b batch, z channels of video latents, f latent frames, h w latent grid

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SPREAD, MOST_SPREAD = 0.05, 1.95
"""Limits of the gate; a gate of 0 lies in their middle and changes nothing."""


def noisy_variance(std: Tensor, sigma: Tensor) -> Tensor:
    """D: variance of the noisy latents of a channel whose clean ones have the spread `std`; shapes broadcast."""
    return ((1 - sigma) * std) ** 2 + sigma**2


def add_linear_estimate(
    residual: Tensor, noisy: Tensor, sigma: Tensor, std: Tensor, gate: Tensor | None = None
) -> Tensor:
    """Velocity from the network's residual and the linear estimate.

    Args:
        residual: the network's own output, (b, z, f, h, w), of about unit variance.
        noisy: noisy latents, (b, z, f, h, w).
        sigma: noise level, (b,), in 0..1.
        std: standard deviation of each channel of the clean latents, (z,).
        gate: logits of how large a channel's spread is at each place, (b, z, f, h, w); None or 0 for `std`.

    Returns:
        (b, z, f, h, w), float32.
    """
    sigma, std = sigma.float().view(-1, 1, 1, 1, 1), std.view(1, -1, 1, 1, 1)
    scale = std * noisy_variance(std, sigma).rsqrt()
    if gate is not None:
        std = std * (LEAST_SPREAD + (MOST_SPREAD - LEAST_SPREAD) * torch.sigmoid(gate.float()))
    slope = (sigma - (1 - sigma) * std**2) / noisy_variance(std, sigma)
    return slope * noisy.float() + scale * residual.float()
