"""The published transformer: its key names, its architecture read off the shapes, and a strict loader.

The released checkpoints and ours hold the same tensors under different names: 23 outside the blocks and 39 in each
block, 1,193 in the 1.7B and 1,583 in the 17B form.

Source of the key names: the released HuMo code (`model_humo.py`, `audio_proj.py`) and diffusers' Wan. That the
released 1.7B file holds 1,193 plain keys in float32 was published by a third party who listed them; we have not seen
the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor

from humo.layers.published_names import our_name
from humo.references import MASK_CHANNELS
from humo.transformer import HuMoTransformer3DModel

PUBLISHED_HEAD_DIM = 128
TRANSFORMER = "a published HuMo transformer"


class HasShape(Protocol):
    """A tensor, in memory or still in its file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its numbers."""


def infer_transformer_config(
    state_dict: Mapping[str, HasShape], num_attention_heads: int | None = None
) -> dict[str, Any]:
    """Read the architecture off the shapes of a published state dict.

    Args:
        state_dict: tensors by published key.
        num_attention_heads: heads, which no shape shows; default dim / 128 as in both published models.

    Returns:
        Keyword arguments of `HuMoTransformer3DModel`.

    Raises:
        ValueError: if a key is missing or of other dimensions, or dim is not a multiple of the number of heads.
    """
    missing = [key for key in _SHAPE_KEYS if key not in state_dict]
    if missing:
        raise ValueError(f"The state dict lacks {missing[0]!r}: give the whole state dict of a published HuMo model.")
    for key, dimensions in _SHAPE_KEYS.items():
        if len(shape := tuple(state_dict[key].shape)) != dimensions or 0 in shape:
            raise ValueError(f"The tensor {key!r} has the shape {shape} but {dimensions} dimensions are wanted.")
    dim, in_channels, *patch_size = state_dict["patch_embedding.weight"].shape
    heads = num_attention_heads or dim // PUBLISHED_HEAD_DIM
    if heads < 1 or dim % heads:
        raise ValueError(f"The model has {dim} channels, not a multiple of {heads} heads: give num_attention_heads.")
    audio_dim = state_dict["audio_proj.audio_proj_glob_norm.layer.weight"].shape[0]
    window, bands = 8, 5
    return {
        "patch_size": tuple(patch_size),
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": in_channels,
        "out_channels": state_dict["head.head.weight"].shape[0] // math.prod(patch_size),
        "text_dim": state_dict["text_embedding.0.weight"].shape[1],
        "freq_dim": state_dict["time_embedding.0.weight"].shape[1],
        "ffn_dim": state_dict["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": 1 + max(int(key.split(".")[1]) for key in state_dict if re.match(r"blocks\.\d+\.", key)),
        "cross_attn_norm": "blocks.0.norm3.weight" in state_dict,
        "audio_dim": audio_dim,
        "audio_tokens": state_dict["audio_proj.audio_proj_glob_3.layer.weight"].shape[0] // audio_dim,
        "audio_window": window,
        "audio_bands": bands,
        "audio_channels": state_dict["audio_proj.audio_proj_glob_1.layer.weight"].shape[1] // (window * bands),
        "audio_hidden_dim": state_dict["audio_proj.audio_proj_glob_1.layer.weight"].shape[0],
    }


def form_of(transformer: Mapping[str, Any]) -> str:
    """Of which published model a transformer's form is.

    Args:
        transformer: its config.

    Returns:
        "1.7B", "17B", or "" if it is of neither's.
    """
    forms = {channels: name for name, channels in input_channels(transformer).items()}
    return forms.get(transformer["in_channels"], "")


def input_channels(transformer: Mapping[str, Any]) -> dict[str, int]:
    """Input channels of each form, by the channels of the latents."""
    latents = transformer["out_channels"]
    return {"1.7B": latents, "17B": 2 * latents + MASK_CHANNELS}


def match_published_keys(
    published: Mapping[str, HasShape],
    expected: Mapping[str, HasShape],
    rename: Callable[[str], str | None] = our_name,
) -> tuple[dict[str, str], list[str]]:
    """Pair the published tensors with the model's, strictly.

    Args:
        published: tensors by published key.
        expected: the model's own state dict; tensors on the meta device will do.
        rename: gives the model's name of a key, or None.

    Returns:
        Published key by our key, in the published order, and the published keys that the model has no place for.

    Raises:
        ValueError: if a tensor of the model is missing or of another shape.
    """
    pairs, unknown = {}, []
    for key in published:
        renamed = rename(key)
        if renamed is not None and renamed in expected:
            pairs[renamed] = key
        else:
            unknown.append(key)
    if missing := sorted(expected.keys() - pairs.keys()):
        raise ValueError(f"The state dict lacks {len(missing)} of the model's tensors, first {missing[0]!r}.")
    for name, key in pairs.items():
        given, wanted = tuple(published[key].shape), tuple(expected[name].shape)
        if given != wanted:
            raise ValueError(f"The tensor {name!r} is {given} but the model wants {wanted}.")
    return pairs, unknown


def refuse_unknown_keys(unknown: Iterable[str], model: str = TRANSFORMER) -> None:
    """Refuse published keys that the model has no place for.

    Args:
        unknown: the keys.
        model: what they are no keys of, for the sentence.

    Raises:
        ValueError: if there is one; the sentence lists the first few.
    """
    if unknown := list(unknown):
        listed = ", ".join(map(repr, unknown[:5])) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        plural = "keys are" if len(unknown) > 1 else "key is"
        raise ValueError(f"{len(unknown)} {plural} not one of {model} ({listed}): give that model's own state dict.")


def load_published_transformer(
    state_dict: Mapping[str, Tensor], num_attention_heads: int | None = None
) -> HuMoTransformer3DModel:
    """Build our transformer from a published state dict, strictly.

    Args:
        state_dict: tensors by published key, of the 1.7B or the 17B form.
        num_attention_heads: heads, which no shape shows; default dim / 128.

    Returns:
        The transformer in evaluation mode, with the dtype of the given tensors.

    Raises:
        ValueError: if a key is missing, unknown, or of the wrong shape.
    """
    config = infer_transformer_config(state_dict, num_attention_heads)
    transformer = HuMoTransformer3DModel(**config)
    pairs, unknown = match_published_keys(state_dict, transformer.state_dict())
    refuse_unknown_keys(unknown)
    converted = {name: state_dict[key] for name, key in pairs.items()}
    transformer.load_state_dict(converted, strict=True, assign=True)
    return transformer.eval()


_SHAPE_KEYS = {
    "patch_embedding.weight": 5,
    "head.head.weight": 2,
    "text_embedding.0.weight": 2,
    "time_embedding.0.weight": 2,
    "blocks.0.ffn.0.weight": 2,
    "audio_proj.audio_proj_glob_1.layer.weight": 2,
    "audio_proj.audio_proj_glob_3.layer.weight": 2,
    "audio_proj.audio_proj_glob_norm.layer.weight": 1,
}
"""Keys that show the architecture, and how many dimensions each has."""
