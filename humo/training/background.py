"""Batches made by one background process while the step before still learns. Ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

from humo.system.processes import follow_parent

S = TypeVar("S")
R = TypeVar("R")
_AHEAD = 3


def prefetch(make: Callable[[int, S], R], first: int, settings: S) -> Generator[R]:
    """What `make(step, settings)` gives for the steps from `first` on, without an end.

    The process has one thread: a forked one that asked for more would wait for a thread pool that it has not got.

    Args:
        make: a function of a module; its results travel between processes, so they are arrays, not tensors.
        first: number of the first step.
        settings: for `make`.
    """
    with ProcessPoolExecutor(1, initializer=begin_alone) as maker:
        queue = [maker.submit(make, first + ahead, settings) for ahead in range(_AHEAD)]
        for step in itertools.count(first + _AHEAD):
            yield queue.pop(0).result()
            queue.append(maker.submit(make, step, settings))


def begin_alone() -> None:
    """Begins a process of one thread, which ends with its parent."""
    follow_parent()
    torch.set_num_threads(1)
