"""The fast form of a model: its own transformer with a distilled adapter folded in, one pass a step and few steps.

It lies in the model's folder under `fast/`, in two files that `python -m humo distill publish` writes:
`adapter.safetensors` with a low-rank update of every linear layer (under the names of diffusers' LoRA files), the
embedding of guidance's scales and, if the student has one, its own detail head, and `config.json`. Text, picture and
sound keep their scales (`humo.layers.guidance_embedding`). What is given up: negative prompts, and the published
models' rules of guidance. Ours; HuMo publishes none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from humo.layers.detail import DETAIL_PREFIX
from humo.pipeline import HuMoPipeline
from humo.system.fast_form_config import FOLDER, WEIGHTS, read_config
from humo.transformer import HuMoTransformer3DModel

EMBEDDER, PREFIX, DOWN, UP = "guidance_embedder.", "transformer.", ".lora_A.weight", ".lora_B.weight"
"""Parts of the names in the file."""
WHOLE = (EMBEDDER, DETAIL_PREFIX)
"""What the file holds whole, in place of an update of the teacher's."""


def make_fast(pipe: HuMoPipeline, folder: Path) -> HuMoPipeline:
    """A pipeline that shares all parts with `pipe` but the transformer and the solver.

    Args:
        pipe: the model.
        folder: of the model, with its fast form in it.

    Raises:
        ValueError: if there is none, or it is damaged or another model's.
    """
    config = read_config(folder)
    transformer = merged_transformer(pipe.transformer, folder / FOLDER / WEIGHTS)
    solver = FlowMatchEulerDiscreteScheduler(shift=config.shift)
    settings = {name: value for name, value in pipe.config.items() if name not in pipe.components and name[0] != "_"}
    settings["default_num_inference_steps"] = config.num_inference_steps
    parts = {**pipe.components, "transformer": transformer, "scheduler": solver}
    fast = HuMoPipeline(**parts, **settings)
    fast.register_to_config(_name_or_path=pipe.name_or_path)
    return fast


@torch.no_grad()
def merged_transformer(teacher: HuMoTransformer3DModel, path: Path) -> HuMoTransformer3DModel:
    """The teacher's weights with a stored student folded in, as a model of its own.

    Args:
        teacher: the transformer that was distilled.
        path: of the adapter.

    Raises:
        ValueError: if the file is damaged or does not fit the teacher.
    """
    try:
        stored = load_file(path)
        has_detail = any(name.startswith(f"{PREFIX}{DETAIL_PREFIX}") for name in stored)
        with init_empty_weights():  # no memory for numbers that are replaced below
            detail_layers = teacher.config.detail_layers if has_detail else 0
            student = HuMoTransformer3DModel.from_config(_student_config(teacher, detail_layers))
        shapes = {name: value.shape for name, value in student.state_dict().items() if name.startswith(WHOLE)}
        weights, changed = _without_detail(teacher.state_dict()), {*shapes}
        for name, shape in shapes.items():
            weights[name] = stored.pop(f"{PREFIX}{name}").to(teacher.device, teacher.dtype, copy=True).reshape(shape)
        for name, value in stored.items():
            if name.endswith(DOWN):
                layer = name.removesuffix(DOWN)
                target = f"{layer.removeprefix(PREFIX)}.weight"
                change = stored[f"{layer}{UP}"].float() @ value.float()
                weights[target] = (weights[target].float() + change).type_as(weights[target])  # rounded once
                changed.add(target)
    except (OSError, KeyError, RuntimeError, SafetensorError):
        model = path.parent.parent.name
        raise ValueError(f"{model}'s fast form is damaged or another model's: fetch the folder again.") from None
    own = {name: value if name in changed else value.clone() for name, value in weights.items()}
    student.load_state_dict(own, assign=True)  # each in its own dtype
    student.to(teacher.device)
    return student.eval().requires_grad_(False)


def with_scalars(teacher: HuMoTransformer3DModel) -> HuMoTransformer3DModel:
    """The same network with an untrained embedding of the scales, which adds nothing yet."""
    student = HuMoTransformer3DModel.from_config(_student_config(teacher, teacher.config.detail_layers))
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    student.load_state_dict(weights, strict=False, assign=True)  # each in its own dtype
    student.guidance_embedder.to(teacher.dtype)
    return student.to(teacher.device)


def _student_config(teacher: HuMoTransformer3DModel, detail_layers: int) -> dict[str, Any]:
    config = {name: value for name, value in teacher.config.items() if not name.startswith("_")}
    return {**config, "guidance_embeds": True, "detail_layers": detail_layers}


def _without_detail(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A student names mean velocities over long spans; what the teacher's detail head learned is of single places."""
    return {name: value for name, value in weights.items() if not name.startswith(DETAIL_PREFIX)}
