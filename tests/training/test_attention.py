"""The attention that trains mini fast is diffusers' own. Run: python -m pytest tests/training/test_attention.py"""

from __future__ import annotations

import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor

from humo.training.transformer.attention import TrainingAttnProcessor


def test_attention_in_training_equals_wans():
    torch.manual_seed(0)
    attention = WanAttention(32, 2, 16, processor=WanAttnProcessor())
    states, angles = torch.randn(2, 6, 32), torch.randn(1, 6, 1, 16).repeat_interleave(1, -1)
    rotary = (angles.cos(), angles.sin())
    text = torch.randn(2, 5, 32)
    fast = TrainingAttnProcessor()
    torch.testing.assert_close(
        fast(attention, states, rotary_emb=rotary), WanAttnProcessor()(attention, states, rotary_emb=rotary)
    )
    torch.testing.assert_close(fast(attention, states, text), WanAttnProcessor()(attention, states, text))
