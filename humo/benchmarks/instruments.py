"""Instruments: seconds of method calls, floating-point operations and rates, peak memory.

All of this file is ours.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

MIB = 2**20


@dataclass(slots=True)
class Stopwatch:
    """Seconds and arguments of each call of the methods that it watches.

    On a GPU every call waits for the device first and last, so that its time is its own; the sum is then a
    little more than an unwatched run takes.
    """

    device: torch.device
    """Where the work is done."""
    calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds by part, one entry a call."""
    inputs: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Arguments by part and name, one entry a call."""

    @contextlib.contextmanager
    def watch(self, parts: dict[str, tuple[object, str]]) -> Iterator[Stopwatch]:
        """Times every call of the given methods until the block ends.

        A module's forward hooks would not do: encoding and decoding of a video codec are plain methods.

        Args:
            parts: owner and method's name by part; the owner gets an attribute of that name for the time.
        """
        for part, (owner, method) in parts.items():
            setattr(owner, method, self._timed(part, getattr(owner, method)))
        try:
            yield self
        finally:
            for owner, method in parts.values():
                delattr(owner, method)

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.inputs[part].append(dict(signature.bind(*args, **kwargs).arguments))
            start = now(self.device)
            output = method(*args, **kwargs)
            self.calls[part].append(now(self.device) - start)
            return output

        return timed


def now(device: torch.device) -> float:
    """Seconds on a clock that never goes back, the device's queue worked off."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matmul_rate(rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of a matrix product, the best of all tries within a second, at least one.

    Args:
        rows, inner, columns: sizes of the product (rows, inner) x (inner, columns).
        dtype: number format.
        device: where to multiply.

    Returns:
        Operations a second; a multiplication with its addition counts as two.
    """
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    best, end = float("inf"), time.perf_counter() + 1.0
    torch.mm(left, right)
    while best == float("inf") or time.perf_counter() < end:  # formats that are emulated take longer than the second
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


def other_load() -> float | None:
    """Programs that wanted a core during the last minute, or None on Windows: timings count only on an idle machine."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory() -> float | None:
    """Peak memory of this process in MiB, or None on Windows, which keeps no such figure."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere
