"""The visitors' jobs: one each, all in one line, and the folder of the files they write."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from humo.space.jobs.batching import Batches
from humo.space.jobs.job import Job, Model, Progress, Run, Task, moments_of
from humo.space.jobs.queue import JobQueue
from humo.space.temporary import DiskQuota
from humo.space.turns import Turns

MAX_JOBS = 10
"""Jobs at a time for each place, the running ones and those that wait."""


class JobManager:
    """Starts and stops the jobs of all visitors.

    Attributes:
        quota: of the folder for the videos.
        max_jobs: at a time, the running ones and those that wait.
    """

    def __init__(
        self,
        model: Model,
        quota: DiskQuota,
        run: Run | None = None,
        places: int = 1,
        batches: Batches | None = None,
    ) -> None:
        """Set up without loading anything.

        Args:
            model: makes the videos.
            quota: for the videos.
            run: how a task is run; by default here, with the model.
            places: tasks run at a time.
            batches: the largest ones; by default what pays off with the model.
        """
        self.quota = quota
        self._model, self._batches, self.max_jobs = model, batches, MAX_JOBS * places
        self.turns = Turns() if run is None else None
        """Of the device here, which something live may share; None where others do the work."""
        self._queue = JobQueue(model, run or moments_of(model), places, self._most_together, self.turns)
        self._jobs: dict[str | None, Job] = {}
        self._lock = threading.Lock()

    def start(self, visitor: str | None, task: Task) -> Job:
        """Queue a visitor's task.

        Args:
            visitor: whose it is; each has one job at a time, and a quick look gives way to the next one.
            task: what to do.

        Raises:
            ValueError: in one sentence, if this visitor's job or too many others are under way.
        """
        while True:
            with self._lock:
                last = self._find_place(visitor)
                if last is None:
                    job = Job(task)
                    self._jobs[visitor] = job
                    self._queue.join(job)
                    return job
            last.end()  # at the most a step; a look that begins meanwhile ends as well

    def _find_place(self, visitor: str | None) -> Job | None:
        """The quick look that has to end first, if any.

        Raises:
            ValueError: if there is no place also after it.
        """
        self._jobs = {key: job for key, job in self._jobs.items() if not job.is_over}
        last = self._jobs.get(visitor)
        if last is not None and not last.is_preemptible:
            raise ValueError("Your last video is still being made: wait for it, or press Stop.")
        others = len(self._jobs) - (last is not None)
        if others >= self.max_jobs:
            raise ValueError(f"{others} videos are already waiting: please try again in a minute.")
        return last

    def look_of(self, visitor: str | None) -> Job | None:
        """A visitor's quick look, if there is one: the next job of the same visitor ends it."""
        with self._lock:
            last = self._jobs.get(visitor)
        return last if last is not None and last.is_preemptible else None

    def run_own(self, task: Task) -> Progress:
        """Do something of the page's own between the visitors' jobs, and wait until it is done."""
        job = Job(task)
        self._queue.join(job)
        return job.join()

    def watch(self, on_busy: Callable[[bool], None]) -> None:
        """Tell somebody, now and at every change, whether a job is being done (`JobQueue.watch`)."""
        self._queue.watch(on_busy)

    def share(self, is_beginning: bool) -> None:
        """Take note that something live begins to share the device, or ends (`JobQueue.share`)."""
        self._queue.share(is_beginning)

    def _most_together(self, task: Task) -> int:
        if self._queue.is_shared:
            return 1  # what is live waits for the end of a step, which must be short
        return (self._batches or Batches.of_pipeline(self._model.get())).most(task)

    def stop(self, visitor: str | None) -> None:
        """Ask a visitor's job, if there is one, to end at its next step; returns at once."""
        with self._lock:
            job = self._jobs.get(visitor)
        if job is not None:
            job.stop()

    def new_path(self, name: str) -> Path:
        """Where to write a video called `name`, without its ending; the oldest files make room."""
        self.quota.make()
        folder = self.quota.folder / secrets.token_urlsafe(16)
        folder.mkdir()
        return folder / f"{name}.mp4"
