"""Tiny files of weights in the forms in which people have them: GGUF of every kind, float8 with and without scales."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import published
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor

from humo.layers.published_names import our_name
from humo.transformer import HuMoTransformer3DModel

HEADS = 2
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Where in a block of 256 numbers its float16 scales lie, in bytes."""


def transformer(**changes: Any) -> HuMoTransformer3DModel:
    """HuMo of two blocks whose matrices have rows of multiples of 256, as blocks of K-quants need."""
    torch.manual_seed(5)
    sizes = dict(num_attention_heads=HEADS, attention_head_dim=128, in_channels=4, out_channels=4, text_dim=256)
    sizes |= dict(freq_dim=256, ffn_dim=512, audio_dim=256, audio_channels=32, audio_hidden_dim=256)
    model = tiny.transformer(**{**sizes, **changes})
    for parameter in model.parameters():  # no bias and no norm as it was made, so that one left out is seen
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def published_state_dict(model: HuMoTransformer3DModel) -> dict[str, Tensor]:
    """Its tensors under the published names, in the order of the file."""
    keys = json.loads((published.GOLDEN / "dit_1.7B.json").read_text())["keys"]
    tensors = model.state_dict()
    return {key: tensors[name].detach().clone() for key in keys if (name := our_name(key)) in tensors}


def inputs(model: HuMoTransformer3DModel, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Latents, timestep, text and sound for one pass."""
    config, draw = model.config, torch.Generator().manual_seed(9)
    window = (config.audio_window, config.audio_bands, config.audio_channels)
    shapes = ((1, config.in_channels, 2, 4, 4), (1, 6, config.text_dim), (1, 2, *window))
    latents, text, audio = (torch.randn(shape, generator=draw).to(dtype) for shape in shapes)
    return latents, torch.tensor([700.0]), text, audio


@torch.no_grad()
def velocity(model: HuMoTransformer3DModel, dtype: torch.dtype = torch.float32) -> Tensor:
    """What a model makes of them, float32."""
    return model(*inputs(model, dtype)).sample.float()


def error(got: Tensor, wanted: Tensor) -> float:
    """Of what was got, as a share of what was wanted."""
    return float((got.float() - wanted.float()).norm() / wanted.float().norm())


def in_blocks(values: np.ndarray, kind: str) -> np.ndarray:
    """The bytes of a matrix in a GGUF's blocks; K-quants, which the package only reads, hold random numbers."""
    if kind not in SCALES:
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    numbers, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    draw = np.random.default_rng(values.size)
    blocks = draw.integers(0, 256, (values.size // numbers, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scales = draw.uniform(2e-5, 4e-5, len(blocks)).astype(np.float16)
        blocks[:, at : at + 2] = scales[:, None].view(np.uint8)
    return blocks.reshape(len(values), -1)


def write_gguf(
    file: Path,
    tensors: Mapping[str, Tensor],
    kind_of: Callable[[str, Tensor], str],
    arch: str = "wan",
    shapes: Mapping[str, tuple[int, ...]] = {},  # noqa: B006 (read only)
    fields: Mapping[str, tuple[int, ...]] = {},  # noqa: B006
) -> dict[str, Tensor]:
    """Write a GGUF.

    Args:
        file: to write.
        tensors: by name.
        kind_of: how each is stored, "Q8_0" or "BF16".
        arch: as its header tells.
        shapes: in which some are written, as tools do that know four dimensions.
        fields: original shapes that the header tells.

    Returns:
        The numbers that the file holds, by the package's own reading, float32.
    """
    writer = gguf.GGUFWriter(file, arch)
    for name, shape in fields.items():
        writer.add_array(f"comfy.gguf.orig_shape.{name}", list(shape))
    held = {}
    for name, tensor in tensors.items():
        kind = gguf.GGMLQuantizationType[kind_of(name, tensor)]
        values = tensor.float().numpy().reshape(shapes.get(name, tensor.shape))
        data = in_blocks(values, kind.name)
        writer.add_tensor(name, data, raw_dtype=kind)
        held[name] = torch.from_numpy(gguf.quants.dequantize(data, kind).reshape(tensor.shape).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def mixed(kind: str, other: str = "F32", kernel: str = "F32") -> Callable[[str, Tensor], str]:
    """Matrices of one kind, all else of another, the convolution of a third."""
    return lambda name, tensor: kind if tensor.ndim == 2 else kernel if tensor.ndim == 5 else other


def write_float8(
    file: Path,
    tensors: Mapping[str, Tensor],
    suffix: str | None = "scale_weight",
    rows: bool = False,
    peak: float = 448.0,
    marker: bool = True,
    other: torch.dtype = torch.bfloat16,
    prefix: str = "",
    more: Mapping[str, Tensor] = {},  # noqa: B006
) -> dict[str, Tensor]:
    """Write safetensors whose matrices are float8_e4m3fn.

    Args:
        file: to write.
        tensors: by name.
        suffix: of the scales; None for a file without.
        rows: whether each row has a scale of its own.
        peak: largest float8 number of a matrix.
        marker: whether `scaled_fp8` is there.
        other: dtype of what is no matrix.
        prefix: of all names but the marker's.
        more: further tensors.

    Returns:
        The numbers that the file holds, float32.
    """
    written, held = dict(more), {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            written[prefix + name] = tensor.to(other)
            held[name] = written[prefix + name].float()
            continue
        largest = tensor.abs().amax(1, keepdim=True) if rows else tensor.abs().max()
        scale = (largest / peak).float() if suffix else torch.ones(())
        written[prefix + name] = (tensor / scale).to(torch.float8_e4m3fn)
        held[name] = written[prefix + name].float() * scale
        if suffix:
            written[prefix + name.removesuffix("weight") + suffix] = scale
    if marker and suffix:
        written["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file({name: tensor.contiguous() for name, tensor in written.items()}, file)
    return held


def text_encoder() -> Any:
    """umT5's encoder of two layers, in rows of multiples of 256."""
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(6)
    config = UMT5Config(
        vocab_size=tiny.text_encoder().config.vocab_size, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_heads=4
    )
    model = UMT5EncoderModel(config).eval()
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn_like(parameter) / (256**0.5 if parameter.ndim == 2 else 10)
        parameter.data += "layer_norm" in name
    return model


TEXT_NAMES = {
    "wan": (
        "blocks.{}.", "token_embedding", "norm", "attn.q attn.k attn.v attn.o pos_embedding.embedding norm1 ffn.gate.0 "
        "ffn.fc1 ffn.fc2 norm2",
    ),
    "llama.cpp": (
        "enc.blk.{}.", "token_embd", "enc.output_norm", "attn_q attn_k attn_v attn_o attn_rel_b attn_norm ffn_gate "
        "ffn_up ffn_down ffn_norm",
    ),
}  # fmt: skip
"""How files name a block, the table of tokens, the last norm and what is in a block, in transformers' order."""


def text_state_dict(model: Any, naming: str = "transformers") -> dict[str, Tensor]:
    """The encoder's tensors, each once, in one of three namings."""
    tensors = {name: value.clone() for name, value in model.state_dict().items() if "embed_tokens" not in name}
    if naming == "transformers":
        return tensors
    block, table, norm, inside = TEXT_NAMES[naming]
    attention = [f"layer.0.SelfAttention.{name}" for name in ("q", "k", "v", "o", "relative_attention_bias")]
    feed = [f"layer.1.DenseReluDense.{name}" for name in ("wi_0", "wi_1", "wo")]
    ours = [*attention, "layer.0.layer_norm", *feed, "layer.1.layer_norm"]
    names = {"shared": table, "encoder.final_layer_norm": norm}
    for index in range(model.config.num_layers):
        pairs = zip(ours, inside.split(), strict=True)
        names |= {f"encoder.block.{index}.{name}": block.format(index) + other for name, other in pairs}
    return {f"{names[name.removesuffix('.weight')]}.weight": value for name, value in tensors.items()}
