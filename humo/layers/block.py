"""One block of the HuMo transformer: Wan's, with audio attention between the text attention and the feed-forward layer.

Norms and sums are computed in float32 as in the released code, in as few operations as there are: where all videos of a
batch are at the same noise level, as in sampling, scale and shift are the norm's own weight and bias (ours).

Source: HuMo (arXiv 2509.08519) sec. 3.2 and its released code; Wan2.1 through diffusers.
"""

# b batch, f latent frames (video + references), n tokens, a audio tokens

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor, nn

from humo.layers.audio_attention import AudioCrossAttention
from humo.layers.key_value_cache import KeyValueAttnProcessor, key_values
from humo.layers.self_attention import RotaryAttnProcessor


class BlockOutput(NamedTuple):
    """All that a block knows."""

    hidden_states: Tensor
    """(b, n, dim)."""
    attended: Tensor
    """Hidden states after the audio attention, same shape."""
    text: Tensor
    """What its text attention read."""
    audio: Tensor
    """What its audio attention read."""


class HuMoTransformerBlock(WanTransformerBlock):
    """Wan's block with audio attention between the text attention and the feed-forward layer.

    Source: HuMo sec. 3.2 and released code (`WanAttentionBlock` with its audio wrapper).
    """

    def __init__(
        self, dim: int, ffn_dim: int, num_heads: int, audio_dim: int, cross_attn_norm: bool, eps: float
    ) -> None:
        super().__init__(dim, ffn_dim, num_heads, cross_attn_norm=cross_attn_norm, eps=eps)
        self.attn1.set_processor(RotaryAttnProcessor())  # type: ignore[arg-type]  # as below
        self.attn2.set_processor(KeyValueAttnProcessor())  # type: ignore[arg-type]  # diffusers' union leaves Wan's out
        self.audio_attn = AudioCrossAttention(dim, num_heads, audio_dim, eps)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        audio_hidden_states: Tensor,
        audio_mask: Tensor | None = None,
        return_all: bool = False,
    ) -> Tensor | BlockOutput:
        """Run the block.

        Args:
            hidden_states: (b, n, dim).
            encoder_hidden_states: projected text, (b, text tokens, dim), or this block's keys and values of it.
            temb: time modulation, (b, 6, dim), or (1, 6, dim) for all of the batch.
            rotary_emb: cosines and sines, each (1, n, 1, head_dim).
            audio_hidden_states: audio tokens, (b, f, a, audio_dim), or this block's keys and values of them.
            audio_mask: what each token may hear, (1, 1, n, f*a), where the tokens are split over processes.
            return_all: return more than the hidden states. Off by default because diffusers' caches expect a
                plain tensor.

        Returns:
            Hidden states (b, n, dim), or all that the block knows.
        """
        if return_all:  # so that they can be kept
            encoder_hidden_states = key_values(self.attn2, encoder_hidden_states)
            audio_hidden_states = self.audio_attn.key_values(audio_hidden_states, audio_mask is not None)

        shift_msa, scale_msa, gate_msa, shift_ffn, scale_ffn, gate_ffn = (self.scale_shift_table + temb.float()).chunk(
            6, dim=1
        )
        computed_in = encoder_hidden_states  # whose dtype the matrix products have; the states' own may be wider

        # 1. Self-attention over all frames, references included
        normed = modulated_norm(self.norm1, hidden_states, scale_msa, shift_msa).type_as(computed_in)
        hidden_states = gated_sum(hidden_states, self.attn1(normed, None, None, rotary_emb), gate_msa)

        # 2. Text
        normed = self.norm2(hidden_states.float()).type_as(computed_in)
        hidden_states = hidden_states + self.attn2(normed, encoder_hidden_states)

        # 3. Sound, frame by frame
        hidden_states = hidden_states + self.audio_attn(hidden_states, audio_hidden_states, audio_mask)
        attended = hidden_states

        # 4. Feed-forward
        normed = modulated_norm(self.norm3, hidden_states, scale_ffn, shift_ffn).type_as(computed_in)
        hidden_states = gated_sum(hidden_states, self.ffn(normed), gate_ffn)

        if return_all:
            return BlockOutput(hidden_states, attended, encoder_hidden_states, audio_hidden_states)
        return hidden_states


def modulated_norm(norm: nn.LayerNorm, hidden_states: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The normalised states times (1 + scale), plus shift.

    Args:
        norm: without weight and bias of its own.
        hidden_states: (b, n, dim).
        scale: (b, 1, dim), or (1, 1, dim) for all of a batch alike.
        shift: of the same shape.

    Returns:
        (b, n, dim), float32.
    """
    hidden_states, scale, shift = hidden_states.float(), scale.float(), shift.float()
    if len(scale) == 1:
        return F.layer_norm(hidden_states, norm.normalized_shape, (1 + scale).flatten(), shift.flatten(), norm.eps)
    return torch.addcmul(shift, norm(hidden_states), 1 + scale)


def gated_sum(hidden_states: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """The states plus what a layer made of them times a gate.

    Args:
        hidden_states: (b, n, dim).
        update: (b, n, dim).
        gate: (b, 1, dim) or (1, 1, dim).

    Returns:
        (b, n, dim), in the dtype of the states.
    """
    return torch.addcmul(hidden_states.float(), update.float(), gate.float()).type_as(hidden_states)


TransformerBlockRegistry.register(HuMoTransformerBlock, TransformerBlockMetadata(return_hidden_states_index=0))
