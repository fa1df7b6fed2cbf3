"""The parts of a pipeline from single files: transformer, text encoder and video codec, each strictly.

The sizes of each are read off the shapes, every tensor of the file has to be the model's, and every one of the model's
in the file. Ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel
from transformers.models.umt5.modeling_umt5 import UMT5DenseGatedActDense

from humo.layers.published_names import our_name
from humo.loading.memory import default_dtype, stays_in_float32
from humo.loading.published.keys import (
    TRANSFORMER,
    form_of,
    infer_transformer_config,
    match_published_keys,
    refuse_unknown_keys,
)
from humo.loading.published.shards import place_of
from humo.loading.single_file.filling import empty, fill
from humo.loading.single_file.names import codec_name, text_encoder_name
from humo.loading.single_file.reading import StoredWeight, files_beside, open_beside, open_weights
from humo.transformer import HuMoTransformer3DModel

PATCH = (1, 2, 2)
"""Of both published models, for kernels whose shape a file does not tell."""
_KERNEL = "patch_embedding.weight"
_OVERFLOWS = ".wo.weight"
"""Of umT5, in float16: transformers keeps it in float32, unless it is quantised."""


def open_published(file: Path) -> dict[str, StoredWeight]:
    """The weights of a transformer's file under the published names, not yet read; the patches' kernel in its shape.

    Raises:
        ValueError: as of `humo.loading.single_file.reading.open_weights`.
    """
    weights = open_weights(file)
    if _KERNEL not in weights:
        beside = open_beside(file)
        weights |= {_KERNEL: beside[_KERNEL]} if _KERNEL in beside else {}
    _unfold_kernel(weights)
    return weights


def files_of_transformer(file: Path) -> list[Path]:
    """A transformer's file, and the files beside it without which it is not whole.

    Raises:
        ValueError: as of `open_published`.
    """
    return [file] if _KERNEL in open_weights(file) else [file, *files_beside(file)]


def open_transformer(
    file: str | Path, num_attention_heads: int | None = None
) -> tuple[dict[str, Any], dict[str, StoredWeight]]:
    """Look into a file that holds a HuMo transformer.

    Args:
        file: as `load_transformer_file` takes it.
        num_attention_heads: heads; None for dim / 128.

    Returns:
        Keyword arguments of `HuMoTransformer3DModel`, and its weights by our names, not yet read.

    Raises:
        ValueError: as `load_transformer_file`.
    """
    file = Path(file)
    weights = open_published(file)
    try:
        config = infer_transformer_config(weights, num_attention_heads)
    except ValueError as error:
        raise ValueError(f"{place_of(file)}: {error}") from None
    if not form_of(config):
        raise ValueError(
            f"{place_of(file)} has {config['in_channels']} input channels for {config['out_channels']} of the latents, "
            "which is neither the 1.7B nor the 17B form: give a file of one of these."
        )
    expected = empty(HuMoTransformer3DModel, **config).state_dict()
    return config, _match(file, weights, expected, our_name, TRANSFORMER)


def load_transformer_file(
    file: str | Path, num_attention_heads: int | None = None, dtype: torch.dtype | None = None
) -> HuMoTransformer3DModel:
    """Load a transformer from one file, and keep its weights quantised where they are.

    Args:
        file: GGUF (with the package gguf), float8 with or without scales, or 16 to 64 bit floats in safetensors or
            .pth, told by its content; under the original names, with or without a prefix such as
            `model.diffusion_model.`.
        num_attention_heads: heads, which no shape shows; None for dim / 128, as in both published models.
        dtype: in which it computes, and of all that is not quantised but for what stays float32; None for what
            `humo.load` takes on this computer.

    Returns:
        The transformer in evaluation mode, on the CPU. Quantised, it can be called and bear LoRAs, but neither be
        trained nor saved.

    Raises:
        ValueError: if the file is missing, damaged or of another kind, or a tensor is missing, unknown, of the wrong
            shape or of a quantisation that is not read.
    """
    config, weights = open_transformer(file, num_attention_heads)
    transformer: HuMoTransformer3DModel = empty(HuMoTransformer3DModel, **config)
    fill(transformer, weights, dtype or default_dtype(), lambda name: stays_in_float32(transformer, name))
    if any(weight.is_quantised for weight in weights.values()):
        setattr(transformer, "is_quantized", True)  # noqa: B010 (diffusers' mark: casts are refused)
    return transformer.eval()


def load_text_encoder_file(file: str | Path, dtype: torch.dtype | None = None) -> UMT5EncoderModel:
    """Load umT5's encoder from one file, and keep its weights quantised where they are.

    Args:
        file: as of `load_transformer_file`; under transformers', the original Wan2.1's or llama.cpp's names.
        dtype: as of `load_transformer_file`.

    Returns:
        The encoder in evaluation mode, on the CPU.

    Raises:
        ValueError: as `load_transformer_file`.
    """
    file, dtype = Path(file), dtype or default_dtype()
    opened = open_weights(file)
    tied = "encoder.embed_tokens.weight"
    stored = {key: weight for key, weight in opened.items() if key != tied or "shared.weight" not in opened}
    config = _text_encoder_config(file, {text_encoder_name(key): weight for key, weight in stored.items()})
    model: UMT5EncoderModel = empty(UMT5EncoderModel, config)
    expected = {name: value for name, value in model.state_dict().items() if name != tied}
    weights = _match(file, stored, expected, text_encoder_name, "umT5's encoder")
    kept = {name for name, weight in weights.items() if name.endswith(_OVERFLOWS) and not weight.is_quantised}
    fill(model, weights, dtype, lambda name: dtype == torch.float16 and name in kept)
    model.set_input_embeddings(model.shared)
    for layer in model.modules():
        if isinstance(layer, UMT5DenseGatedActDense):
            _hide_bytes(layer.wo)
    return model.eval()


def load_codec_file(file: str | Path) -> AutoencoderKLWan:
    """Load Wan2.1's video codec from one file, in float32 as in the release.

    Args:
        file: as of `load_transformer_file`; under the original or diffusers' names.

    Returns:
        The codec in evaluation mode, on the CPU.

    Raises:
        ValueError: as `load_transformer_file`, or if it is another codec, such as Wan2.2's.
    """
    file = Path(file)
    stored = open_weights(file)
    named = {codec_name(key): weight for key, weight in stored.items()}
    first, latents = named.get("encoder.conv_in.weight"), named.get("post_quant_conv.weight")
    if first is None or latents is None or not first.shape or not latents.shape:
        raise ValueError(f"{place_of(file)} is no video codec of Wan2.1: give Wan2.1_VAE.pth or the same converted.")
    vae: AutoencoderKLWan = empty(AutoencoderKLWan, base_dim=first.shape[0])
    wanted = vae.config["z_dim"]
    if latents.shape[0] != wanted:
        raise ValueError(
            f"{place_of(file)} is a codec of {latents.shape[0]} channels but HuMo's has {wanted}: give Wan2.1's."
        )
    fill(vae, _match(file, stored, vae.state_dict(), codec_name, "Wan2.1's video codec"), torch.float32)
    return vae.eval()


def _match(
    file: Path,
    stored: Mapping[str, StoredWeight],
    expected: Mapping[str, Any],
    rename: Callable[[str], str | None],
    model: str,
) -> dict[str, StoredWeight]:
    """The weights by the model's names, all of them and no other."""
    try:
        pairs, unknown = match_published_keys(stored, expected, rename)
        refuse_unknown_keys(unknown, model)
    except ValueError as error:
        raise ValueError(f"{place_of(file)}: {error}") from None
    return {name: stored[key] for name, key in pairs.items()}


def _unfold_kernel(weights: dict[str, StoredWeight]) -> None:
    """Give the patches' kernel its five dimensions, where tools that know four have reshaped it without a word."""
    kernel, bias = weights.get(_KERNEL), weights.get("patch_embedding.bias")
    if kernel is None or bias is None or len(kernel.shape) == 5:
        return
    rows, values = bias.shape[0], torch.Size(kernel.shape).numel()
    channels, rest = divmod(values, rows * math.prod(PATCH))
    if not rest and channels:
        weights[_KERNEL] = replace(kernel, shape=(rows, channels, *PATCH), is_quantised=False)


def _text_encoder_config(file: Path, named: Mapping[str | None, StoredWeight]) -> UMT5Config:
    """Sizes of an encoder, read off the shapes; all else as in umT5-xxl."""
    block = "encoder.block.0.layer"
    wanted = ["shared", f"{block}.0.SelfAttention.q", f"{block}.0.SelfAttention.relative_attention_bias"]
    wanted.append(f"{block}.1.DenseReluDense.wi_0")
    shapes = [named[f"{name}.weight"].shape for name in wanted if f"{name}.weight" in named]
    if len(shapes) < len(wanted) or any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"{place_of(file)} is no encoder of umT5: give umt5-xxl's, as Wan2.1 uses it.")
    (vocabulary, dim), (inner, _), (buckets, heads), (hidden, _) = shapes
    depths = [int(match[1]) for name in named if (match := re.match(r"encoder\.block\.(\d+)\.", name or ""))]
    return UMT5Config(
        vocab_size=vocabulary,
        d_model=dim,
        d_kv=inner // heads,
        d_ff=hidden,
        num_layers=1 + max(depths),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
    )


def _hide_bytes(layer: nn.Module) -> None:
    """Hand on a layer's blocks as int8: to any other dtype of its weight UMT5 casts what goes in."""
    stored: Any = layer.weight
    if hasattr(stored, "quant_type"):
        from diffusers.quantizers.gguf.utils import GGUFParameter

        layer.weight = GGUFParameter(stored.as_tensor().view(torch.int8), quant_type=stored.quant_type)
