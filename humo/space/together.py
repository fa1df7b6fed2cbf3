"""How many waiting videos are made as one batch: as many as gain more throughput than they cost the first visitor.

A batch is done when its last video is, so whoever came first waits longer than alone. A GPU is hardly busy with one of
mini's videos. Two cores are, with a video in full quality; quick looks, whose single steps are short, gain a quarter
when four are made together. The published models fill a GPU, and its memory, with one. Measured by
`python -m humo benchmark --waiting`; the choice is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.space.jobs import Task

ON_GPU, QUICK_LOOKS_ON_CPU = 8, 4


def count_together(task: Task, pipe: HuMoPipeline) -> int:
    """The largest batch of which a task may be part.

    Args:
        task: of the first in the line.
        pipe: what makes it.
    """
    if not pipe.config.batch_branches:  # it is set for small models
        return 1
    if pipe.device.type != "cpu":
        return ON_GPU
    return QUICK_LOOKS_ON_CPU if getattr(task, "gives_way", False) else 1
