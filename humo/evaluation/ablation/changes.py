"""What two of the variants change in a running transformer, by hooks: nothing of it is stored with the weights. Ours.

Legend: b batch, k video latent frames, g side of the mask grid, n tokens of video and reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from humo.training.transformer.batches import Batch
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer
from humo.transformer import HuMoTransformer3DModel, HuMoTransformerOutput


@contextmanager
def references_first(transformer: HuMoTransformer3DModel) -> Iterator[None]:
    """Places the reference before the video, as a first frame: the order that HuMo turns round (sec. 3.2).

    Callers go on passing it last and get it back last; only the transformer's view of time changes.

    Args:
        transformer: with one reference frame.
    """
    names = signature(HuMoTransformer3DModel.forward).bind

    def before(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = dict(names(module, *args, **kwargs).arguments)
        given.pop("self")
        given["hidden_states"] = given["hidden_states"].roll(1, dims=2)
        given["audio_hidden_states"] = given["audio_hidden_states"].roll(1, dims=1)
        return (), given

    def after(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        frames = kwargs["hidden_states"].shape[2]
        values = output.to_tuple() if isinstance(output, HuMoTransformerOutput) else output
        sample = values[0].roll(-1, dims=2)
        attended = tuple(_roll_tokens(states, frames) for states in values[1]) if len(values) > 1 else None
        if isinstance(output, HuMoTransformerOutput):
            return HuMoTransformerOutput(sample=sample, attended=attended)
        return (sample,) if attended is None else (sample, attended)

    handles = [
        transformer.register_forward_pre_hook(before, with_kwargs=True),
        transformer.register_forward_hook(after, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _roll_tokens(states: Tensor, frames: int) -> Tensor:
    return states.unflatten(1, (frames, -1)).roll(-1, dims=1).flatten(1, 2)


class HardGate:
    """Lets sound through at the face alone: what the paper argues against (sec. 3.3).

    Attributes:
        mask: what every token hears, (b, n) of 0 and 1; None lets all of them hear.
    """

    def __init__(self) -> None:
        self.mask: Tensor | None = None

    def show(self, face: Tensor, side: int) -> None:
        """Sets the mask from faces.

        Args:
            face: probability or truth, (b, k, g, g) in 0..1.
            side: tokens along a frame's side; a token hears if any of its cells is face. The reference hears nothing.
        """
        tokens = F.adaptive_max_pool2d(face.float(), side).gt(0.5).float()
        self.mask = F.pad(tokens, (0, 0, 0, 0, 0, 1)).flatten(1)

    @contextmanager
    def on(self, transformer: HuMoTransformer3DModel) -> Iterator[HardGate]:
        """Gates the audio attention of every block."""
        handles = [block.get_submodule("audio_attn").register_forward_hook(self._gate) for block in transformer.blocks]
        try:
            yield self
        finally:
            self.mask = None
            for handle in handles:
                handle.remove()

    def _gate(self, module: torch.nn.Module, args: Any, output: Tensor) -> Tensor:
        if self.mask is None:
            return output
        branches = len(output) // len(self.mask)
        return output * self.mask.to(output).repeat(branches, 1)[..., None]


class GatedTrainer(Trainer):
    """Trains behind a hard gate: the true face while learning, and no lesson from the mask to the transformer.

    The predictor learns beside it from passes without the gate, for behind the gate it would read its own answer.

    Args:
        model, settings, device: as of `Trainer`.
        gate: on the model's transformer.
    """

    def __init__(self, model: MiniModel, settings: ModelSettings, device: str, gate: HardGate) -> None:
        super().__init__(model, settings, device)
        self.gate = gate

    def loss(self, batch: Batch, focus: bool, movement: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch and its parts; see `Trainer.loss`."""
        self.gate.show(batch.face, batch.latents.shape[-1] // self.model.transformer.config.patch_size[-1])
        loss, figures = super().loss(batch, False, movement)
        self.gate.mask = None
        if not focus:
            return loss, figures
        with torch.no_grad():
            attended = self.predict(batch, return_attended=True).attended
        return self.add_focus(loss, figures, attended, batch)
