"""The loop of a decoder's training: steps, log, resumable state, figures and a sheet of pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from humo.codec import HuMoVideoCodec
from humo.training.codec import CodecBatch, CodecSettings, measure_codec, render_batch, train_decoder
from humo.training.critic import Critic
from humo.training.run import Run


def train_codec(
    begin: Callable[[], HuMoVideoCodec],
    folder: Path,
    settings: CodecSettings,
    save_every: int,
    draw: Callable[[int, CodecSettings], CodecBatch] = render_batch,
    measure: Callable[[HuMoVideoCodec], dict[str, float]] | None = None,
) -> HuMoVideoCodec:
    """Trains a codec's decoder, and goes on with a training that the folder holds.

    Args:
        begin: makes the codec of a new training.
        folder: of the training; holds the codec beside its state.
        settings: of the training.
        save_every: steps between saved states; figures are measured at every fifth.
        draw: the clips of a step.
        measure: more figures for the log, in dB.
    """
    run = Run(folder, settings.steps)
    state = run.load()
    if state is None:
        codec, state = begin(), {"step": 0, "optimizer": None}
        codec.save_pretrained(folder)
    else:
        codec = HuMoVideoCodec.from_pretrained(folder)
        codec.load_state_dict(state["model"])
    critic = Critic(settings.critic) if settings.critic else None
    if critic is not None and state.get("critic"):
        critic.load(state["critic"])
    recent = 0.0
    for step, loss, optimizer in train_decoder(codec, settings, state["step"], state["optimizer"], draw, critic):
        recent = loss if recent == 0 else 0.98 * recent + 0.02 * loss
        if step % 20 == 0:
            run.log(step, loss=recent)
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
            figures = measure_codec(codec, 8, show=lambda truth, decoded, shown=shown: shown.append((truth, decoded)))
            figures |= measure(codec) if measure is not None else {}
            run.log(step, **{f"psnr_{name}": value for name, value in figures.items()})
            _save_pairs(shown[:4], folder / "sheet.png")
    return codec


def _save_pairs(shown: list[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Truth above reconstruction, every fourth frame."""
    rows = [np.concatenate(list(part[1::4][:8]), axis=1) for pair in shown for part in pair]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)
