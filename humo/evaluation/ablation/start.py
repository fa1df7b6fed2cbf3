"""What the comparison's trainings begin from: weights of a trained model, without the parts that begin anew. Ours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humo.checkpoints import load
from humo.layers.autoencoder import HuMoVideoCodec
from humo.training.transformer.model import MiniModel

_ROUNDING = 0.02
"""Share of the largest weight by which two copies of a weight may differ: one of them was kept in bfloat16."""


def trained_weights(start: str, text_encoder: nn.Module, codec: HuMoVideoCodec) -> dict[str, Tensor]:
    """Weights of a trained pipeline's transformer, named as in `MiniModel`.

    Args:
        start: "mini" or a pipeline's folder.
        text_encoder, codec: with which they will be used.

    Raises:
        ValueError: if they were trained with another text encoder or codec, whose features mean something else.
    """
    pipe = load(start, device="cpu", dtype=torch.float32)
    pairs = {"text encoder": (pipe.text_encoder, text_encoder), "codec": (pipe.vae.components, codec.components)}
    for name, (its, ours) in pairs.items():
        if not _are_alike(its.state_dict(), ours.state_dict()):
            raise ValueError(
                f"{start} was trained with another {name} than that of --training: start from the pipeline of that "
                "training."
            )
    return {f"transformer.{name}": value for name, value in pipe.transformer.state_dict().items()}


def _are_alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.shape == other[name].shape
        and float((value - other[name]).abs().max()) <= _ROUNDING * float(value.abs().max())
        for name, value in one.items()
    )


def take_weights(model: MiniModel, weights: dict[str, Tensor], anew: tuple[str, ...]) -> None:
    """Copies a transformer's weights into a model, but for the parts that begin anew.

    Args:
        model: changed in place; its focus head stays as it is.
        weights: named as in `MiniModel`.
        anew: parts of names that are not copied.

    Raises:
        ValueError: if the weights are of a transformer of other sizes.
    """
    wanted = {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith("transformer.") and not any(part in name for part in anew)
    }
    for name, value in wanted.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"the start has no {name} of shape {tuple(value.shape)}: give one of the same sizes.")
    model.load_state_dict({name: weights[name] for name in wanted}, strict=False)
