"""LoRAs added to a pipeline, several with a weight each, for good or for one video. Ours; the reading is `layers`'.

For one video they are taken out again whole: the layers stand as they stood before, their weights to the bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from humo.layers.loras import check_lora
from humo.loading.lora_files import LoraFile
from humo.pipeline import HuMoPipeline

Source = str | Path | Mapping[str, Tensor]
"""A file, a folder or repository with one, or its tensors."""
Loras = Source | LoraFile | tuple[Source, float] | Sequence[Source | LoraFile | tuple[Source, float]]
"""One LoRA or several; a pair says how strongly it counts."""


def read_loras(given: Loras | None) -> list[tuple[Source, float]]:
    """LoRAs of any of these forms, each with its weight.

    Raises:
        ValueError: if one is of another form, a file is not there, or a weight is none.
    """
    if given is None:
        return []
    is_one = isinstance(given, str | Path | Mapping | LoraFile)
    is_pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int | float)
    several: Any = [given] if is_one or is_pair else given
    read = [_read(each) for each in several]
    for source, _ in read:
        check_lora(source)
    return read


def add_loras(pipe: HuMoPipeline, loras: Sequence[tuple[Source, float]]) -> None:
    """Add LoRAs that count together.

    Args:
        pipe: to whose transformer they are added; LoRAs that it has are switched off.
        loras: with their weights.

    Raises:
        ValueError: if one does not fit; those before it stay.
    """
    weights = dict[str, float]()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[\\s\\S]*multiple adapters")  # peft's, to whoever adds a second one
        for source, weight in loras:
            pipe.load_lora_weights(source)
            weights[pipe.get_active_adapters()[0]] = weight
    if len(weights) > 1 or any(weight != 1 for weight in weights.values()):
        pipe.set_adapters(list(weights), list(weights.values()))


@contextmanager
def with_loras(pipe: HuMoPipeline, loras: Sequence[LoraFile]) -> Iterator[None]:
    """Within the block LoRAs count, after it the pipeline is as before.

    Args:
        pipe: without LoRAs.
        loras: none for a block in which nothing changes.

    Raises:
        ValueError: if the pipeline has LoRAs of its own, or one does not fit.
    """
    if not loras:
        yield
        return
    if pipe.transformer._hf_peft_config_loaded:
        raise ValueError("this model has LoRAs already: load it without, to choose them for each video.")
    try:
        add_loras(pipe, read_loras(loras))
        yield
    finally:
        pipe.unload_lora_weights()


def _read(given: Any) -> tuple[Source, float]:
    if isinstance(given, LoraFile):
        return given.path, given.weight
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | Path):
        return given[0], LoraFile(Path(given[0]), given[1]).weight
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Mapping):
        return given[0], LoraFile(Path("given"), given[1]).weight
    if not isinstance(given, str | Path | Mapping):
        raise ValueError(f"A LoRA is {type(given).__name__}: give a path, or a path and a weight.")
    return given, 1.0
