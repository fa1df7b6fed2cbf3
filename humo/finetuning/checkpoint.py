"""States to go on from: what learns, its averages and moments, and the step; nothing that is frozen, and no pickles.

A state is a folder `step-000500` of safetensors and one JSON, written under another name and renamed, so that a killed
run leaves whole ones only. Accelerate's own `save_state` is not used: it keeps optimisers and generators as pickles,
and every frozen weight. Generators need not be kept, for a step's chance follows from its number
(`humo.finetuning.objective`). States do not depend on how FSDP splits the tensors. On several machines the folder has
to lie on a disk that all of them see.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from humo.finetuning.model import learned
from humo.finetuning.settings import RUNTIME, FinetuneSettings
from humo.finetuning.sharding import split_like, write_tensors
from humo.loading.published.shards import StoredTensor, open_safetensors, read_json
from humo.system.files import write_json

FORMAT = 1
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_STATE = "state.json"
_REMEDY = "remove this state, so that the one before it is taken"


def find_states(folder: Path) -> list[Path]:
    """Whole states of a run, the earliest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{_STATE}") if path.parent.suffix != ".part")


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: EMAModel | None,
    state: Mapping[str, Any],
    keep: int,
    is_main: bool,
) -> None:
    """Writes a state and removes all but the last ones. All processes call it.

    Args:
        folder: of the run's states.
        model: of which what learns is written.
        optimizer: AdamW.
        average: averaged weights, if there are any.
        state: plain values, "step" among them.
        keep: number of states to keep.
        is_main: whether this process writes.
    """
    final = folder / f"step-{state['step']:06d}"
    part = final.with_name(f"{final.name}.part")
    if is_main:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    parameters = learned(model)
    write_tensors(parameters, part, "weights", is_main)
    write_tensors(_moments(parameters, optimizer), part, "moments", is_main)
    if average is not None:
        write_tensors(dict(zip(parameters, average.shadow_params, strict=True)), part, "averages", is_main)
    if is_main:
        write_json(part / _STATE, {"format": FORMAT, **state})
        shutil.rmtree(final, ignore_errors=True)
        os.replace(part, final)
        for old in find_states(folder)[:-keep]:
            shutil.rmtree(old)


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel | None) -> None:
    """Takes a state back, into a model that `accelerate` has prepared and an optimiser that has not stepped yet.

    Raises:
        ValueError: if a file is missing or damaged, or does not hold what the model learns.
    """
    parameters = learned(model)
    weights, moments = _open(folder, "weights"), _open(folder, "moments")
    averages = _open(folder, "averages") if average is not None else {}
    _check_names(folder, weights, parameters)
    for number, (name, parameter) in enumerate(parameters.items()):
        with torch.no_grad():
            parameter.copy_(split_like(weights[name].read(), parameter))
        if average is not None:
            shadow = average.shadow_params[number]
            shadow.copy_(split_like(averages[name].read(), shadow))
        held = {kind: moments[f"{name}/{kind}"].read() for kind in _MOMENTS}
        optimizer.state[parameter] = {
            kind: value if kind == "step" else split_like(value, parameter) for kind, value in held.items()
        }


def read_state(folder: Path) -> dict[str, Any]:
    """The plain values of a state."""
    return read_json(folder / _STATE, _REMEDY)


def check_state(state: Mapping[str, Any], settings: FinetuneSettings, num_processes: int, mark: int) -> None:
    """Refuses to go on with something else than what was begun.

    Args:
        state: from `read_state`.
        settings: of this run.
        num_processes: of this run.
        mark: `humo.system.fingerprint.fingerprint_frozen` of this run's model.

    Raises:
        ValueError: if settings, processes or the frozen weights differ; the sentence names the first difference.
    """
    elsewhere = "give what it had, or another --out"
    begun, wanted = state.get("settings", {}), settings.describe()
    for name, value in wanted.items():
        if name not in RUNTIME and begun.get(name) != value:
            raise ValueError(f"This training was begun with {name} {begun.get(name)} and not {value}: {elsewhere}.")
    if state.get("processes") != num_processes:
        raise ValueError(
            f"This training was begun with {state.get('processes')} processes and not {num_processes}, which would "
            f"change the order of the data: {elsewhere}."
        )
    if state.get("frozen") != mark:
        raise ValueError(f"This training was begun from other weights than --from holds: {elsewhere}.")


def _moments(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{kind}": optimizer.state[parameter][kind]
        for name, parameter in parameters.items()
        for kind in _MOMENTS
    }


def _open(folder: Path, stem: str) -> dict[str, StoredTensor]:
    index = folder / f"{stem}.safetensors.index.json"
    return open_safetensors(index if index.is_file() else folder / f"{stem}.safetensors", _REMEDY)


def _check_names(folder: Path, held: Mapping[str, StoredTensor], wanted: Mapping[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if name not in held or held[name].shape != tuple(tensor.shape):
            raise ValueError(f"{folder.name} does not hold {name!r} as this training needs it: {_REMEDY}.")
