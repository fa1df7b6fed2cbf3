"""The student: the model's own transformer, told the scales, with a low-rank adapter on every linear layer.

Only the adapter and the embedding of the scales learn and are stored (`humo.loading.fast_form` says where and how).
Ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from humo.loading.fast_form import EMBEDDER, PREFIX, with_scalars
from humo.system.fast_form_config import CONFIG, WEIGHTS, FastConfig
from humo.system.files import atomic_write
from humo.transformer import HuMoTransformer3DModel

_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2"]


def make_student(teacher: HuMoTransformer3DModel, rank: int) -> HuMoTransformer3DModel:
    """A student that does what the teacher does with all scales 1; only adapter and embedding learn.

    Args:
        teacher: the transformer to distil.
        rank: of the adapter.
    """
    student = with_scalars(teacher).requires_grad_(False)
    student.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS))
    student.guidance_embedder.requires_grad_(True)
    return student


def learned(student: HuMoTransformer3DModel) -> dict[str, Tensor]:
    """What a student has learned, under the names of its file."""
    adapter = {f"{PREFIX}{name}": value for name, value in get_peft_model_state_dict(student).items()}
    embedder = {f"{PREFIX}{EMBEDDER}{name}": value for name, value in student.guidance_embedder.state_dict().items()}
    return adapter | embedder


def save_student(weights: dict[str, Tensor], config: FastConfig, folder: Path) -> None:
    """Writes a student's folder in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS) as part:
        save_file({name: value.detach().bfloat16().contiguous() for name, value in weights.items()}, part)
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=2) + "\n")
