"""The student: the model's own transformer, told the scales, with a low-rank adapter on every linear layer.

Only the adapter, the embedding of the scales and a copy of the detail head learn and are stored
(`humo.loading.fast_form` says where and how). Ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.layers.detail import DETAIL_PREFIX
from humo.loading.fast_form import PREFIX, WHOLE, with_scalars
from humo.system.fast_form_config import CONFIG, WEIGHTS, FastConfig
from humo.system.files import atomic_write
from humo.transformer import HuMoTransformer3DModel

_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2"]


def make_student(teacher: HuMoTransformer3DModel, rank: int) -> HuMoTransformer3DModel:
    """A student that does what the teacher does with all scales 1; adapter, embedding and detail head learn.

    Args:
        teacher: the transformer to distil.
        rank: of the adapter.
    """
    student = with_scalars(teacher).requires_grad_(False)
    student.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS))
    student.guidance_embedder.requires_grad_(True)
    if student.detail_head is not None:
        student.detail_head.requires_grad_(True)
    return student


def take_student(student: HuMoTransformer3DModel, path: Path) -> None:
    """Lets a student begin as another one ended; a detail head that the other had not stays the teacher's.

    Args:
        student: changed in place.
        path: `adapter.safetensors` of a fast form, or the averaged weights of a training.

    Raises:
        ValueError: if the file is damaged, or its student is of another size or rank.
    """
    own = learned(student)
    try:
        stored = load_file(path)
    except (OSError, SafetensorError):
        raise ValueError(f"{path.name} holds no student: give a fast form's adapter.safetensors.") from None
    missing = {name for name in own if not name.startswith(f"{PREFIX}{DETAIL_PREFIX}")} - stored.keys()
    if missing or any(name not in own or own[name].shape != value.shape for name, value in stored.items()):
        raise ValueError(f"{path.name} holds a student of another model or --rank: give one of these sizes.")
    for name, value in stored.items():
        own[name].data.copy_(value)


def learned(student: HuMoTransformer3DModel) -> dict[str, Tensor]:
    """What a student has learned, under the names of its file."""
    adapter = {f"{PREFIX}{name}": value for name, value in get_peft_model_state_dict(student).items()}
    whole = {name: value for name, value in student.state_dict().items() if name.startswith(WHOLE)}
    return adapter | {f"{PREFIX}{name}": value for name, value in whole.items()}


def save_student(weights: dict[str, Tensor], config: FastConfig, folder: Path) -> None:
    """Writes a student's folder in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS) as part:
        save_file({name: value.detach().bfloat16().contiguous() for name, value in weights.items()}, part)
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=2) + "\n")
