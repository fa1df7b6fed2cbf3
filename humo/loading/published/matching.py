"""A published transformer paired with ours, tensor by tensor, before any of it is read.

Source: HuMo released code (`generate.py::configure_dit_model`) for the two layouts; the procedure is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from humo.loading.published.keys import infer_transformer_config, match_published_keys, refuse_unknown_keys
from humo.loading.published.shards import StoredTensor, open_safetensors, strip_prefixes
from humo.loading.single_file.parts import open_published
from humo.transformer import HuMoTransformer3DModel

logger = logging.getLogger(__name__)
MOST_EXTRA_PARAMETERS = 20_000_000
"""Parameters beyond the model's that a .pth may hold (ours, see `match_transformer`)."""
EXTRA = "transformer_extra.safetensors"
"""Side file of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """A published transformer, paired with ours."""

    config: dict[str, Any]
    """Arguments of our class."""
    tensors: dict[str, StoredTensor]
    """By our name, not yet read."""
    extra: dict[str, StoredTensor]
    """Those that our class has no place for, by published name."""
    published: torch.dtype
    """Which holds all published values."""
    stored: torch.dtype
    """The widest in which tensors are stored, but for the parts that the model computes in float32."""


def stored_dtype(transformer: Path | None, dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a published transformer is stored so that it can be loaded in `dtype` without a loss."""
    return dtype if transformer is None else _choose_dtype(_open(transformer), dtype)[1]


def match_transformer(file: Path, dtype: torch.dtype) -> Matched:
    """Pair a published transformer with ours, strictly.

    Keys that the model has no place for are refused. One allowance is made, for a .pth: the released ema.pth is larger
    than the released class by what 17.6 million parameters take. Should it hold more tensors (a mask predictor's,
    perhaps), they are reported by name and shape and kept in a side file, unless they lie within one of the model's
    own parts, which would then not be the part that we know. (A third party who listed its keys counts the class's
    1,193, so the allowance may never be needed.)

    Args:
        file: a .pth, one file of safetensors or a GGUF, told by its content, or an index of shards.
        dtype: in which they are to be loaded.

    Returns:
        What was found; nothing is read yet but the files' headers.

    Raises:
        ValueError: if the file is damaged, or a key is missing, unknown or of the wrong shape.
    """
    published = _open(file)
    config = infer_transformer_config(published)
    with torch.device("meta"):
        expected = HuMoTransformer3DModel(**config).state_dict()
    pairs, unknown = match_published_keys(published, expected)
    extra = {name: published[name] for name in unknown}
    own = {name.split(".")[0] for name in (*pairs, *pairs.values())}
    refuse_unknown_keys(name for name in unknown if name.split(".")[0] in own)
    num_extra = sum(torch.Size(tensor.shape).numel() for tensor in extra.values())
    if file.suffix != ".pth" or num_extra > MOST_EXTRA_PARAMETERS:
        refuse_unknown_keys(unknown)
    if extra:
        listed = ", ".join(f"{name} {tensor.shape}" for name, tensor in extra.items())
        logger.warning("%s holds %d tensors beyond the model, kept in %s: %s", file.name, len(extra), EXTRA, listed)
    widest, stored = _choose_dtype(published, dtype)
    tensors = {}
    for name in expected:
        tensor = published[pairs[name]]
        narrower = stored if stored.itemsize < tensor.dtype.itemsize else tensor.dtype
        tensors[name] = tensor.to(torch.float32 if _is_kept(name) else narrower)
    return Matched(config=config, tensors=tensors, extra=extra, published=widest, stored=stored)


def _open(file: Path) -> dict[str, StoredTensor]:
    if file.suffix == ".json":
        return strip_prefixes(open_safetensors(file))
    return {name: weight.as_tensor() for name, weight in open_published(file).items()}


def _choose_dtype(published: Mapping[str, StoredTensor], dtype: torch.dtype) -> tuple[torch.dtype, torch.dtype]:
    """The dtype that holds all published values, and the narrower of it and `dtype`, which is to be stored."""
    widest = reduce(torch.promote_types, {tensor.dtype for tensor in published.values()})
    return widest, dtype if dtype.itemsize < widest.itemsize else widest


def _is_kept(name: str) -> bool:
    """Whether `from_pretrained` loads a tensor in float32 whatever is asked; it compares whole parts of a name."""
    return not set(HuMoTransformer3DModel._keep_in_fp32_modules).isdisjoint(name.split("."))
