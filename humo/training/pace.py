"""How far a training has come: by its steps, or by the minutes that it may take. Ours."""

from __future__ import annotations

import time


class Pace:
    """Progress of a training, from which learning rate and stages follow.

    By steps it is the same on every machine. By minutes it is as long as a lent machine allows: how many steps that
    makes is seen at the end.

    Args:
        first: step at which the training, or its new round, begins.
        steps: step at which it ends; None goes by minutes.
        minutes: that it may take in all.
        spent: seconds that it took before this run.

    Raises:
        ValueError: unless exactly one of steps and minutes is given.
    """

    def __init__(self, first: int, steps: int | None, minutes: float | None = None, spent: float = 0.0) -> None:
        if (steps is None) == (minutes is None):
            raise ValueError("give either the steps at which a training ends or the minutes that it may take.")
        self.first, self.steps, self._minutes = first, steps, minutes or 0.0
        self._begun = time.monotonic() - spent

    @property
    def seconds(self) -> float:
        """That the training has taken so far."""
        return time.monotonic() - self._begun

    def progress(self, step: int) -> float:
        """0..1, at a step."""
        if self.steps is None:
            return min(1.0, self.seconds / (60 * self._minutes))
        return 1.0 if step >= self.steps else (step - self.first) / (self.steps - self.first)

    def is_over(self, step: int) -> bool:
        """Whether the training ends before this step."""
        return self.progress(step) >= 1.0

    def last_step(self, step: int) -> int:
        """The step at which the training ends, or will end if it goes on as until `step`."""
        if self.steps is not None:
            return self.steps
        return self.first + round((step - self.first) / max(self.progress(step), 1e-3))
