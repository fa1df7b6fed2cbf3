"""Modulated norms, gated sums and the rotary embedding. Run: python -m pytest tests/layers/test_block.py"""

from __future__ import annotations

import pytest
import tiny
import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import nn

from humo.layers.block import gated_sum, modulated_norm
from humo.layers.self_attention import RotaryAttnProcessor

STATES = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_modulation_is_what_the_paper_writes_in_float32(batch_size: int) -> None:
    scale, shift = torch.randn(2, batch_size, 1, 16)
    norm = nn.LayerNorm(16, 1e-6, elementwise_affine=False)
    for states in (STATES, STATES.bfloat16()):
        expected = norm(states.float()) * (1 + scale) + shift
        torch.testing.assert_close(modulated_norm(norm, states, scale, shift), expected)
        expected = (states.float() + states.float() * scale).to(states.dtype)
        torch.testing.assert_close(gated_sum(states, states, scale), expected)


@pytest.mark.parametrize("is_fused", [False, True])
def test_the_rotary_embedding_is_diffusers(is_fused: bool) -> None:
    attention = WanAttention(16, 2, 8)
    if is_fused:
        attention.fuse_projections()
    angles = torch.randn(1, 5, 1, 4).repeat_interleave(2, -1)
    rotary = angles.cos(), angles.sin()
    ours = RotaryAttnProcessor()(attention, STATES, rotary_emb=rotary)
    torch.testing.assert_close(ours, WanAttnProcessor()(attention, STATES, rotary_emb=rotary))
    assert (ours - RotaryAttnProcessor()(attention, STATES)).abs().max() > 1e-3, "places matter"


@torch.no_grad()
def test_one_timestep_is_that_of_all_of_a_batch() -> None:
    model = tiny.transformer(latent_std=tiny.LATENT_STD)
    given = {
        "hidden_states": torch.randn(2, 8, 3, 4, 6),
        "encoder_hidden_states": torch.randn(2, 5, tiny.TEXT_DIM),
        "audio_hidden_states": torch.randn(2, 3, 8, 5, tiny.AUDIO_CHANNELS),
    }
    each = model(**given, timestep=torch.tensor([300.0, 300.0])).sample
    torch.testing.assert_close(model(**given, timestep=torch.tensor([300.0])).sample, each)
    assert (model(**given, timestep=torch.tensor([300.0, 900.0])).sample[1] - each[1]).abs().max() > 1e-3
