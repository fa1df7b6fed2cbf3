"""Scales of guidance and length of the step as an input of the network: for distilled models, ours.

A distilled model does in one pass what guidance does in four, so it has to be told how much of it is wanted. The three
scales of Eq. 4 and the way to the next noise level are embedded like a timestep and added to the timestep's embedding,
as Meng et al. ("On Distillation of Guided Diffusion Models", arXiv 2210.03142) do with the one scale of plain guidance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.transformers.transformer_wan import WanTimeTextImageEmbedding
from torch import Tensor, nn

from humo.guidance import Rule

NUM_SCALARS = 4
"""Text, picture and sound scale, and the span of the step in noise level."""
_UNITS = (100.0, 100.0, 100.0, 1000.0)
"""By what each is multiplied, to spread as timesteps do."""
_CHANNELS = 64
_PLACES = 16


class GuidanceEmbedding(nn.Module):
    """Embeds the scalars; untrained it adds nothing, which is guidance with all scales 1.

    Args:
        dim: channels of the timestep's embedding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.wave = Timesteps(_CHANNELS, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.mlp = TimestepEmbedding(NUM_SCALARS * _CHANNELS, dim)
        nn.init.zeros_(self.mlp.linear_2.weight)
        nn.init.zeros_(self.mlp.linear_2.bias)

    def forward(self, scalars: Tensor) -> Tensor:
        """Scalars (b, 4) to what is added to the timestep's embedding, (b, dim)."""
        units = torch.tensor(_UNITS, device=scalars.device)
        waves = self.wave((scalars.float() * units).flatten()).unflatten(0, scalars.shape).flatten(1)
        return self.mlp(waves.to(self.mlp.linear_1.weight.dtype))

    def add(self, scalars: Tensor, temb: Tensor, embedder: WanTimeTextImageEmbedding) -> tuple[Tensor, Tensor]:
        """The timestep's embedding (b, dim) with the scalars in it, and `embedder`'s projection of it."""
        temb = temb + self(scalars).to(temb.dtype)
        return temb, embedder.time_proj(embedder.act_fn(temb))


def guidance_scalars(rule: Rule, sigma: float, next_sigma: float) -> tuple[float, ...]:
    """What a distilled model is told for a step.

    Args:
        rule: of guidance, with scales for text, picture and sound.
        sigma: noise level before the step, 1 is noise.
        next_sigma: after it.

    Returns:
        The scales, each the mean over the step, and the step's span.

    Raises:
        ValueError: if the rule is another than `paper` or `constant`, in which the scales mean something else.
    """
    scales: Callable[[float], tuple[float, float, float]] | None = getattr(rule, "scales", None)
    if scales is None:
        raise ValueError(
            f"the fast model has learned the rules paper and constant but the rule is {type(rule).__name__}: choose "
            "one of them, or the model's full quality."
        )
    span = sigma - next_sigma
    places = [next_sigma + span * (place + 0.5) / _PLACES for place in range(_PLACES)]
    values = [scales(1000 * place) for place in places]
    return *(sum(each) / _PLACES for each in zip(*values, strict=True)), span
