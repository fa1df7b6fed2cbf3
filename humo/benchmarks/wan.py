"""diffusers' own transformer of Wan2.1 on the weights of ours: what a pass costs there that hears nothing.

Ours is Wan's with audio attention in every block, so the difference is what hearing costs, and what we do otherwise.
All weights but those of the sound are shared, so that the second model takes no memory; a test holds the two results
together where the audio attention adds nothing. Attention is PyTorch's own on both sides. All of this file is ours.
"""

from __future__ import annotations

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from humo.guidance import Weights
from humo.sampling import Conditions, branch_inputs
from humo.transformer import HuMoTransformer3DModel

SHARED = (
    *("patch_size", "num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "text_dim"),
    *("freq_dim", "ffn_dim", "num_layers", "cross_attn_norm", "eps", "rope_max_seq_len"),
)
"""Of the config."""


def wan_of(transformer: HuMoTransformer3DModel) -> WanTransformer3DModel:
    """Wan's transformer with the sizes and the very weights of ours.

    Args:
        transformer: of a published form: without an estimate of the velocity, and not distilled.

    Returns:
        The transformer in evaluation mode, without gradients.
    """
    with torch.device("meta"):
        wan = WanTransformer3DModel(**{name: transformer.config[name] for name in SHARED})
    weights = transformer.state_dict()
    wan.load_state_dict({name: weights[name] for name in wan.state_dict()}, assign=True)
    wan.rope = transformer.rope  # tables that no state dict holds
    return wan.eval().requires_grad_(False)


@torch.no_grad()
def wan_step(
    wan: WanTransformer3DModel,
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    weights: Weights,
    conditions: Conditions,
) -> Tensor:
    """The velocity of one step, branch after branch, without the sound.

    Args:
        wan: from `wan_of`.
        transformer: whose forms the inputs have, and all others: as of `humo.sampling.guided_velocity`.

    Returns:
        (b, z, f, h, w), float32.
    """
    velocity = torch.zeros_like(latents)
    for branch, weight in weights.items():
        inputs = branch_inputs(transformer, latents, timestep, branch, conditions)
        del inputs["audio_hidden_states"]
        inputs["hidden_states"] = inputs["hidden_states"].to(wan.dtype)
        velocity += weight * wan(**inputs, return_dict=False)[0].float()
    return velocity
