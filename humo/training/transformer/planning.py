"""Plans of the coming batches, made by other processes: a GPU asks for more captions than one process writes. Ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from humo.system.processes import follow_parent
from humo.training.transformer.batches import BatchPlan, BatchSettings, plan_batch
from humo.training.transformer.stages import Stage

_AHEAD = 3
"""Plans that wait, for each process."""


class Planner(AbstractContextManager["Planner"]):
    """Plans batches, ahead where it has processes of its own.

    Args:
        tokenizer: of the text encoder.
        settings: how batches are drawn.
        processes: 0 plans in this process, when a plan is asked for.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: BatchSettings, processes: int = 0) -> None:
        self._given = (tokenizer, settings)
        self._ahead = _AHEAD * processes
        self._open = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            pool = ProcessPoolExecutor(processes, get_context("spawn"), _keep, self._given)
            self._open.callback(pool.shutdown, cancel_futures=True)
            self._pool = pool

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def plans(
        self, first: int, seeds: Callable[[], np.ndarray], stage_of: Callable[[int], tuple[Stage, float]]
    ) -> Iterator[tuple[Stage, float, BatchPlan]]:
        """Plans of the steps from `first` on, without an end.

        Args:
            first: number of the first step.
            seeds: gives those of the clips that there are now.
            stage_of: gives a step's stage and its progress within it.

        Yields:
            The stage, the progress within it, and the plan.
        """
        waiting: deque[tuple[Stage, float, Future[BatchPlan] | BatchPlan]] = deque()
        step = first
        while True:
            while len(waiting) <= self._ahead:
                stage, progress = stage_of(step)
                waiting.append((stage, progress, self._plan(seeds(), stage, progress, step)))
                step += 1
            stage, progress, plan = waiting.popleft()
            yield stage, progress, plan.result() if isinstance(plan, Future) else plan

    def _plan(self, seeds: np.ndarray, stage: Stage, progress: float, step: int) -> Future[BatchPlan] | BatchPlan:
        if self._pool is not None:
            return self._pool.submit(_plan_kept, seeds, stage, progress, step)
        tokenizer, settings = self._given
        return plan_batch(seeds, tokenizer, stage, progress, step, settings)


_kept: list[Any] = []


def _keep(tokenizer: PreTrainedTokenizerFast, settings: BatchSettings) -> None:
    follow_parent()
    torch.set_num_threads(1)
    _kept[:] = [tokenizer, settings]


def _plan_kept(seeds: np.ndarray, stage: Stage, progress: float, step: int) -> BatchPlan:
    tokenizer, settings = _kept
    return plan_batch(seeds, tokenizer, stage, progress, step, settings)
