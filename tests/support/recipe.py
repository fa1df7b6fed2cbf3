"""Parts of the fine-tuning tests: a tiny Wan in diffusers' layout, clips in memory, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from diffusers import WanTransformer3DModel

from humo.finetuning.dataset.batch import TrainingBatch
from humo.finetuning.loop import Finetuning
from humo.finetuning.processes import make_accelerator
from humo.finetuning.settings import FinetuneSettings
from humo.finetuning.source import find_source

AUDIO = dict(audio_dim=12, audio_tokens=2, audio_channels=tiny.AUDIO_CHANNELS, audio_hidden_dim=16)
"""Audio arguments of the tiny HuMo that a tiny Wan becomes."""


def wan(**changes: Any) -> WanTransformer3DModel:
    """Wan2.1 of two blocks."""
    torch.manual_seed(0)
    config = dict(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=8,
        out_channels=8,
        text_dim=tiny.TEXT_DIM,
        freq_dim=16,
        ffn_dim=64,
        num_layers=2,
    )
    return WanTransformer3DModel(**{**config, **changes})


def wan_folder(folder: Path, **changes: Any) -> Path:
    """The same as a folder in diffusers' layout."""
    wan(**changes).save_pretrained(folder / "transformer")
    return folder


def batch(size: int = 2, channels: int = 8, references: int = 1, first: int = 0) -> TrainingBatch:
    """Clips `first` to `first + size` of three latent frames of 4x6, always the same."""
    clips = [_clip(first + number, channels, references) for number in range(size)]
    stacked = {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}
    null = torch.full((1, 5, tiny.TEXT_DIM), 0.1)
    return TrainingBatch(**stacked, null_text=null, keys=[f"clip{first + number}" for number in range(size)])


def _clip(number: int, channels: int, references: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    face = torch.zeros(3, 4, 6)
    face[: 1 + number % 3, :2, : 1 + number % 4] = 1  # clips differ in how many frames have a face
    audio = torch.cat([draw(3, 8, 5, tiny.AUDIO_CHANNELS), torch.zeros(references, 8, 5, tiny.AUDIO_CHANNELS)])
    return {
        "latents": draw(channels, 3, 4, 6),
        "references": draw(channels, references, 4, 6),
        "text": draw(5, tiny.TEXT_DIM),
        "audio": audio,
        "face": face,
    }


class Clips:
    """Sixteen clips in memory, read as `humo.finetuning.dataset.loader.PreparedDataset` reads its folder."""

    def __init__(self, channels: int = 8, references: int = 1) -> None:
        self.channels, self.references, self.seen = channels, references, []

    def batches(
        self, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> Iterator[TrainingBatch]:
        """Endless batches in the order of the seed; the processes take them in turn."""
        number = start * world_size + rank
        while True:
            order = np.random.default_rng((seed, number * batch_size // 16)).permutation(16)
            places = [order[(number * batch_size + place) % 16] for place in range(batch_size)]
            parts = [batch(1, self.channels, self.references, int(place)) for place in places]
            self.seen.append([part.keys[0] for part in parts])
            yield _joined(parts)
            number += world_size


def _joined(parts: list[TrainingBatch]) -> TrainingBatch:
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in (*_clip(0, 8, 1),)}
    return TrainingBatch(**joined, null_text=parts[0].null_text, keys=[part.keys[0] for part in parts])


def settings(stage: int = 2, **changes: Any) -> FinetuneSettings:
    """Six quick steps in float32 with a line of the log for each."""
    quick = dict(steps=6, batch_size=2, warmup_steps=2, mixed_precision="no", log_every=1, checkpoint_every=3)
    rates = dict(learning_rate=1e-3, audio_learning_rate=1e-3, lora_learning_rate=1e-3)
    return FinetuneSettings(stage=stage, **{**quick, **rates, "focus_hidden_dim": 8, **changes})


def training(
    folder: Path | str, out: Path, chosen: FinetuneSettings, data: Any = None, is_split: bool = False, **audio: Any
) -> Finetuning:
    """A training on the CPU from a folder; from Wan with tiny audio modules.

    Accelerate uses FSDP on accelerators alone. With `is_split` it is told that the processes had some, so that it runs
    the same code on the CPU.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    if is_split:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    source = find_source(str(folder))
    audio = {**AUDIO, **audio} if source.is_wan else audio
    return Finetuning(chosen, source, data or Clips(), out, make_accelerator(chosen, out, cpu=True), **audio)


def read_log(out: Path) -> list[dict[str, float]]:
    """Lines of a run's log, without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("time", "seconds")} for line in lines]
