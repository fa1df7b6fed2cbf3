"""The trainings of the comparison: one common start, then every variant with every seed, each resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.evaluation.ablation.changes import GatedTrainer, HardGate, references_first
from humo.evaluation.ablation.start import take_weights, trained_weights
from humo.evaluation.ablation.variants import BASE, Variant
from humo.layers.autoencoder import HuMoVideoCodec
from humo.system.files import atomic_write, exclusive_lock
from humo.training.run import Run
from humo.training.transformer.batches import Batch, BatchSettings, draw_batch
from humo.training.transformer.data import ClipData
from humo.training.transformer.loop import load_audio_encoder, load_text_encoder
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer, make_mini
from humo.training.transformer.stages import AUDIO, SELF_ATTENTION, Stage, stage_at

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
        folder: of mini's training (`python -m humo train`), with autoencoder, audio and text encoder and data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer, self.text_encoder = load_text_encoder(folder)
        self.data = ClipData(folder / "data", *load_audio_encoder(folder))

    def make_model(self, layers: int, seed: int) -> MiniModel:
        """An untrained model of mini's sizes."""
        torch.manual_seed(seed)
        channels = self.data.encoder.config.d_model
        return make_mini(self.data.latent_std(), channels, self.text_encoder, layers)


def train_base(material: Material, folder: Path, settings: AblationSettings, device: str) -> Path:
    """Trains the common start; returns its weights' file, which is there already in a resumed run.

    Self-attention is always learned anew: what it knew of references would leave less to compare.
    """
    model = material.make_model(settings.layers, seed=0)
    if settings.start:
        codec = HuMoVideoCodec.from_pretrained(material.folder / "autoencoder")
        weights = trained_weights(settings.start, material.text_encoder, codec)
        take_weights(model, weights, anew=(SELF_ATTENTION, *AUDIO))
    planned = ModelSettings(learning_rate=settings.base_learning_rate, focus_weight=0.0)
    trainer = Trainer(model, planned, device)
    return _train(material, trainer, settings.base_steps, folder / "base", BASE, settings, 0, _without_slot)


def train_variant(
    material: Material, base: Path, variant: Variant, seed: int, folder: Path, settings: AblationSettings, device: str
) -> Path:
    """Trains a variant from the common start; returns its weights' file.

    Audio modules and mask predictor begin anew, from the seed; so do the order of clips and the noise.
    """
    model = material.make_model(settings.layers, seed)
    take_weights(model, load_file(base), anew=AUDIO)
    place = folder / f"{variant.name}-{seed}"
    planned = ModelSettings(learning_rate=settings.learning_rate, focus_weight=variant.focus_weight)
    with changed(model, variant) as gate:
        trainer = Trainer(model, planned, device) if gate is None else GatedTrainer(model, planned, device, gate)
        return _train(material, trainer, settings.steps, place, variant.stages, settings, 1 + seed)


def load_variant(material: Material, weights: Path, settings: AblationSettings) -> MiniModel:
    """A trained variant, its averaged weights.

    Raises:
        ValueError: if the file is of another model.
    """
    model = material.make_model(settings.layers, seed=0)
    learned = load_file(weights)
    if learned.keys() != model.learned().keys():
        raise ValueError(f"{weights.parent.name} holds weights of another model: remove that folder.")
    model.load_state_dict(learned, strict=False)  # the text encoder is there already
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
    trainer: Trainer,
    steps: int,
    folder: Path,
    stages: tuple[Stage, ...],
    settings: AblationSettings,
    seed: int,
    change: Callable[[Batch], Batch] | None = None,
) -> Path:
    """Trains to the end, or finds that this was done."""
    weights = folder / "weights.safetensors"
    with exclusive_lock(
        folder / ".lock", f"Waiting for another process that trains {folder.name}."
    ):  # of a killed run, say
        if weights.exists():
            return weights
        run = Run(folder, steps)
        state = run.load()
        if state is not None:
            trainer.load(state["trainer"])
        drawing = BatchSettings(tokens=settings.tokens)
        for step in range(0 if state is None else state["step"], steps):
            stage, progress = stage_at(stages, step / steps)
            number = seed * _BATCHES_PER_SEED + step
            batch = draw_batch(material.data, material.tokenizer, stage, progress, number, drawing)
            figures = trainer.step(batch if change is None else change(batch), stage, step / steps)
            if (step + 1) % 20 == 0:
                run.log(step + 1, **figures)
            if (step + 1) % settings.save_every == 0:
                run.save(step=step + 1, trainer=trainer.state())
        _save_average(trainer, weights)
        (folder / "state.pt").unlink(missing_ok=True)
    return weights


def _without_slot(batch: Batch) -> Batch:
    """A batch as a text-to-video model meets it: no frame for a reference, so that no place of it is favoured."""
    return replace(batch, references=batch.references[:, :, :0], audio=batch.audio[:, :-1])


def _save_average(trainer: Trainer, path: Path) -> None:
    names = trainer.model.learned()
    averages: dict[str, Tensor] = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in zip(names, trainer.ema.shadow_params, strict=True)
    }
    with atomic_write(path) as part:
        save_file(averages, part)
