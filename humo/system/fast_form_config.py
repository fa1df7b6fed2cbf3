"""Where a model's fast form lies and what its config says; `humo.loading.fast_form` loads it.

Needs no torch, so that the page can look for one before it has anything heavy. Ours.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER, WEIGHTS, CONFIG = "fast", "adapter.safetensors", "config.json"
"""In a model's folder, and the two files there."""
SUFFIX = "-fast"
"""Of the model's name in the settings of a video that its fast form made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FastConfig:
    """What a stored student was made for."""

    rank: int
    """Of the adapter; its scale is 1."""
    num_inference_steps: int
    """Steps that it makes by default."""
    shift: float
    """Of the noise levels."""
    teacher: str
    """Beginning of the SHA-256 of the transformer's files that it was distilled from (`teacher_of`)."""


def has_fast(folder: Path) -> bool:
    """Whether a model's folder holds a fast form."""
    return (folder / FOLDER / CONFIG).is_file()


def read_config(folder: Path) -> FastConfig:
    """The config of a model's fast form.

    Raises:
        ValueError: if there is none, it is damaged, or the model's weights are others than it was distilled from.
    """
    try:
        config = FastConfig(**json.loads((folder / FOLDER / CONFIG).read_text()))
    except (OSError, ValueError, TypeError):
        raise ValueError(f"{folder.name} has no fast form, or a damaged one: leave `fast` out.") from None
    if config.teacher != teacher_of(folder):
        raise ValueError(f"{folder.name}'s fast form was distilled from other weights: distil it again, or remove it.")
    return config


def teacher_of(folder: Path) -> str:
    """What tells a model's transformer from any other."""
    digest = hashlib.sha256()
    for path in sorted((folder / "transformer").glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
