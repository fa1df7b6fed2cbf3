"""What the network is told: features of text, sound and pictures, and what of the result is known."""

# b batch, f latent frames (video + references), r references, h w latent grid, z channels of video latents

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from humo.guidance import Rule
from humo.known.latents import Known, join_known
from humo.layers.guidance_embedding import guidance_scalars


@dataclass(frozen=True)
class Conditions:
    """What the network is told, with the nulls of what it is not."""

    text: Tensor
    """Features of the prompt, padded with zeros, (b, text tokens, c)."""
    negative_text: Tensor
    """Features of the negative prompt, same shape."""
    audio: Tensor | None
    """Audio windows, zero on reference frames, (b, f, 8, 5, c); None without sound."""
    references: Tensor | None
    """Clean latents of the references, (b, z, r, h, w); None without a picture."""
    num_references: int
    """Reference frames at the end of the latents, also without a picture."""
    black_video: Tensor | None = None
    """Latents of a black video, (b, z, f, h, w), references' frames included; 17B form only."""
    guidance: tuple[float, ...] | None = None
    """Scales and span of the step; distilled models only (`humo.layers.guidance_embedding`), for which the loop sets
    it."""
    known: Known | None = None
    """What stays as it is (`humo.known`, ours); None for nothing."""

    def window(self, place: slice) -> Conditions:
        """The conditions of the video frames `place` followed by the references.

        The black video starts anew in every window, for its latents differ with their distance from the
        start.
        """
        length = place.stop - place.start + self.num_references
        audio, black = self.audio, self.black_video
        if audio is not None:
            num_video = audio.shape[1] - self.num_references
            audio = torch.cat([audio[:, place], audio[:, num_video:]], dim=1)
        known = None if self.known is None else self.known.window(place)
        return replace(self, audio=audio, black_video=None if black is None else black[:, :, :length], known=known)

    def with_guidance(self, rule: Rule, sigma: float, next_sigma: float) -> Conditions:
        """The conditions of a distilled model for a step; see `humo.layers.guidance_embedding.guidance_scalars`."""
        return replace(self, guidance=guidance_scalars(rule, sigma, next_sigma))


def join_conditions(parts: Sequence[Conditions]) -> Conditions:
    """The conditions of several videos of equal shape as one batch."""
    joined: dict[str, Any] = {}
    for each in fields(Conditions):
        values = [getattr(one, each.name) for one in parts]
        joined[each.name] = torch.cat(values) if isinstance(values[0], Tensor) else values[0]
    if joined["known"] is not None:
        joined["known"] = join_known([one.known for one in parts if one.known is not None])
    return Conditions(**joined)
