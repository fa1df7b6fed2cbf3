"""SHA-256 of plain data, files, and weights on the disk, so that what one thing made is never taken for another's.

Needs no torch. Models in memory are `humo.system.fingerprint`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from humo.system.fast_form_config import FOLDER as FAST

_SAMPLE = 1 << 16
"""Bytes of each of the three pieces of a weight file that go into a folder's fingerprint."""


def digest_data(told: Any, arrays: Iterable[np.ndarray] = ()) -> str:
    """Of plain data, in any order of its names, and of arrays with their shapes and dtypes; hexadecimal."""
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def digest_file(path: Path) -> str:
    """Of all bytes of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_pieces(files: Iterable[tuple[str, Path]], pieces: int, length: int) -> str:
    """Of files' names, sizes and a few pieces of each, in milliseconds however large they are; hexadecimal.

    It finds another file, as training and another download make one, not a byte that was damaged.

    Args:
        files: names that enter, and paths.
        pieces: read of each file, evenly from its beginning to its end; 2 or more.
        length: of a piece in bytes.
    """
    digest = hashlib.sha256()
    for name, path in files:
        size = path.stat().st_size
        digest.update(f"{name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(pieces):
                file.seek(max(0, (size - length) * number // (pieces - 1)))
                digest.update(file.read(length))
    return digest.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """Ten letters that tell a saved model from every other; a fast form, which follows the model, does not count.

    Args:
        folder: of a saved pipeline.

    Raises:
        ValueError: if there are no weights in it.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.safetensors")}
    weights = [(name, path) for name, path in sorted(files.items()) if not name.startswith(f"{FAST}/")]
    if not weights:
        raise ValueError(f"{folder.name} holds no weights: give the folder of a saved pipeline.")
    return digest_pieces(weights, 3, _SAMPLE)[:10]
