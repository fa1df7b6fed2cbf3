"""The trainings of the comparison: one common start, then every variant with every seed, each resumable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.ablation.changes import HardGate, references_first
from humo.ablation.variants import BASE, Variant
from humo.checkpoints import load
from humo.files import replaced
from humo.training.batches import BatchSettings, draw_batch
from humo.training.data import ClipData
from humo.training.loop import load_hearing, load_reading
from humo.training.model import MiniModel, ModelSettings, Trainer, make_mini
from humo.training.run import Run
from humo.training.stages import AUDIO, SELF_ATTENTION, Stage, stage_at

_BATCHES_PER_SEED = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationSettings:
    """How much is trained; all ours."""

    start: str = "mini"
    """Trained pipeline (a name or a folder) that the common start takes all but self-attention and sound from; empty:
    the common start begins from nothing, which needs a thousand steps more."""
    base_steps: int = 300
    """Steps of the common start."""
    steps: int = 300
    """Steps of each variant."""
    base_learning_rate: float = 1.5e-3
    """Peak rate of the common start."""
    learning_rate: float = 1.2e-3
    """Peak rate of the variants."""
    layers: int = 6
    """Blocks of the transformer."""
    tokens: int = 3000
    """Tokens a step."""
    save_every: int = 100
    """Steps between saved states."""


class Material:
    """What all trainings share: clips, tokenizer, frozen encoders.

    Args:
        folder: of mini's training (`python -m humo train`), with codec, hearing, reading and data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer, self.text_encoder = load_reading(folder)
        self.data = ClipData(folder / "data", *load_hearing(folder))

    def make_model(self, layers: int, seed: int) -> MiniModel:
        """An untrained model of mini's sizes."""
        torch.manual_seed(seed)
        channels = self.data.encoder.config.d_model
        return make_mini(self.data.latent_std(), channels, self.text_encoder, layers)


def train_base(material: Material, folder: Path, settings: AblationSettings, device: str) -> Path:
    """Trains the common start; returns its weights' file, which is there already in a resumed run.

    Self-attention is always learned anew: what it knew of references would leave nothing to compare.
    """
    model = material.make_model(settings.layers, seed=0)
    if settings.start:
        take_weights(model, trained_weights(settings.start), anew=(SELF_ATTENTION, *AUDIO))
    rate = settings.base_learning_rate
    return _train(material, model, folder / "base", BASE, settings, settings.base_steps, rate, 0.0, 0, device)


def train_variant(
    material: Material, base: Path, variant: Variant, seed: int, folder: Path, settings: AblationSettings, device: str
) -> Path:
    """Trains a variant from the common start; returns its weights' file.

    Audio modules and mask predictor begin anew, from the seed; so do the order of clips and the noise.
    """
    model = material.make_model(settings.layers, seed)
    take_weights(model, load_file(base), anew=AUDIO)
    place = folder / f"{variant.name}-{seed}"
    with changed(model, variant) as gate:
        return _train(
            material, model, place, variant.stages, settings, settings.steps, settings.learning_rate,
            variant.focus_weight, seed, device, gate,
        )  # fmt: skip


def trained_weights(start: str) -> dict[str, Tensor]:
    """Weights of a trained pipeline's transformer, named as in `MiniModel`.

    Args:
        start: "mini" or a pipeline's folder.
    """
    transformer = load(start, device="cpu", dtype=torch.float32).transformer
    return {f"transformer.{name}": value for name, value in transformer.state_dict().items()}


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


def load_variant(material: Material, weights: Path, settings: AblationSettings) -> MiniModel:
    """A trained variant, its averaged weights."""
    model = material.make_model(settings.layers, seed=0)
    model.load_state_dict(load_file(weights), strict=False)
    return model.eval().requires_grad_(False)


@contextmanager
def changed(model: MiniModel, variant: Variant) -> Iterator[HardGate | None]:
    """The model as the variant has it; yields the gate of a gated one."""
    gate = HardGate() if variant.change == "hard_gate" else None
    first = references_first(model.transformer) if variant.change == "references_first" else nullcontext()
    with first, gate.on(model.transformer) if gate is not None else nullcontext():
        yield gate


def _train(
    material: Material,
    model: MiniModel,
    folder: Path,
    stages: tuple[Stage, ...],
    settings: AblationSettings,
    steps: int,
    learning_rate: float,
    focus_weight: float,
    seed: int,
    device: str,
    gate: HardGate | None = None,
) -> Path:
    weights = folder / "weights.safetensors"
    if weights.exists():
        return weights
    run = Run(folder, steps)
    trainer = Trainer(model, ModelSettings(steps=steps, learning_rate=learning_rate, focus_weight=focus_weight), device)
    state = run.load()
    if state is not None:
        trainer.load(state["trainer"])
    drawing = BatchSettings(tokens=settings.tokens)
    for step in range(0 if state is None else state["step"], steps):
        stage, progress = stage_at(stages, step / steps)
        batch = draw_batch(material.data, material.tokenizer, stage, progress, seed * _BATCHES_PER_SEED + step, drawing)
        if gate is not None:
            gate.show(batch.face.to(device), batch.latents.shape[-1] // 2)  # in training the truth is known
        figures = trainer.step(batch, stage, step / steps)
        if (step + 1) % 20 == 0:
            run.log(step + 1, **figures)
        if (step + 1) % settings.save_every == 0:
            run.save(step=step + 1, trainer=trainer.state())
    _save_average(trainer, weights)
    (folder / "state.pt").unlink(missing_ok=True)
    return weights


def _save_average(trainer: Trainer, path: Path) -> None:
    names = trainer.model.learned()
    averages: dict[str, Tensor] = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in zip(names, trainer.ema.shadow_params, strict=True)
    }
    with replaced(path) as part:
        save_file(averages, part)
