"""Benches for the tests: a folder with one case, small stand-in weights, a detector of white squares."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tiny
import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from humo.evaluation.published.cases import BENCH, BenchCase
from humo.evaluation.published.instruments import aesthetics, similarity
from humo.evaluation.published.instruments.faces import TEMPLATE, Face
from humo.evaluation.published.instruments.weights import Weights

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), np.uint8)
CASE = BenchCase(id="a", prompt="a woman talks", mode="T")


def bench_folder(parent: Path, *lines: str | dict[str, Any]) -> Path:
    """A bench folder with a picture, a sound and the given lines."""
    folder = parent / "bench"
    if not folder.exists():
        folder.mkdir()
        tiny.picture().save(folder / "anna.png")
        soundfile.write(folder / "anna.wav", *tiny.voice(0.4))
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / BENCH).write_text(text + "\n", encoding="utf-8")
    return folder


def line(**changes: Any) -> dict[str, Any]:
    """A good case with changes; what is None is left out."""
    told = {"id": "one", "mode": "TIA", "prompt": "a woman talks", "references": ["anna.png"], "audio": "anna.wav"}
    return {key: value for key, value in (told | changes).items() if value is not None}


class Harmful:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def find_square(picture: np.ndarray) -> list[Face]:
    """A detector for tests: the bounding box of the white pixels is the face."""
    rows, columns = np.nonzero(picture.min(2) > 250)
    if not len(rows):
        return []
    box = np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1], np.float32)
    return [Face(box, TEMPLATE.astype(np.float32) * box[2] / 112 + box[:2], 1.0)]


def save_clip(folder: Path, is_bin: bool) -> None:
    """CLIP, tiny, as safetensors or as a pickle."""
    torch.manual_seed(1)
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
    text = vision | dict(vocab_size=9, bos_token_id=1, eos_token_id=2)
    model = CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision | dict(image_size=28, patch_size=7), projection_dim=12)
    )
    model.save_pretrained(folder)
    if is_bin:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()


def picture_weights(folder: Path) -> Weights:
    """Random weights in a folder: CLIP and DINO small, the aesthetic head with them."""
    save_clip(folder / aesthetics.CLIP, is_bin=False)
    save_clip(folder / similarity.CLIP, is_bin=True)
    torch.manual_seed(2)
    torch.save(nn.Linear(12, 1).state_dict(), folder / aesthetics.HEAD.path)
    config = ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7
    )
    model = ViTModel(config, add_pooling_layer=False)
    model.save_pretrained(folder / similarity.DINO)
    torch.save(model.state_dict(), folder / similarity.DINO / "pytorch_model.bin")
    (folder / similarity.DINO / "model.safetensors").unlink()
    return Weights(folder, is_verified=False)
