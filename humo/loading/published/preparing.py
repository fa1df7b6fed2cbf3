"""A published model made ready to be loaded: found, or downloaded and converted, unless the machine cannot hold it."""

from __future__ import annotations

from pathlib import Path

import torch

from humo.loading.folders import FULL_PRECISION, check_memory
from humo.loading.published.matching import stored_dtype
from humo.loading.published.presets import Preset
from humo.loading.published.sources import check_download, download, find_downloaded


def prepare(preset: Preset, device: torch.device, dtype: torch.dtype) -> Path:
    """The converted folder of a published model; downloaded and converted if it is not there.

    Several processes may come here at once: one downloads and converts, and the others wait for it.

    Args:
        preset: the model, whole or without parts that are given (`without_parts`).
        device: where it is to compute.
        dtype: in which it is to be loaded.

    Raises:
        ValueError: if the published files are neither here nor to be had, or the machine is too small.
    """
    from humo.loading.published.conversion import convert_with_bar, converted_folder, find_converted

    lack = _lack_of_gpu(preset, device)
    if folder := find_converted(preset, dtype):
        _refuse(lack)
        return folder
    lack = lack or _lack_of_memory(preset, dtype)
    sources = find_downloaded(preset)
    if sources is None and lack:  # both mistakes in one sentence
        try:
            check_download(preset)
        except ValueError as error:
            raise ValueError(f"{error}".rstrip(".") + f"; besides, {lack}") from None
    _refuse(lack)
    sources = sources or download(preset)
    folder = converted_folder(preset, stored_dtype(sources.transformer, dtype))
    return convert_with_bar(preset, sources, folder, dtype, verify=False)


def _lack_of_gpu(preset: Preset, device: torch.device) -> str:
    """That a model which needs a GPU has none, in a sentence; empty if it has."""
    if not preset.is_cpu_hopeless or device.type != "cpu":
        return ""
    given = "the CPU is asked for" if torch.cuda.is_available() else "none is here"
    return f"the {preset.name} model needs a GPU and {given}: load '1.7B' or 'mini'."


def _lack_of_memory(preset: Preset, dtype: torch.dtype) -> str:
    """That the memory cannot hold a model, in a sentence; empty if it can."""
    dtypes = dict.fromkeys(FULL_PRECISION, torch.float32)
    num_bytes = sum(count * dtypes.get(part, dtype).itemsize for part, count in preset.num_parameters.items())
    try:
        check_memory(preset.name, num_bytes)
    except ValueError as error:
        return str(error)
    return ""


def _refuse(sentence: str) -> None:
    if sentence:
        raise ValueError(sentence[0].upper() + sentence[1:])
