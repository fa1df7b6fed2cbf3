"""What weights that rest in float8 cannot bear (`humo.loading.memory`, layer-wise casting): refused in one sentence.
Ours.

Each weight has kept 3 bits of its mantissa. It can be computed with, but nothing can be added to it, and saved it would
be off for good. The same door keeps a model from being saved with a LoRA beside its weights, which no loader reads.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_RESTS = "The transformer's weights rest in float8"
_like: Any = wraps  # as a type it makes no methods


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
    """Refuse to fuse a LoRA into weights in float8, or to take it out of them.

    Raises:
        ValueError: if they are.
    """
    if _rests_in_float8(model):
        raise ValueError(f"{_RESTS}, in which no sum is exact: leave the LoRA beside them, where it computes as it is.")


def check_can_be_saved(model: nn.Module) -> None:
    """Refuse to save weights that are not the model's own.

    Raises:
        ValueError: if they are rounded to float8, or a LoRA is beside them.
    """
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
    return any(parameter.dtype in _FLOAT8 for parameter in model.parameters())
