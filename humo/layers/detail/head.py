"""The detail head: what the transformer's velocity leaves open between the places of a token.

A token of mini stands for 2 x 2 latents of 96 channels, 384 numbers that pass through 256 channels: layouts do, edges
do not. Where little noise is left, all that is still open lies close by, so a few convolutions at the latents' own
resolution see it. They are given the noisy latents, the transformer's last hidden states and its own answer, and add to
that answer. They run below one noise level only, where few steps are left. Ours; the published models have none. Coarse
tokens inside and fine places at the end are the form of hourglass diffusion transformers (arXiv 2401.11605).
"""

# b batch, z channels of video latents, f latent frames, h w latent grid, n tokens, p places of a token, c head channels

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from humo.layers.detail.convolution import MatrixConvolution
from humo.layers.linear_velocity import noisy_variance


class DetailBlock(nn.Module):
    """A residual block: 3 x 3 places, then 3 frames; the last starts at zero.

    Args:
        width: channels c.
        dim: channels of the time embedding.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(dim, 3 * width)
        self.places = MatrixConvolution(width, width, (1, 3, 3))
        self.frames = MatrixConvolution(width, width, (3, 1, 1))
        for layer in (self.modulation, self.frames):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(b, f, h, w, c) at times (b or 1, dim) -> the same shape."""
        scale, shift, gate = self.modulation(time)[:, None, None, None].chunk(3, dim=-1)
        hidden = F.layer_norm(x, x.shape[-1:]).type_as(time) * (1 + scale) + shift
        return x + (1 + gate) * self.frames(F.silu(self.places(hidden)))


class DetailHead(nn.Module):
    """Adds to the transformer's output where little noise is left.

    Args:
        latent_std: standard deviation of each channel of the clean latents, (z,).
        out_channels: of the transformer's output at a place, the gate of its linear estimate included.
        dim: of the transformer.
        patch: latents along each side of a token.
        width: channels c.
        num_layers: blocks.
    """

    def __init__(
        self, latent_std: Sequence[float], out_channels: int, dim: int, patch: int, width: int, num_layers: int
    ) -> None:
        super().__init__()
        self.latent_std, self.patch = tuple(latent_std), patch
        self.noisy = MatrixConvolution(len(latent_std), width, (1, 3, 3))
        self.tokens = nn.Linear(dim, patch**2 * width)
        self.answer = nn.Linear(out_channels, width)
        self.time = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(DetailBlock(width, dim) for _ in range(num_layers))
        self.out = nn.Linear(width, out_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, noisy: Tensor, tokens: Tensor, answer: Tensor, temb: Tensor, timestep: Tensor, below: float
    ) -> Tensor:
        """What is to be added to the answer.

        Args:
            noisy: noisy latents, (b, z or more, f, h, w); further channels are not looked at.
            tokens: the transformer's last hidden states, (b, n, dim).
            answer: its own output, (b, out_channels, f, h, w).
            temb: time embedding, (b or 1, dim).
            timestep: 1000 * sigma, (b or 1,).
            below: from this timestep on nothing is added.

        Returns:
            (b, out_channels, f, h, w).
        """
        timestep = timestep.float().view(-1, 1, 1, 1, 1)
        added = self._add(self._scale(noisy, timestep / 1000.0), tokens, answer, temb)
        return added * (timestep < below)

    def _scale(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The noisy latents with unit variance in every channel."""
        std = torch.tensor(self.latent_std).to(noisy.device, non_blocking=True).view(1, -1, 1, 1, 1)
        return noisy[:, : len(self.latent_std)] * noisy_variance(std, sigma).rsqrt()

    def _add(self, noisy: Tensor, tokens: Tensor, answer: Tensor, temb: Tensor) -> Tensor:
        dtype = self.out.weight.dtype
        frames, height, width = noisy.shape[2:]
        coarse = self.tokens(tokens.to(dtype)).unflatten(1, (frames, height // self.patch, width // self.patch))
        coarse = coarse.unflatten(-1, (self.patch, self.patch, -1)).permute(0, 1, 2, 4, 3, 5, 6).flatten(2, 3)
        x = self.noisy(noisy.to(dtype).permute(0, 2, 3, 4, 1)) + coarse.flatten(3, 4)
        x = (x + self.answer(answer.to(dtype).permute(0, 2, 3, 4, 1))).float()  # as the transformer's sum over blocks
        time = F.silu(self.time(temb.to(dtype)))
        for block in self.blocks:
            x = block(x, time)
        return self.out(F.layer_norm(x, x.shape[-1:]).to(dtype)).permute(0, 4, 1, 2, 3)
