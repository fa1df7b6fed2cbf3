"""The same pass in the plain way of the published code, to measure ours against in one run.

It computes with the weights of our transformer what our forward computes, but as the release does it: the residual
stream, norms and modulations in float32 around matrix products in the model's format (autocast), rotary positions as
complex numbers in float64, keys and values of text and sound made anew in every pass, no compiling, one branch after
another, and the GPU's cache given back after every step. Attention is PyTorch's own on both sides; the release takes
flash-attn where that is installed. A test holds the results together, so that the same job is timed.

All of this file is ours, in our own words, after reading the released code (`model.py`, `generate.py`).
"""

# b batch, n tokens, d channels, f latent frames, a audio tokens

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from humo.guidance import Weights
from humo.sampling import Conditions, branch_inputs
from humo.transformer import HuMoTransformer3DModel

ROPE_BASE = 10_000.0


@torch.no_grad()
def plain_step(
    transformer: HuMoTransformer3DModel, latents: Tensor, timestep: float, weights: Weights, conditions: Conditions
) -> Tensor:
    """The velocity of one step, branch after branch; the arguments of `humo.sampling.guided_velocity`."""
    velocity = torch.zeros_like(latents)
    for branch, weight in weights.items():
        velocity += weight * plain_pass(
            transformer, **branch_inputs(transformer, latents, timestep, branch, conditions)
        )
    if latents.device.type == "cuda":
        torch.cuda.empty_cache()
    return velocity


def plain_pass(
    transformer: HuMoTransformer3DModel,
    hidden_states: Tensor,
    timestep: Tensor,
    encoder_hidden_states: Tensor,
    audio_hidden_states: Tensor,
) -> Tensor:
    """The velocity of one pass.

    Args:
        transformer: the weights; mini's estimate of the velocity and its detail head, which no published model has,
            are added as ours are.
        hidden_states: as of `HuMoTransformer3DModel.forward`, like all others.
        timestep: (b,).
        encoder_hidden_states: text features.
        audio_hidden_states: audio windows.

    Returns:
        (b, out_channels, f, h, w), float32.
    """
    dtype, device = encoder_hidden_states.dtype, hidden_states.device
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        time, modulation = _embed_time(transformer, timestep)
        text = transformer.condition_embedder.text_embedder(encoder_hidden_states)
        sound = transformer.audio_projection(audio_hidden_states)
        tokens = transformer.patch_embedding(hidden_states)
        grid = tokens.shape[2:]
        tokens = tokens.flatten(2).transpose(1, 2)
        turns = _rotary_turns(grid, transformer.config.attention_head_dim, device)
        for block in transformer.blocks:
            tokens = _plain_block(block, tokens, text, sound, modulation, turns)
        shift, scale = (transformer.scale_shift_table.float() + time[:, None]).chunk(2, dim=1)
        normed = _layer_norm(tokens, transformer.norm_out) * (1 + scale) + shift
        output = transformer.proj_out(normed)
    output = output.unflatten(2, (*transformer.config.patch_size, -1)).unflatten(1, tuple(grid))
    velocity = torch.einsum("bfhwpqrc->bcfphqwr", output).flatten(6, 7).flatten(4, 5).flatten(2, 3).float()
    if transformer.detail_head is not None and transformer.needs_detail(timestep):
        below = transformer.config.detail_below
        velocity = velocity + transformer.detail_head(hidden_states, normed, velocity, time, timestep, below).float()
    if transformer.config.latent_std is not None:
        velocity = transformer.add_estimate(velocity, hidden_states, timestep)
    return velocity


def _plain_block(block: Any, tokens: Tensor, text: Tensor, sound: Tensor, modulation: Tensor, turns: Tensor) -> Tensor:
    """One block on the float32 stream (b, n, d)."""
    shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = (block.scale_shift_table.float() + modulation).chunk(6, dim=1)
    normed = _layer_norm(tokens, block.norm1) * (1 + scale_1) + shift_1
    tokens = tokens.float() + _attend(block.attn1, normed, normed, turns) * gate_1
    tokens = tokens + _attend(block.attn2, _layer_norm(tokens, block.norm2), text)
    heard = _layer_norm(tokens, block.audio_attn.norm_audio).unflatten(1, (sound.shape[1], -1)).flatten(0, 1)
    heard = _attend(block.audio_attn.attn, heard, sound.flatten(0, 1))
    tokens = tokens + heard.unflatten(0, sound.shape[:2]).flatten(1, 2)
    normed = _layer_norm(tokens, block.norm3) * (1 + scale_2) + shift_2
    return tokens + block.ffn(normed).float() * gate_2


def _embed_time(transformer: HuMoTransformer3DModel, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """Embedding (b, d) and modulation (b, 6, d), float32 throughout."""
    embedder = transformer.condition_embedder
    half = transformer.config.freq_dim // 2
    rates = torch.pow(ROPE_BASE, -torch.arange(half, dtype=torch.float64, device=timestep.device) / half)
    angles = torch.outer(timestep.double(), rates)
    waves = torch.cat([angles.cos(), angles.sin()], dim=1).float()
    with torch.autocast(timestep.device.type, enabled=False):
        hidden = F.silu(_linear(waves, embedder.time_embedder.linear_1))
        time = _linear(hidden, embedder.time_embedder.linear_2)
        return time, _linear(F.silu(time), embedder.time_proj).unflatten(1, (6, -1))


def _linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return F.linear(x, layer.weight.float(), layer.bias.float())


def _layer_norm(tokens: Tensor, norm: Any) -> Tensor:
    """In float32, result float32; without a norm the tokens themselves."""
    if isinstance(norm, nn.Identity):
        return tokens.float()
    weight, bias = (None if part is None else part.float() for part in (norm.weight, norm.bias))
    return F.layer_norm(tokens.float(), norm.normalized_shape, weight, bias, norm.eps)


def _rms_norm(x: Tensor, norm: Any) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.eps)).type_as(x) * norm.weight


def _attend(attn: Any, queries: Tensor, keys: Tensor, turns: Tensor | None = None) -> Tensor:
    """Attention of (b, n, d) to (b, m, c), keys and values made anew, (b, n, d)."""
    q = _rms_norm(attn.to_q(queries), attn.norm_q).unflatten(2, (attn.heads, -1))
    k = _rms_norm(attn.to_k(keys), attn.norm_k).unflatten(2, (attn.heads, -1))
    v = attn.to_v(keys).unflatten(2, (attn.heads, -1))
    if turns is not None:
        q, k = _turn(q, turns).type_as(v), _turn(k, turns).type_as(v)
    q, k, v = (part.transpose(1, 2) for part in (q.type_as(v), k.type_as(v), v))
    return attn.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _rotary_turns(grid: tuple[int, int, int], head_dim: int, device: torch.device) -> Tensor:
    """Unit complex numbers by which pairs of channels are turned, complex128 (n, 1, head_dim / 2)."""
    side = 2 * (head_dim // 6)
    parts = []
    for axis, (length, channels) in enumerate(zip(grid, (head_dim - 2 * side, side, side), strict=True)):
        exponents = torch.arange(0, channels, 2, dtype=torch.float64, device=device) / channels
        angles = torch.outer(torch.arange(length, dtype=torch.float64, device=device), ROPE_BASE**-exponents)
        shape = [length if index == axis else 1 for index in range(3)]
        parts.append(torch.polar(torch.ones_like(angles), angles).view(*shape, -1).expand(*grid, -1))
    return torch.cat(parts, dim=-1).flatten(0, 2)[:, None]


def _turn(x: Tensor, turns: Tensor) -> Tensor:
    """(b, n, heads, head_dim) turned, float32."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(3).float()
