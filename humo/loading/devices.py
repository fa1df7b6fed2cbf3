"""Where a model is to compute, and whether it can, checked before gigabytes are downloaded and converted. Ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from humo.loading.memory import check_memory_preset
from humo.loading.published.conversion import find_converted
from humo.loading.published.presets import PRESETS, without_parts
from humo.loading.single_file.parts import open_transformer
from humo.system.fast_form_config import has_fast


def read_device(device: str | torch.device | None) -> torch.device:
    """The device that is asked for.

    Args:
        device: as `humo.load` takes it; None for a GPU if there is one, else the CPU.

    Raises:
        ValueError: if PyTorch knows no such device, or there is no GPU, or none of that number.
    """
    if not device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"There is no device {device!r}: give 'cuda', 'cuda:1' or 'cpu'.") from None
    if found.type != "cuda":
        return found
    if not torch.cuda.is_available():
        raise ValueError(
            f"The device is {str(found)!r} but PyTorch has no GPU here: give 'cpu', or see what "
            "`python -m humo doctor` says of the GPU."
        )
    if found.index is not None and found.index >= (count := torch.cuda.device_count()):
        allowed = "'cuda:0'" if count == 1 else f"'cuda:0' to 'cuda:{count - 1}'"
        raise ValueError(f"The device is {str(found)!r} but this computer has {count} of them: give {allowed}.")
    return found


def check_asked(
    name: str, files: Mapping[str, Path], device: torch.device, dtype: torch.dtype, memory: str | None, fast: bool
) -> None:
    """Refuse what cannot be, as far as it can be told before the model is here.

    Args:
        name: "mini", "1.7B", "17B", or a folder; for a transformer's file the published model that it is of.
        files: given in place of parts.
        device: where to compute.
        dtype: in which to load.
        memory: preset or None.
        fast: whether the distilled form is wanted.

    Raises:
        ValueError: if the memory preset is not for this device or this model, or the model has no fast form.
    """
    is_quantised, num_parameters = False, 0
    if "transformer" in files and memory is not None:
        weights = open_transformer(files["transformer"])[1].values()
        is_quantised = any(weight.is_quantised for weight in weights)
        num_parameters = sum(math.prod(weight.shape) for weight in weights)
    elif name in PRESETS:
        num_parameters = PRESETS[name].num_parameters["transformer"]
    check_memory_preset(memory, device, num_parameters, is_quantised)
    if fast and name != "mini":
        is_published = name in PRESETS
        folder = find_converted(without_parts(PRESETS[name], files.keys()), dtype) if is_published else Path(name)
        if folder is None or (folder.is_dir() and not has_fast(folder)):
            raise ValueError(f"{Path(name).name} has no fast form: leave `fast` out.")
