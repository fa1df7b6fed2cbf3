"""Which model serves: the one that HUMO_MODEL names, or mini in its place where a large one cannot be loaded.

Mini runs on the CPU or a GPU, whichever is there; the published models serve on a GPU alone, fitted to its memory. A
visitor is told in one sentence why another model serves than the one that was meant to; the log has the whole reason.
A folder that HUMO_MODEL names is loaded or refused: whoever names one means that one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from humo.assets import MINI as MINI_FOLDER
from humo.loading.memory_presets import PRESETS, fits
from humo.space.jobs.zerogpu import is_zero_gpu
from humo.system.fast_form_config import has_fast
from humo.system.imports import quick_imports

if TYPE_CHECKING:
    import torch

    from humo.pipeline import HuMoPipeline

logger = logging.getLogger(__name__)

VARIABLE = "HUMO_MODEL"
MINI = "mini"
LARGE = ("1.7B", "17B")
ZERO_GPU_BYTES = 48 * 10**9
"""Of the GPU that ZeroGPU lends; it cannot be asked before a call. Source: the Hub's documentation of 2026."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """The model that serves."""

    pipe: HuMoPipeline
    name: str
    """"mini", "1.7B", "17B", or the name of a folder."""
    device: str
    """"cpu" or "cuda"."""
    note: str
    """For the page, a sentence; empty if the model is the one that was asked for."""


def wanted_model(environment: Mapping[str, str] = os.environ) -> str:
    """What HUMO_MODEL says: "mini" (also if it is not set), "1.7B", "17B" or a folder.

    Raises:
        ValueError: if it is none of these.
    """
    wanted = environment.get(VARIABLE) or MINI
    if wanted not in (MINI, *LARGE) and not Path(wanted).is_dir():
        raise ValueError(
            f"{VARIABLE} is {wanted!r}: give {MINI}, {', '.join(LARGE)} or the folder of a saved pipeline."
        )
    return wanted


def folder_of(wanted: str) -> Path | None:
    """Folder whose model_index.json can be read before anything is loaded; None for the published models."""
    return None if wanted in LARGE else MINI_FOLDER if wanted == MINI else Path(wanted)


def load_model(wanted: str = MINI, device: torch.device | str | None = None) -> LoadedModel:
    """Load the model, or mini where a large one cannot be loaded. Takes seconds, or much longer for a large one.

    Args:
        wanted: as `wanted_model` returns it.
        device: where to compute; None for a GPU if there is one, else the CPU, on which no large one serves.

    Returns:
        What serves.

    Raises:
        ValueError: if mini or a folder cannot be loaded.
    """
    if wanted not in LARGE:
        return _load(wanted, device, "")
    try:
        return _load_large(wanted, device)
    except ValueError as error:
        logger.warning("The %s model cannot be loaded, %s serves: %s", wanted, MINI, error)
        cause = str(error).partition(": ")[0].rstrip(".")
        note = cause[:1].lower() + cause[1:]
    except Exception as error:  # memory, damaged files, CUDA: whatever it is, visitors get mini
        logger.exception("The %s model cannot be loaded, %s serves.", wanted, MINI)
        note = "the memory is too small" if "memory" in str(error).lower() else "the server's log says why"
    return _load(MINI, device, f"The {wanted} model cannot serve here ({note}), so the small one does.")


def memory_preset(num_bytes: int) -> str:
    """The largest memory preset of `humo.loading.memory` that a GPU has.

    Args:
        num_bytes: of the GPU's memory.

    Raises:
        ValueError: if it is smaller than the smallest.
    """
    fitting = [name for name in PRESETS if fits(name, num_bytes)]
    if not fitting:
        least = next(iter(PRESETS))
        raise ValueError(f"the GPU has {num_bytes / 1e9:.0f} GB and {least} are needed: take a larger one.")
    return fitting[-1]


def _load(wanted: str, device: torch.device | str | None, note: str) -> LoadedModel:
    with quick_imports():
        from humo.checkpoints import load
        from humo.loading.fast_form import make_fast

    pipe = load(wanted, device=device)
    if (folder := folder_of(wanted)) is not None and has_fast(folder):
        try:
            pipe.fast_form = make_fast(pipe, folder)
        except ValueError as error:  # of a model trained further, say: full quality is served all the same
            logging.getLogger(__name__).warning("No quick looks: %s", error)
    return LoadedModel(pipe=pipe, name=_name(wanted), device=pipe.device.type, note=note)


def _load_large(wanted: str, device: torch.device | str | None) -> LoadedModel:
    import torch

    from humo.checkpoints import load

    if device is None and not torch.cuda.is_available():
        raise ValueError("it needs a GPU and none is here: start it where there is one.")
    kind = torch.device(device or "cuda").type
    memory = None
    if kind == "cuda":
        memory = memory_preset(ZERO_GPU_BYTES if is_zero_gpu() else torch.cuda.mem_get_info()[1])
    return LoadedModel(pipe=load(wanted, device=kind, memory=memory), name=wanted, device=kind, note="")


def _name(wanted: str) -> str:
    return wanted if wanted == MINI else Path(wanted).resolve().name
