"""What the tensors of umT5's encoder and of Wan's video codec are called here; the transformer's: `published_names`.

Source: the names of the original Wan2.1 (`wan/modules/t5.py`), of transformers' UMT5 (ComfyUI's files have these), and
of llama.cpp's T5 encoder; the codec's are turned by diffusers' own converter.
"""

from __future__ import annotations

import re

from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

_BLOCK = re.compile(r"^(?:blocks|enc\.blk)\.(\d+)\.(.+)\.weight$")
_TOP = {
    "token_embedding.weight": "shared.weight",
    "token_embd.weight": "shared.weight",
    "encoder.embed_tokens.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_IN_BLOCK = {
    **{f"attn.{each}": f"layer.0.SelfAttention.{each}" for each in "qkvo"},
    **{f"attn_{each}": f"layer.0.SelfAttention.{each}" for each in "qkvo"},
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "norm1": "layer.0.layer_norm",
    "attn_norm": "layer.0.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
    "ffn_down": "layer.1.DenseReluDense.wo",
    "norm2": "layer.1.layer_norm",
    "ffn_norm": "layer.1.layer_norm",
}


def text_encoder_name(key: str) -> str | None:
    """transformers' name of a tensor of umT5's encoder in any of the three namings; None if it has none."""
    if match := _BLOCK.match(key):
        inside = _IN_BLOCK.get(match[2])
        return None if inside is None else f"encoder.block.{match[1]}.{inside}.weight"
    return _TOP.get(key, key)


def codec_name(key: str) -> str | None:
    """diffusers' name of a tensor of Wan's video codec in the original naming or its own; None if it has none."""
    try:
        return next(iter(convert_wan_vae_to_diffusers({key: None})))
    except (IndexError, ValueError):  # a name that only begins like one of the codec's
        return None
