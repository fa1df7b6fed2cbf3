"""A file of weights, opened: what it is, by its first bytes, and its tensors by name, not yet read.

- **GGUF**: matrices in blocks of few bits, the rest in 16 or 32. Files for ComfyUI keep the original names. A tensor of
  five dimensions, which llama.cpp's tools do not know, comes reshaped (with `comfy.gguf.orig_shape.NAME` or without a
  word), or in a file `fix_5d_tensors_*.safetensors` of its own, which is looked for beside.
- **safetensors**: 16 to 64 bit floats and float8. In a "scaled" file each float8 matrix has a `scale_weight` or
  `weight_scale` beside it, by which it is multiplied. What says nothing of the weights is left out: scales of inputs,
  for products in float8, which are not made here; the markers `scaled_fp8` and `comfy_quant`; and the tokenizer
  `spiece_model` that ComfyUI puts into a text encoder.
- **.pth**: as `humo.loading.published.shards.open_pth` reads it, nothing executed.

Prefixes that all names share, such as `model.diffusion_model.`, are taken off.

Source: the GGUF format and its package; ComfyUI's and ComfyUI-GGUF's published conventions, as those projects' code and
files show them. The procedure is ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humo.layers.float8 import FLOAT8
from humo.loading.published.pth import is_pth
from humo.loading.published.shards import (
    AGAIN,
    StoredTensor,
    open_pth,
    open_safetensors,
    place_of,
    strip_prefixes,
)

_ROWS = 8192
"""Rows that are dequantised at once."""
_MARKERS = ("scaled_fp8", "spiece_model")
_INPUT_SCALES, _SCALES, _FORMAT = ("scale_input", "input_scale"), ("scale_weight", "weight_scale"), "comfy_quant"
_FORMATS = ("float8_e4m3fn", "float8_e5m2")
_BYTES = {"F8_E4M3": FLOAT8[0], "F8_E5M2": FLOAT8[1], "U8": torch.uint8, "I8": torch.int8}
_GGUF_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
_FIVE_DIMENSIONS = "fix_5d_tensors_*.safetensors"
_GGUF = b"GGUF"


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A tensor that is still in its file."""

    shape: tuple[int, ...]
    """Of the numbers that it stands for."""
    kind: str
    """How it is stored, for people: "Q4_K", "float8_e4m3fn", "bfloat16"."""
    nbytes: int
    """In the file."""
    read: Callable[[], Tensor]
    """Its numbers, or where they are in blocks diffusers' `GGUFParameter`."""
    is_quantised: bool = False
    """Whether it is kept as it is stored, as the weight of a linear layer."""
    scale: StoredTensor | None = None
    """By which float8 numbers are multiplied."""
    lacks_scale: bool = False
    """Whether it is float8 without a scale in a file that has scales."""
    dtype: torch.dtype = torch.float32
    """Which holds its numbers; float32 for those in blocks or float8."""

    def as_tensor(self) -> StoredTensor:
        """The same still in its file, to be read as plain numbers."""
        return StoredTensor(self.shape, self.dtype, lambda: self.read_plain(self.dtype))

    def read_plain(self, dtype: torch.dtype) -> Tensor:
        """All its numbers, dequantised and scaled."""
        tensor = self.read()
        if hasattr(tensor, "quant_type"):
            from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

            rows = tensor.split(_ROWS)  # not all at once, for on the way a number takes ten bytes
            tensor = torch.cat([dequantize_gguf_tensor(each).to(dtype) for each in rows])
        if (scale := self.read_scale()) is not None:
            tensor = tensor.float() * scale
        return tensor.reshape(self.shape).to(dtype, copy=True)

    def read_scale(self) -> Tensor | None:
        """Float32, () or (rows, 1)."""
        if self.scale is None:
            return None
        scale = self.scale.read().float()
        return scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)


def open_weights(file: Path) -> dict[str, StoredWeight]:
    """Look into a file of weights.

    Args:
        file: GGUF, safetensors or .pth, whatever it is called.

    Returns:
        Its tensors by name, without the prefix that all of them share.

    Raises:
        ValueError: if it is missing, none of these, truncated, or holds a tensor of a kind that is not read.
    """
    if not file.is_file():
        raise ValueError(f"There is no file {place_of(file)}: give the path of a file of weights.")
    head = _head(file)
    if head.startswith(_GGUF):
        weights = _open_gguf(file)
    elif head[8:9] == b"{":
        weights = _fold(open_safetensors(file, also=_BYTES), place_of(file))
    elif is_pth(file) or file.suffix == ".pth":
        weights = {name: _plain(tensor) for name, tensor in open_pth(file).items()}
    elif head.startswith(b"version https://git-lfs"):
        raise ValueError(f"{place_of(file)} is a pointer of Git LFS and holds no weights: fetch the file itself.")
    else:
        raise ValueError(f"{place_of(file)} is neither GGUF nor safetensors nor a PyTorch file: {AGAIN}.")
    return strip_prefixes(weights)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(64)


def open_beside(file: Path) -> dict[str, StoredWeight]:
    """The tensors of five dimensions that lie in a file beside a GGUF, if there is one.

    Raises:
        ValueError: if that file is damaged.
    """
    return {name: weight for each in files_beside(file) for name, weight in open_weights(each).items()}


def files_beside(file: Path) -> list[Path]:
    """The files of tensors of five dimensions that lie beside a file, sorted."""
    return sorted(file.parent.glob(_FIVE_DIMENSIONS))


def _plain(tensor: StoredTensor) -> StoredWeight:
    kind = str(tensor.dtype).removeprefix("torch.")
    return StoredWeight(tensor.shape, kind, tensor.nbytes, tensor.read, dtype=tensor.dtype)


def _fold(tensors: Mapping[str, StoredTensor], place: str) -> dict[str, StoredWeight]:
    """Lay the scales to their weights, and leave out what says nothing of them."""
    weights: dict[str, StoredWeight] = {}
    scales: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        stem, _, leaf = name.rpartition(".")
        if leaf in _MARKERS or leaf in _INPUT_SCALES:
            continue
        if leaf == _FORMAT:
            _check_format(stem, tensor, place)
        elif leaf in _SCALES:
            scales[f"{stem}.weight"] = tensor
        elif tensor.dtype in (torch.uint8, torch.int8):
            raise ValueError(
                f"The tensor {name!r} of {place} is stored as {tensor.dtype} of a kind that is not read: give a file "
                "in GGUF, float8 or 16 bits."
            )
        else:
            weights[name] = _plain(tensor)
    is_scaled = bool(scales) or any(name.rpartition(".")[2] == "scaled_fp8" for name in tensors)
    for name in weights:
        if tensors[name].dtype in FLOAT8:
            scale = scales.pop(name, None)
            if scale is not None and scale.shape not in ((), (1,), (1, 1), *_rows(weights[name].shape)):
                raise ValueError(f"The scale of {name!r} in {place} has the shape {scale.shape}: {AGAIN}.")
            weights[name] = _as_float8(tensors[name], scale, is_scaled)
    if scales:
        raise ValueError(f"{place} has a scale for {next(iter(scales))!r}, but no such tensor in float8: {AGAIN}.")
    return weights


def _rows(shape: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """Shapes of a scale for each row of a matrix."""
    return ((shape[0],), (shape[0], 1)) if len(shape) == 2 else ()


def _as_float8(tensor: StoredTensor, scale: StoredTensor | None, is_scaled: bool) -> StoredWeight:
    plain, lacks = _plain(tensor), is_scaled and scale is None
    return StoredWeight(plain.shape, plain.kind, plain.nbytes, plain.read, len(plain.shape) == 2, scale, lacks)


def _check_format(layer: str, tensor: StoredTensor, place: str) -> None:
    """Refuse a layer whose `comfy_quant`, a JSON in bytes, names another format than float8."""
    try:
        told = json.loads(tensor.read().numpy().tobytes()).get("format")
    except (ValueError, AttributeError):
        told = None
    if told not in _FORMATS:
        raise ValueError(
            f"{place} stores {layer!r} as {told}, which is not read: give a file in GGUF, float8 or 16 bits."
        )


def _open_gguf(file: Path) -> dict[str, StoredWeight]:
    place = place_of(file)
    try:
        from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES
        from gguf import GGUFReader
    except ImportError:
        raise ValueError(f"{place} is a GGUF, which needs the package gguf: pip install gguf.") from None
    try:
        reader = GGUFReader(file)
        shapes = {
            name.removeprefix(_ORIGINAL_SHAPE): tuple(int(field.parts[index][0]) for index in field.data)
            for name, field in reader.fields.items()
            if name.startswith(_ORIGINAL_SHAPE)
        }
    except Exception:  # a damaged header goes wrong in any way
        raise ValueError(f"{place} is truncated, damaged or of another version of GGUF: {AGAIN}.") from None
    weights = {}
    for tensor in reader.tensors:
        stored = tuple(tensor.shape[::-1].tolist())
        shape = shapes.get(tensor.name, stored)
        if torch.Size(shape).numel() != torch.Size(stored).numel():
            raise ValueError(f"The tensor {tensor.name!r} of {place} is {stored} but told to be {shape}: {AGAIN}.")
        kind = tensor.tensor_type.name
        if kind not in _GGUF_FLOATS and tensor.tensor_type not in SUPPORTED_GGUF_QUANT_TYPES:
            raise ValueError(
                f"The tensor {tensor.name!r} of {place} is {kind}, which diffusers does not read: give another "
                "quantisation, such as Q4_K_M."
            )
        is_quantised = kind not in _GGUF_FLOATS and shape == stored and len(shape) == 2
        dtype, read = _GGUF_FLOATS.get(kind, torch.float32), _gguf_reader(tensor)
        weights[tensor.name] = StoredWeight(shape, kind, int(tensor.n_bytes), read, is_quantised, dtype=dtype)
    return weights


def _gguf_reader(tensor: Any) -> Callable[[], Tensor]:
    """Reads one tensor; BF16 as numbers, for as the bytes that the package gives them no norm, bias or convolution
    could be computed with."""

    def read() -> Tensor:
        data = torch.from_numpy(np.array(tensor.data))  # a copy, for the file may be replaced
        if tensor.tensor_type.name == "BF16":
            return data.view(torch.bfloat16)
        if tensor.tensor_type.name in _GGUF_FLOATS:
            return data
        from diffusers.quantizers.gguf.utils import GGUFParameter

        return GGUFParameter(data, quant_type=tensor.tensor_type)

    return read
