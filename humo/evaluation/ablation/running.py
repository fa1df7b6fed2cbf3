"""The trainings of the comparison: what they begin from, then every variant with every seed, each resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.evaluation.ablation.changes import GatedTrainer, HardGate, references_first
from humo.evaluation.ablation.start import take_weights, trained_weights
from humo.evaluation.ablation.variants import BASE, LOOKS, Start, Variant
from humo.layers.autoencoder import HuMoVideoCodec
from humo.system.files import atomic_write, exclusive_lock, write_json
from humo.training.run import Run
from humo.training.transformer.batches import Batch, BatchSettings, draw_batch
from humo.training.transformer.data import ClipData
from humo.training.transformer.loop import load_audio_encoder, load_text_encoder
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer, make_mini
from humo.training.transformer.stages import AUDIO, SELF_ATTENTION, Stage, stage_at

_BATCHES_PER_SEED = 1_000_000
Look = Callable[[MiniModel], float]
"""A figure of a model that still learns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationSettings:
    """How much is trained; all ours."""

    start: str = "mini"
    """Trained pipeline (a name or a folder) from which all begins."""
    base_steps: int = 300
    """Steps of the text-to-video start."""
    steps: int = 300
    """Steps of each variant that begins from `silent`."""
    text_steps: int = 400
    """Steps of each that begins from `text`, which has references to learn too."""
    base_learning_rate: float = 1.5e-3
    """Peak rate of the text-to-video start."""
    learning_rate: float = 1.2e-3
    """Peak rate of the variants."""
    layers: int = 6
    """Blocks of the transformer."""
    tokens: int = 3000
    """Tokens a step."""
    save_every: int = 100
    """Steps between saved states."""

    def steps_from(self, start: Start) -> int:
        """Steps of a variant by what it begins from."""
        return self.steps if start == "silent" else self.text_steps


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


def make_start(start: Start, material: Material, folder: Path, settings: AblationSettings, device: str) -> Path:
    """The file of weights that variants begin from.

    `silent` is the trained model as it is, of which variants take all but sound and mask predictor. For `text`
    self-attention begins anew and learns on videos without references: what it knew of them would leave less to
    compare. A training that is done already, of a resumed run, is not done again.
    """
    codec = HuMoVideoCodec.from_pretrained(material.folder / "autoencoder")
    weights = trained_weights(settings.start, material.text_encoder, codec)
    model, place = material.make_model(settings.layers, seed=0), folder / start
    if start == "silent":
        take_weights(model, weights, anew=AUDIO)
        place.mkdir(parents=True, exist_ok=True)
        return _save(model.learned(), place / "weights.safetensors")
    take_weights(model, weights, anew=(SELF_ATTENTION, *AUDIO))
    planned = ModelSettings(learning_rate=settings.base_learning_rate, focus_weight=0.0)
    trainer = Trainer(model, planned, device)
    return _train(material, trainer, settings.base_steps, place, BASE, settings, 0, _without_slot)


def train_variant(
    material: Material,
    start: Path,
    variant: Variant,
    seed: int,
    folder: Path,
    settings: AblationSettings,
    device: str,
    look: Look | None = None,
) -> Path:
    """Trains a variant from its start.

    Audio modules and mask predictor begin anew, from the seed; so do the order of clips and the noise.

    Args:
        material: what all learn from.
        start: file of the weights.
        variant, seed: which one.
        folder: of all trainings.
        settings: how much.
        device: "cpu" or "cuda".
        look: what is looked at while it learns (`LOOKS`); kept as looks.json beside the weights.

    Returns:
        Its weights' file, which is there already in a resumed run.
    """
    model = material.make_model(settings.layers, seed)
    take_weights(model, load_file(start), anew=AUDIO)
    place = folder / f"{variant.name}-{seed}"
    planned = ModelSettings(learning_rate=settings.learning_rate, focus_weight=variant.focus_weight)
    with changed(model, variant) as gate:
        trainer = Trainer(model, planned, device) if gate is None else GatedTrainer(model, planned, device, gate)
        steps = settings.steps_from(variant.start)
        return _train(material, trainer, steps, place, variant.stages, settings, 1 + seed, look=look)


def read_looks(weights: Path) -> dict[int, float]:
    """What was seen while a variant learned, by the step."""
    path = weights.parent / "looks.json"
    return {int(step): value for step, value in json.loads(path.read_text()).items()} if path.exists() else {}


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
    look: Look | None = None,
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
        looked_at = {max(1, round(share * steps)) for share in LOOKS}
        for step in range(0 if state is None else state["step"], steps):
            stage, progress = stage_at(stages, step / steps)
            number = seed * _BATCHES_PER_SEED + step
            batch = draw_batch(material.data, material.tokenizer, stage, progress, number, drawing)
            figures = trainer.step(batch if change is None else change(batch), stage, step / steps)
            if (step + 1) % 20 == 0:
                run.log(step + 1, **figures)
            if look is not None and step + 1 in looked_at:
                _keep_look(look(trainer.model), step + 1, weights)
            if (step + 1) % settings.save_every == 0:
                run.save(step=step + 1, trainer=trainer.state())
        _save_average(trainer, weights)
        (folder / "state.pt").unlink(missing_ok=True)
    return weights


def _without_slot(batch: Batch) -> Batch:
    """A batch as a text-to-video model meets it: no frame for a reference, so that no place of it is favoured."""
    return replace(batch, references=batch.references[:, :, :0], audio=batch.audio[:, :-1])


def _keep_look(seen: float, step: int, weights: Path) -> None:
    """Keeps what was seen at a step, of the weights as they are: the averaged ones lag behind."""
    write_json(weights.parent / "looks.json", {**read_looks(weights), step: seen})


def _save_average(trainer: Trainer, path: Path) -> None:
    _save(dict(zip(trainer.model.learned(), trainer.ema.shadow_params, strict=True)), path)


def _save(weights: Mapping[str, Tensor], path: Path) -> Path:
    kept = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    with atomic_write(path) as part:
        save_file(kept, part)
    return path
