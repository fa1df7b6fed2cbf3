"""Weights that rest in fewer bits: the layer of a file's float8, and what such weights cannot bear, in one sentence.
Ours.

A weight that layer-wise casting (`humo.loading.memory`) has put to rest keeps 3 bits of its mantissa, and one that came
quantised in its file (`humo.loading.single_file`) no more than the file had. It can be computed with, but nothing can
be added to it, and saved it would be off for good. The same door keeps a model from being saved with a LoRA beside its
weights, which no loader reads.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_RESTS = "The transformer's weights rest in float8"
_QUANTISED = "The transformer's weights are quantised as their file has them"
_like: Any = wraps  # as a type it makes no methods


class Float8Linear(nn.Linear):
    """A linear layer whose weight stays in the float8 of its file, and is widened and scaled at each pass.

    diffusers' layer-wise casting knows no scale and would round the bias to float8 too. The weight is kept as plain
    bytes (int8): no cast of a whole model rounds them, peft does not make an adapter's weights float8 after them, and
    transformers' UMT5 does not cast its states to them.

    Args:
        in_features: channels.
        out_features: channels.
        bias: whether there is one.
        dtype: torch.float8_e4m3fn or torch.float8_e5m2.
        scale: by which the weight is multiplied, float32, () or (out_features, 1); None for 1.

    Source of the scale: ComfyUI's "scaled" files, in which a weight is its float8 value times `scale_weight`.
    """

    scale: Tensor | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool, dtype: torch.dtype, scale: Tensor | None = None
    ) -> None:
        super().__init__(in_features, out_features, bias, device="meta")
        self.float8 = dtype
        self.register_buffer("scale", scale)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), in the dtype of the input."""
        weight = self.weight.view(self.float8).to(input.dtype)
        if self.scale is not None:
            weight = (weight * self.scale).to(input.dtype)
        return nn.functional.linear(input, weight, None if self.bias is None else self.bias.to(input.dtype))


def is_quantised(model: nn.Module) -> bool:
    """Whether some of a model's weights are the bytes of a quantised file."""
    return any(not (each.is_floating_point() or each.is_complex()) for each in model.parameters())


def check_takes_lora(model: nn.Module) -> None:
    """Refuse to add a LoRA to weights in float8, in which it could not be computed.

    Raises:
        ValueError: if they are.
    """
    if _rests_in_float8(model):
        raise ValueError(
            f'{_RESTS}, to which no LoRA can be added: load the model anew with the LoRA, as in humo.load("17B", '
            'memory="8GB", lora="few-step-lora.safetensors").'
        )


def check_takes_sum(model: nn.Module) -> None:
    """Refuse to fuse a LoRA into weights in float8 or quantised, or to take it out of them.

    Raises:
        ValueError: if they are.
    """
    if _rests_in_float8(model) or is_quantised(model):
        rests = _QUANTISED if is_quantised(model) else _RESTS
        raise ValueError(f"{rests}, in which no sum is exact: leave the LoRA beside them, where it computes as it is.")


def check_can_be_saved(model: nn.Module) -> None:
    """Refuse to save weights that are not the model's own.

    Raises:
        ValueError: if they are quantised or rounded to float8, or a LoRA is beside them.
    """
    if is_quantised(model):
        raise ValueError(
            f"{_QUANTISED}, which no folder of save_pretrained can hold: keep that file, and put it beside its parts "
            "with `python -m humo convert --transformer FILE --out FOLDER`."
        )
    if _rests_in_float8(model):
        raise ValueError(
            f"{_RESTS} and would be saved rounded to it for good: copy the folder that they were loaded from, or load "
            "it without memory= and save that."
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ValueError(
            "The transformer has a LoRA beside its weights, and so saved it could not be loaded: call pipe.fuse_lora() "
            "if it is to stay, and then pipe.unload_lora_weights()."
        )


class WeightsGuard(ModelMixin, PeftAdapterMixin):
    """A model that looks at its weights before it is saved or changed; to be named before `ModelMixin`."""

    @_like(ModelMixin.save_pretrained)
    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        check_can_be_saved(self)
        super().save_pretrained(*args, **kwargs)

    @_like(PeftAdapterMixin.load_lora_adapter)
    def load_lora_adapter(self, *args: Any, **kwargs: Any) -> None:
        check_takes_lora(self)
        super().load_lora_adapter(*args, **kwargs)

    @_like(PeftAdapterMixin.add_adapter)
    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        check_takes_lora(self)
        super().add_adapter(*args, **kwargs)

    @_like(PeftAdapterMixin.fuse_lora)
    def fuse_lora(self, *args: Any, **kwargs: Any) -> None:
        check_takes_sum(self)
        super().fuse_lora(*args, **kwargs)

    @_like(PeftAdapterMixin.unfuse_lora)
    def unfuse_lora(self, *args: Any, **kwargs: Any) -> None:
        check_takes_sum(self)
        super().unfuse_lora(*args, **kwargs)


def _rests_in_float8(model: nn.Module) -> bool:
    return any(parameter.dtype in FLOAT8 for parameter in model.parameters())
