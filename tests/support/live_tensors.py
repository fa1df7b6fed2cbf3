"""What is alive of tensors while something runs: the measure of the estimates."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that were made inside and are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.peak, self._sizes = 0, 0, {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            self._note(tensor, is_new=False)  # weights and inputs, whose views are no new memory
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            self._note(tensor, is_new=True)
        return output

    def _note(self, tensor: Any, is_new: bool) -> None:
        if not isinstance(tensor, torch.Tensor):
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes() if is_new else 0
        self.bytes += self._sizes[key]
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)


def peak_tensor_bytes(call: Callable[[], Any]) -> int:
    """Most bytes of tensors alive at once during a call, what was there before left out.

    Exact for what PyTorch allocates as tensors, on any device and also on meta, where nothing is computed; scratch
    memory inside of kernels is not seen.
    """
    with _LiveTensors() as live:
        call()
    return live.peak
