"""Instruments: seconds of module calls, floating-point operations and rates, peak memory.

All of this file is ours.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

MIB = 2**20


@dataclass(slots=True)
class Stopwatch:
    """Seconds of each call of the modules that it watches.

    On a GPU every call waits for the device first and last, so that its time is its own; the sum is then a
    little more than an unwatched run takes.
    """

    device: torch.device
    """Where the modules run."""
    calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds by part, one entry a call."""
    inputs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Arguments by part and name, one entry a call."""

    @contextlib.contextmanager
    def watch(self, parts: dict[str, nn.Module]) -> Iterator[Stopwatch]:
        """Times every call of the given modules, by part name, until the block ends."""
        handles = []
        for name, module in parts.items():
            started: list[float] = []
            before = functools.partial(self._before, name, started)
            after = functools.partial(self._after, name, started)
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, name: str, started: list[float], module: nn.Module, args: tuple, kwargs: dict) -> None:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        self.inputs[name].append(bound.arguments)
        started.append(now(self.device))

    def _after(self, name: str, started: list[float], module: nn.Module, args: tuple, output: Any) -> None:
        self.calls[name].append(now(self.device) - started.pop())


def now(device: torch.device) -> float:
    """Seconds on a clock that never goes back, the device's queue worked off."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matmul_rate(rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of a matrix product, the best of several tries within half a second.

    Args:
        rows, inner, columns: sizes of the product (rows, inner) x (inner, columns).
        dtype: number format.
        device: where to multiply.

    Returns:
        Operations a second; a multiplication with its addition counts as two.
    """
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    best, end = float("inf"), time.perf_counter() + 0.5
    torch.mm(left, right)
    while time.perf_counter() < end:
        start = now(device)
        torch.mm(left, right)
        best = min(best, now(device) - start)
    return 2.0 * rows * inner * columns / best


def count_flops(call: Callable[[], Any]) -> int:
    """Floating-point operations of a call, those of attention included.

    Attention runs as plain matrix products while it is counted: PyTorch's counter does not know the fused
    kernel that a CPU uses and would take it for free.
    """
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def peak_memory() -> float | None:
    """Peak memory of this process in MiB, or None on Windows, which keeps no such figure."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere
