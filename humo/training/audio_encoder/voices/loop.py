"""The loop of the training on other voices: steps, log, resumable state, figures on sentences that it never hears."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humo.audio import AudioEncoder
from humo.checkpoints import load
from humo.training.audio_encoder.voices.batches import VoiceBatch, VoiceBatchSettings, make_batch, resting
from humo.training.audio_encoder.voices.data import Sentence, count_shards, read_sentences
from humo.training.audio_encoder.voices.objective import VoiceObjective, VoiceTrainingSettings, taken
from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.pace import Pace
from humo.training.run import Run, RunningMeans, machine_name
from humo.training.transformer.loop import load_audio_encoder

SENTENCES = "sentences"
"""Folder of the shards, in that of the training."""
_KEPT_BACK = 25
"""First sentences, on which figures are measured; a quarter of them where there are few."""
_MEMORY = 0.998
"""Of the running mean of the weights, which is what is kept in the end."""


def train_voices(
    out: Path,
    steps: int | None = None,
    minutes: float | None = None,
    save_every: int = 100,
    batch: VoiceBatchSettings | None = None,
    learning: VoiceTrainingSettings | None = None,
) -> AudioEncoder:
    """Trains a student of the audio encoder, and goes on with a training that the folder holds.

    Args:
        out: folder of the whole training, with its `audio_encoder`, the transformer in `pipeline` and sentences
            in `voices/sentences`; those that come later are used from the next saved state on.
        steps, minutes: where it ends; give one of them.
        save_every: steps between saved states.
        batch, learning: settings.

    Returns:
        The student, a running mean of the weights of the last steps; also in `voices/audio_encoder`.
    """
    batch, learning = batch or VoiceBatchSettings(), learning or VoiceTrainingSettings()
    folder, sentences = out / "voices", out / "voices" / SENTENCES
    everything, shards = read_sentences(sentences), count_shards(sentences)
    kept_back = min(_KEPT_BACK, max(1, len(everything) // 4))
    held_out, taught = everything[:kept_back], everything[kept_back:]
    extractor, teacher = load_audio_encoder(out, other_voices=False)
    projection = load(out / "pipeline", "cpu", torch.float32).transformer.audio_projection.float()
    student = copy.deepcopy(teacher).requires_grad_(True).train()
    mean = copy.deepcopy(teacher)
    objective = VoiceObjective(teacher, projection, extractor, taught, batch, learning)
    optimizer = torch.optim.AdamW(student.parameters(), lr=learning.learning_rate, weight_decay=1e-3)

    run = Run(folder, steps or 0)
    state = run.load()
    if state is not None:
        student.load_state_dict(state["student"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
    step, spent = (state["step"], state["spent"]) if state else (0, 0.0)
    run.note_machine(step, machine_name("cpu"))
    pace, means = Pace(0, steps, minutes, spent), RunningMeans()
    is_over = pace.is_over(step)
    while not is_over:
        rate = learning.learning_rate * cosine_with_warmup(pace.progress(step), learning.warmup, 0.02)
        means.update_with(_learn(student, mean, optimizer, objective, make_batch(step, taught, batch), rate, step))
        step += 1
        is_over = pace.is_over(step)
        if step % 20 == 0:
            run.total_steps = pace.last_step(step)
            run.log(step, **means)
        if step % save_every == 0 or is_over:
            mean.save_pretrained(folder / "audio_encoder")  # first, for nothing is done again after the state
            run.save(
                step=step,
                spent=pace.seconds,
                student=student.state_dict(),
                mean=mean.state_dict(),
                optimizer=optimizer.state_dict(),
            )
            if count_shards(sentences) > shards:
                taught, shards = read_sentences(sentences)[kept_back:], count_shards(sentences)
        if step % (5 * save_every) == 0 or is_over:
            run.log(step, **measure_voices(objective, mean, held_out))
    return mean


def _learn(
    student: AudioEncoder,
    mean: AudioEncoder,
    optimizer: torch.optim.Optimizer,
    objective: VoiceObjective,
    batch: VoiceBatch,
    rate: float,
    step: int,
) -> dict[str, float]:
    """One step, also of the running mean; returns the loss's parts."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss, parts = objective.loss(student, batch)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()
    memory = min(_MEMORY, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, learned in zip(mean.parameters(), student.parameters(), strict=True):
            kept.lerp_(learned, 1 - memory)
    return {"loss": float(loss.detach()), **parts}


@torch.no_grad()
def measure_voices(
    objective: VoiceObjective, encoder: AudioEncoder, sentences: list[Sentence], batches: int = 6
) -> dict[str, float]:
    """Correlation of the mouth read from the features with the truth, on espeak-ng, on other voices and spoilt."""
    kinds: dict[str, dict[str, Any]] = {"espeak": {"clean_share": 1.0}}
    for name, spoilt in (("others", 0.0), ("spoilt", 1.0)):
        kinds[name] = {"clean_share": 0.0, "other_share": 1.0, "spoilt_share": spoilt}
    figures: dict[str, float] = {}
    for name, shares in kinds.items():
        settings = replace(objective.batch, silent=0, **shares)
        read, true = [], []
        for seed in range(batches):
            batch = make_batch(seed, sentences, settings)
            places = torch.from_numpy(batch.places).float()
            mouths = taken(torch.from_numpy(batch.mouths[batch.source]).float(), places).numpy()
            read.append(objective.read_bands(objective.features(encoder, batch.heard))[:, :, -1].flatten(0, 1))
            true.append(torch.from_numpy(resting(mouths, batch.places)).flatten(0, 1))
        figures |= {f"{name}_{part}": _correlation(torch.cat(read)[:, i], torch.cat(true)[:, i])
                    for i, part in enumerate(("openness", "width"))}  # fmt: skip
    return figures


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1])
