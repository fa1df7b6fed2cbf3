"""Number formats by the names that commands and reports give them. Ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Those that a model can be computed in on any device, by the name that `--dtype` takes."""


def read_dtype(name: str | None) -> torch.dtype | None:
    """The number format that an option names.

    Args:
        name: as given; None for the usual one.

    Returns:
        The format, None for the usual one.

    Raises:
        ValueError: if it is none of `DTYPES`.
    """
    if name is None:
        return None
    if name not in DTYPES:
        raise ValueError(f"dtype must be {' or '.join(DTYPES)} but is {name!r}.")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """As `DTYPES` and PyTorch call it: "float32"."""
    return str(dtype).removeprefix("torch.")


def dtypes_of(pipe: Any) -> dict[str, str]:
    """The number format of each part of a pipeline that has weights, but for single layers that keep float32."""
    parts: list[tuple[str, Any]] = [pair for pair in pipe.components.items() if isinstance(pair[1], nn.Module)]
    return {name: dtype_name(part.dtype) for name, part in parts}
