"""The published transformer's tensors, name by name in ours; `humo.loading.published.keys` reads whole checkpoints.

Source of the names: the released HuMo code (`model_humo.py`, `audio_proj.py`) and diffusers' Wan.
"""

from __future__ import annotations

import re

# First match wins: the audio wrapper has to come before the text attention whose name it contains.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^(blocks\.\d+)\.audio_cross_attn_wrapper\.audio_cross_attn\.(.+)$", r"\1.audio_attn.attn.\2"),
    (r"^(blocks\.\d+)\.audio_cross_attn_wrapper\.norm1_audio\.(.+)$", r"\1.audio_attn.norm_audio.\2"),
    (r"^(blocks\.\d+)\.self_attn\.(.+)$", r"\1.attn1.\2"),
    (r"^(blocks\.\d+)\.cross_attn\.(.+)$", r"\1.attn2.\2"),
    (r"^(blocks\.\d+)\.norm3\.(.+)$", r"\1.norm2.\2"),
    (r"^(blocks\.\d+)\.ffn\.0\.(.+)$", r"\1.ffn.net.0.proj.\2"),
    (r"^(blocks\.\d+)\.ffn\.2\.(.+)$", r"\1.ffn.net.2.\2"),
    (r"^(blocks\.\d+)\.modulation$", r"\1.scale_shift_table"),
    (r"^head\.head\.(.+)$", r"proj_out.\1"),
    (r"^head\.modulation$", r"scale_shift_table"),
    (r"^time_embedding\.0\.(.+)$", r"condition_embedder.time_embedder.linear_1.\1"),
    (r"^time_embedding\.2\.(.+)$", r"condition_embedder.time_embedder.linear_2.\1"),
    (r"^time_projection\.1\.(.+)$", r"condition_embedder.time_proj.\1"),
    (r"^text_embedding\.0\.(.+)$", r"condition_embedder.text_embedder.linear_1.\1"),
    (r"^text_embedding\.2\.(.+)$", r"condition_embedder.text_embedder.linear_2.\1"),
    (r"^audio_proj\.audio_proj_glob_([123])\.layer\.(.+)$", r"audio_projection.linear_\1.\2"),
    (r"^audio_proj\.audio_proj_glob_norm\.layer\.(.+)$", r"audio_projection.norm.\1"),
    (r"^(patch_embedding\..+)$", r"\1"),
)
_PROJECTION = r"(\.attn\d?)\.([qkvo])\.(weight|bias)$"
_PROJECTION_NAMES = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


def rename_published_layer(layer: str, separator: str = ".") -> str | None:
    """Translate the name of one layer, which is its keys without ".weight".

    Args:
        layer: "blocks.0.self_attn.q", or "blocks_0_self_attn_q" as trainers of LoRAs write it.
        separator: "." or "_", between the parts of the name.

    Returns:
        Our name with the same separator, None if it has none.
    """
    renamed = our_name(f"{layer}{separator}weight", separator)
    return None if renamed is None else renamed.removesuffix(f"{separator}weight")


def our_name(key: str, separator: str = ".") -> str | None:
    """Our name of a published key, None if it has none."""
    dot = re.escape(separator)
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn(pattern.replace(r"\.", dot), replacement.replace(".", separator), key)
        if count:
            return re.sub(_PROJECTION.replace(r"\.", dot), lambda m: _rename_projection(m, separator), renamed)
    return None


def _rename_projection(match: re.Match[str], separator: str) -> str:
    return separator.join((match[1], _PROJECTION_NAMES[match[2]].replace(".", separator), match[3]))
