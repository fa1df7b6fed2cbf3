"""A critic of frames: it learns to tell the decoder's from rendered ones, and so teaches the decoder clean edges. Ours.

Where latents leave open what is to be drawn, the mean error is least for a blur between all that it could be. A critic
never saw a blur in a render. It looks at patches (arXiv 1611.07004) of three frames in a row, so that flicker shows
too, and learns by the hinge loss, for a while before it teaches; its weight follows the gradients at the decoder's
last layer (arXiv 2012.09841, eq. 7), so that it needs no scale of its own. Its layers are normalised by groups: with
spectral norms it learned so slowly that the decoder fooled it with grain.

Legend: b clips, f frames, s side in pixels, w windows of frames.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from humo.training.precision import mixed_precision

FRAMES = 3
"""Frames of a window."""
_GROUPS = 8
_LARGEST_WEIGHT = 1e3


class PatchCritic(nn.Module):
    """Three halvings and two layers more; what each answer looks at is 54 pixels wide.

    Args:
        width: channels after the first layer.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (3 * FRAMES, width, 2 * width, 4 * width)
        self.layers = nn.Sequential(
            nn.Conv2d(widths[0], widths[1], 4, stride=2, padding=1),  # not normalised, so that it sees contrasts
            nn.LeakyReLU(0.2),
            *_layer(nn.Conv2d(widths[1], widths[2], 4, stride=2, padding=1)),
            *_layer(nn.Conv2d(widths[2], widths[3], 4, stride=2, padding=1)),
            *_layer(nn.Conv2d(widths[3], widths[3], 3, padding=1)),
            nn.Conv2d(widths[3], 1, 3, padding=1),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Videos (b, 3, f, s, s) in -1..1 to answers (b w, 1, s/8, s/8); above zero: rendered."""
        windows = video.unfold(2, FRAMES, 2)  # (b, 3, w, s, s, 3)
        return self.layers(windows.permute(0, 2, 1, 5, 3, 4).flatten(2, 3).flatten(0, 1))


def _layer(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.GroupNorm(_GROUPS, convolution.out_channels), nn.LeakyReLU(0.2)


class Critic:
    """A critic, its optimiser, and what the decoder learns from it.

    Args:
        weight: of its lesson, where 1 has as much gradient at the decoder's last layer as the other loss.
        learning_rate: of AdamW.
        device: of the decoder.
        ahead: steps that it learns before it teaches.
    """

    def __init__(
        self, weight: float, learning_rate: float = 8e-4, device: str | torch.device = "cpu", ahead: int = 120
    ) -> None:
        self.weight, self.ahead, self.steps = weight, ahead, 0
        self.net = PatchCritic().to(device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=learning_rate, betas=(0.5, 0.9), weight_decay=1e-4)

    def lesson(self, decoded: Tensor, loss: Tensor, last: Tensor) -> Tensor:
        """What is added to the decoder's loss; nothing as long as the critic learns ahead.

        Args:
            decoded: the decoder's video, (b, 3, f, s, s).
            loss: its loss without the critic.
            last: weights of the decoder's last layer.
        """
        if self.steps < self.ahead:
            return torch.zeros((), device=decoded.device)
        self.net.requires_grad_(False)
        with mixed_precision(decoded.device.type):
            doubt = -self.net(decoded).float().mean()
        strengths = [torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (loss, doubt)]
        balance = (strengths[0] / (strengths[1] + 1e-6)).clamp(max=_LARGEST_WEIGHT)
        return self.weight * balance * doubt

    def learn(self, decoded: Tensor, rendered: Tensor) -> Tensor:
        """Learns from a step's videos, both (b, 3, f, s, s); returns its loss: 2 knows nothing, 0 everything."""
        self.net.requires_grad_(True)
        with mixed_precision(decoded.device.type):
            answers = self.net(torch.cat([rendered, decoded.detach()])).float()
        true, drawn = answers.chunk(2)
        loss = F.relu(1 - true).mean() + F.relu(1 + drawn).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """All that a resume needs."""
        return {
            "weight": self.weight,
            "steps": self.steps,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.steps = state["steps"]
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
