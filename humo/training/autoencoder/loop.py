"""The loop of a decoder's training: steps, log, resumable state, figures and a sheet of pairs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humo.layers.autoencoder import HuMoVideoCodec
from humo.training.autoencoder.critic import Critic
from humo.training.autoencoder.training import AutoencoderSettings, CodecBatch, measure_autoencoder, train_decoder
from humo.training.run import Run, RunningMeans, machine_name


def train_autoencoder(
    begin: Callable[[], HuMoVideoCodec],
    folder: Path,
    settings: AutoencoderSettings,
    save_every: int,
    batches: Callable[[int], Generator[CodecBatch]] | None = None,
    measure: Callable[[HuMoVideoCodec], dict[str, float]] | None = None,
    device: str = "cpu",
) -> HuMoVideoCodec:
    """Trains a codec's decoder, and goes on with a training that the folder holds.

    Args:
        begin: makes the codec of a new training.
        folder: of the training; holds the codec beside its state.
        settings: of the training.
        save_every: steps between saved states; figures are measured at every fifth.
        batches: gives the clips of the steps from a given one on; by default they are rendered.
        measure: more figures for the log, in dB.
        device: "cpu" or "cuda".

    Raises:
        ValueError: if the folder's training has a critic of another weight.
    """
    run = Run(folder, settings.steps)
    state = run.load()
    if state is None:
        codec, state = begin(), {"step": 0, "optimizer": None}
        codec.save_pretrained(folder)
    else:
        codec = HuMoVideoCodec.from_pretrained(folder)
        codec.load_state_dict(state["model"])
    codec.to(device)
    critic = _critic(settings.critic, state, device)
    means = RunningMeans()
    for step, losses, optimizer in train_decoder(codec, settings, state["step"], state["optimizer"], batches, critic):
        if step == state["step"] + 1:
            run.note_machine(state["step"], machine_name(device))
        means.update_with(losses)
        if step % 20 == 0:
            run.log(step, **means)
        if step % save_every == 0 or step == settings.steps:
            codec.save_pretrained(folder)
            run.save(
                step=step,
                model=codec.state_dict(),
                optimizer=optimizer.state_dict(),
                critic=None if critic is None else critic.state(),
            )
        if step % (5 * save_every) == 0 or step == settings.steps:
            shown: list[tuple[np.ndarray, np.ndarray]] = []
            figures = measure_autoencoder(codec, 8, show=lambda *pair: shown.append(pair))  # noqa: B023
            figures |= measure(codec) if measure is not None else {}
            run.log(step, **{f"psnr_{name}": value for name, value in figures.items()})
            _save_pairs(shown[:4], folder / "sheet.png")
    return codec


def _critic(weight: float, state: dict[str, Any], device: str) -> Critic | None:
    """The critic of a training: a new one at its beginning, else the one that the state holds."""
    saved = state.get("critic")
    before = saved["weight"] if saved else 0.0
    if state["step"] and weight != before:
        raise ValueError(
            f"This training has a critic of weight {before:g}, asked for is {weight:g}: go on with the same, or remove "
            "its state.pt and begin anew."
        )
    critic = Critic(weight, device=device) if weight else None
    if critic is not None and saved:
        critic.load(saved)
    return critic


def _save_pairs(shown: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Truth above reconstruction, every fourth frame."""
    rows = [np.concatenate(list(part[1::4][:8]), axis=1) for pair in shown for part in pair]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)
