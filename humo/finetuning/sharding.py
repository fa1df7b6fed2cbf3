"""Tensors that FSDP splits over processes: put together one at a time, and split again.

Nothing larger than one file's share is ever whole in memory: whoever writes asks for tensors in order, and every
process takes part in putting each together.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from humo.loading.published.shards import StoredTensor, write_shards


def write_tensors(tensors: Mapping[str, Tensor], folder: Path, stem: str, is_main: bool) -> None:
    """Writes tensors as safetensors in shards; all processes call it with the same names in the same order.

    Args:
        tensors: by name, whole or split.
        folder: where to.
        stem: beginning of the files' names.
        is_main: whether this process writes; the others help to put the tensors together.
    """
    if is_main:
        mark = secrets.token_hex(8)  # new each time: a shard of an earlier write looks the same but for its values
        write_shards({name: _stored(tensor) for name, tensor in tensors.items()}, folder, stem, mark)
        return
    for tensor in tensors.values():
        whole(tensor)


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, put together from all processes if it is split."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()


@torch.no_grad()
def split_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor that every process holds, on the device of `like` and split as that."""
    if not isinstance(like, DTensor):
        return tensor.to(like)
    mesh = like.device_mesh
    split = distribute_tensor(tensor.to(mesh.device_type, like.dtype), mesh, like.placements)
    return split.to(like.device)


def _stored(tensor: Tensor) -> StoredTensor:
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: whole(tensor))
