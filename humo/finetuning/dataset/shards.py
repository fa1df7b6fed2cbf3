"""Prepared shards on the disk: one file of tensors and one of facts for each unit of rows, and an index of all.

    prepared.json                  settings, model and table: what a continued run must share
    null_text.safetensors          features of the empty text
    shards/clips-000000.safetensors
    shards/clips-000000.json       samples, dropped rows, seconds; written last: a unit is done when it is there
    index.json                     every sample with its shard and shape
    report.json, report.md

Tensors of a clip are named ROW.PART. Files appear whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from humo.loading.published.shards import read_json
from humo.system.files import atomic_write, write_json, write_text

FORMAT = 1
"""Of the folder; another one is refused."""
SHARDS, INDEX, PREPARED, NULL_TEXT = "shards", "index.json", "prepared.json", "null_text.safetensors"


def tensor_name(row: int, part: str) -> str:
    """Name of a clip's tensor in its shard."""
    return f"{row}.{part}"


def unit_file(folder: Path, index: int) -> Path:
    """The facts of a unit; its tensors lie beside, with the ending .safetensors."""
    return folder / SHARDS / f"clips-{index:06d}.json"


def is_done(folder: Path, index: int) -> bool:
    """Whether a unit is finished."""
    return unit_file(folder, index).is_file()


def write_unit(folder: Path, index: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a unit: first its tensors, if any, then its facts.

    Args:
        folder: of the preparation.
        index: of the unit.
        tensors: by `tensor_name`.
        facts: "samples", "dropped", "seconds".
    """
    file = unit_file(folder, index)
    shard = file.with_suffix(".safetensors")
    if tensors:
        with atomic_write(shard) as part:
            save_file(dict(tensors), part, metadata={"format": "pt"})
    size = shard.stat().st_size if tensors else 0
    write_json(file, {"unit": index, "file": shard.name if tensors else None, "bytes": size, **facts}, indent=1)


def read_units(folder: Path) -> list[dict[str, Any]]:
    """The facts of all finished units, in order."""
    return [read_json(file, "delete it and prepare again") for file in sorted((folder / SHARDS).glob("clips-*.json"))]


def write_index(folder: Path, writer: str = "") -> None:
    """Write the index of all units that are done.

    Args:
        folder: of the preparation.
        writer: of this process.
    """
    prepared = read_json(folder / PREPARED)
    units = read_units(folder)
    size = prepared["settings"]["rows_per_unit"]
    total = -(-prepared["table"]["rows"] // size)
    samples = [[s["row"], s["key"], unit["unit"], *s["bucket"]] for unit in units for s in unit["samples"]]
    index = {"units": len(units), "units_total": total, "bytes": [[u["unit"], u["bytes"]] for u in units]}
    columns = ["row", "key", "unit", "k", "h", "w", "r"]
    text = json.dumps({"format": FORMAT, **index, "columns": columns, "samples": samples}, ensure_ascii=False)
    write_text(folder / INDEX, text + "\n", writer)


def claim(folder: Path, prepared: Mapping[str, Any], writer: str = "") -> None:
    """Begin or continue a preparation.

    Args:
        folder: of the preparation; it is made.
        prepared: settings, model and table.
        writer: of this process.

    Raises:
        ValueError: if the folder holds a preparation with others.
    """
    (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    file = folder / PREPARED
    prepared = json.loads(json.dumps({"format": FORMAT, **prepared}))
    if not file.is_file():
        write_json(file, prepared, writer)
        return
    before = _flat(read_json(file, "give another folder"))
    wanted = _flat(prepared)
    changed = sorted(name for name in before.keys() | wanted.keys() if before.get(name) != wanted.get(name))
    if changed:
        name = changed[0]
        raise ValueError(
            f"{folder.name} was prepared with {name} {before.get(name)!r} and not {wanted.get(name)!r}: "
            "use the same settings, or another folder."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": item}
    return flat
