"""The queue of jobs, and the devices that carry them: one job at a time each, or a few alike as one batch.

The queue is ours and not Gradio's, whose cancel frees a place while the cancelled function still computes: here the
next job starts only when a device is really free. Jobs of one kind that wait together are done together where that
makes more videos an hour (`humo.space.jobs.batching`), in the order of their coming.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from humo.space.jobs.job import Job, Model, Phase, Run, Stopped, Task
from humo.space.turns import Turns

logger = logging.getLogger(__name__)
_END = object()


class JobQueue:
    """Carries jobs, first come, first served.

    Args:
        model: with which they are done.
        run: how a task is run.
        places: jobs, or batches of them, at a time.
        most_together: the largest batch of which a task may be part; asked once the model is there.
        turns: taken for each step, where something live shares the device.
    """

    def __init__(
        self,
        model: Model,
        run: Run,
        places: int = 1,
        most_together: Callable[[Task], int] = lambda task: 1,
        turns: Turns | None = None,
    ) -> None:
        self._model, self._run, self._places, self._most_together = model, run, places, most_together
        self._turns = turns
        self._waiting: list[Job] = []
        self._busy = self._sharing = 0
        self._on_busy: Callable[[bool], None] = lambda is_busy: None
        self._lock = threading.Lock()

    def watch(self, on_busy: Callable[[bool], None]) -> None:
        """Tell somebody, now and at every change, whether a device is at work; at once, for no job begins before."""
        with self._lock:
            self._on_busy = on_busy
            on_busy(self._busy > 0 or self.is_shared)

    @property
    def is_shared(self) -> bool:
        """Whether something live shares the device."""
        return self._sharing > 0

    def share(self, is_beginning: bool) -> None:
        """Take note that something live begins to share the device, or ends: the device is at work meanwhile."""
        with self._lock:
            self._sharing += 1 if is_beginning else -1
            self._on_busy(self._busy > 0 or self.is_shared)

    def join(self, job: Job) -> None:
        """Let a job wait for its turn, or begin at once."""
        job.on_stop = self._leave
        with self._lock:
            self._waiting.append(job)
            if self._busy < self._places:  # its thread ends when nobody waits
                self._busy += 1
                self._on_busy(True)
                threading.Thread(target=self._carry_all, name="device", daemon=True).start()
            else:
                job.update(position=len(self._waiting))

    def _leave(self, job: Job) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                job.update(phase=Phase.STOPPED)
                self._tell_positions()

    def _tell_positions(self) -> None:
        for index, job in enumerate(self._waiting):
            if job.progress.position != index + 1:
                job.update(position=index + 1)

    def _carry_all(self) -> None:
        while (job := self._next()) is not None:
            job.context.copy().run(self._carry, job)

    def _next(self) -> Job | None:
        with self._lock:
            if not self._waiting:
                self._busy -= 1
                if self._busy == 0 and not self.is_shared:
                    self._on_busy(False)
                return None
            job = self._waiting.pop(0)
            self._tell_positions()
        return job

    def _carry(self, first: Job) -> None:
        jobs = [first]
        try:
            first.begin()
            self._model.get(lambda: first.is_stopped)
            jobs += self._others(first)
            for job in jobs:
                job.prepare(len(jobs) - 1)
            self._follow(jobs)
            for job in jobs:
                job.fail("the video's process ended before the video was made: please try again.")
        except Stopped:
            for job in jobs:
                job.update(phase=Phase.STOPPED)
        except ValueError as error:
            for job in jobs:
                job.fail(str(error))
        except Exception:  # must reach the visitors as a sentence, and the log in full
            logger.exception("a job failed")
            for job in jobs:
                job.fail("Something went wrong on the server, its log says what: please try again.")

    def _others(self, first: Job) -> list[Job]:
        """The waiting jobs that go with one, no longer waiting."""
        most = self._most_together(first.task) - 1
        if most < 1 or first.batch_key is None:
            return []
        with self._lock:
            waiting = list(self._waiting)
        alike = [job for job in waiting if job.batch_key == first.batch_key]  # not under the lock: it may read a file
        with self._lock:
            alike = [job for job in alike if job in self._waiting][:most]
            self._waiting = [job for job in self._waiting if job not in alike]
            for job in alike:
                job.begin()
            self._tell_positions()
        return alike

    def _follow(self, jobs: Sequence[Job]) -> None:
        """Run their tasks and hand each what it is told, until all are over or stopped."""
        tasks: list[Any] = [job.task for job in jobs]
        values = self._run(tasks[0] if len(tasks) == 1 else tasks[0].as_batch(tasks[1:]))
        try:
            for value in self._in_turns(values):
                if all(job.is_stopped or job.is_over for job in jobs):
                    raise Stopped
                for job, update in zip(jobs, _each(value, len(jobs)), strict=True):
                    job.take(update)
        finally:
            values.close()

    def _in_turns(self, values: Iterator[Any]) -> Iterator[Any]:
        """Values, each computed in a turn of its own."""
        while True:
            with nullcontext() if self._turns is None else self._turns.patient():
                value = next(values, _END)
            if value is _END:
                return
            yield value


def _each(value: Any, count: int) -> tuple[Any, ...]:
    """What each of a batch is told; of one alone it is told as it is."""
    return value if count > 1 else (value,)
