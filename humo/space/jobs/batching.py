"""How many waiting videos are made as one batch: as many as gain more throughput than they cost the first visitor.

A batch is done when its last video is, so whoever came first waits longer than alone. A GPU is hardly busy with one of
mini's videos. Two cores are, with a video in full quality; quick looks, whose single steps are short, gain where four
are made together. The published models fill a GPU, and its memory, with one. Measured by
`python -m humo benchmark --waiting`; the choice is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from humo.space.jobs.zerogpu import is_zero_gpu

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.space.jobs.job import Task


@dataclass(frozen=True, slots=True)
class Batches:
    """The largest batches."""

    full: int = 1
    """Videos of full quality."""
    quick: int = 1
    """Quick looks."""

    @classmethod
    def of_pipeline(cls, pipe: HuMoPipeline) -> Batches:
        """Those that pay off with a model on its device."""
        if not pipe.config.batch_branches:  # it is set for small models
            return cls()
        if is_zero_gpu():  # a batch would be made in its first visitor's time
            return cls()
        return cls(quick=4) if pipe.device.type == "cpu" else cls(full=8, quick=8)

    def most(self, task: Task) -> int:
        """The largest one of which a task may be part."""
        return self.quick if getattr(task, "is_preemptible", False) else self.full
