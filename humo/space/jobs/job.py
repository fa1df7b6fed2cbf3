"""What visitors ask for, as jobs: they report how far they are, and stop.

The page only looks: it waits for a change of `Job.progress` and shows it. Stopping sets a flag, which is read at every
step; nothing waits for it, for Gradio closes generators on its event loop. All ours.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from PIL import Image

from humo.space.jobs.zerogpu import accelerate, stream

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

Run = Callable[["Task"], Generator[Any]]
"""A generator function: yields a task's moments, then its result."""


class Stopped(Exception):  # noqa: N818 (a wish, not an error)
    """Ends a job."""


class Phase(Enum):
    """Where a job is."""

    QUEUED = "queued"
    LOADING = "loading"
    PREPARING = "preparing"
    DENOISING = "denoising"
    FINISHING = "finishing"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self in (Phase.DONE, Phase.STOPPED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a task tells while it runs; can be pickled, for on ZeroGPU it comes from another process."""

    step: int
    """Parts done: denoising steps, or whatever the task counts."""
    num_steps: int
    words: str = ""
    """What is being done, where it is not a denoising step."""
    preview: Image.Image | None = None
    """A picture of what there is so far; None leaves the last one."""


class Task(Protocol):
    """What a job does with the model: a video, a look inside one, a comparison. Can be pickled, its result as well."""

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Any:
        """Do it. `report` is to be called after every part; it may raise, and then everything is to end."""

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU, for one that is lent by the second."""


@runtime_checkable
class Batchable(Protocol):
    """A task that others of its kind can be done with."""

    @property
    def batch_key(self) -> Hashable:
        """Equal for tasks that fit together; None if it fits none."""

    def as_batch(self, others: Sequence[Task]) -> Task:
        """This one and others as one task, which tells tuples: each one's moment, result or `ValueError`, or None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A moment of a job; never changed, only replaced."""

    phase: Phase = Phase.QUEUED
    position: int = 0
    """Jobs before this one."""
    step: int = 0
    """Parts done: denoising steps, where nothing else is said in `words`."""
    num_steps: int = 0
    words: str = ""
    """What is being done, where it is not a denoising step."""
    seconds_left: float | None = None
    """Estimate, None while unknown."""
    elapsed: float = 0.0
    """Seconds since the device was free for this job."""
    loading: float = 0.0
    """Seconds of them that went into waiting for the model."""
    preview: Image.Image | None = None
    result: Any = None
    """What the task returned, once the job is done."""
    error: str | None = None
    """One sentence, if the job failed."""
    num_others: int = 0
    """Jobs of others that are done together with this one, as one batch."""


class Model:
    """A pipeline that is loaded once, in the background, and tried again if loading failed."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._pipe: Any = None
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start_loading(self) -> None:
        """Load in a thread of its own, unless that is done or under way."""
        with self._lock:
            if self._pipe is None and (self._thread is None or not self._thread.is_alive()):
                self._error = None
                self._thread = threading.Thread(target=self._run, name="load", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            self._pipe = self._load()
        except Exception as error:  # raised again, in the thread of whoever asks for the pipeline
            self._error = error

    def get(self, is_stopped: Callable[[], bool] = lambda: False) -> HuMoPipeline:
        """The pipeline, waiting for it if need be.

        Raises:
            Stopped: if stopped while waiting.
            ValueError: as the loader says, in one sentence.
        """
        self.start_loading()
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.2)
            if is_stopped():
                raise Stopped
        if self._error is not None:
            raise self._error
        return self._pipe


class Job:
    """A task on its way; `humo.space.jobs.queue.JobQueue` carries it."""

    def __init__(self, task: Task) -> None:
        """Prepare a job; it begins when it joins a queue.

        Args:
            task: what to do.
        """
        self.task, self.progress = task, Progress()
        self.context = contextvars.copy_context()  # the visitor's: ZeroGPU reads from it whose quota a call takes
        self.on_stop: Callable[[Job], None] = lambda job: None
        """Told when somebody stops it."""
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._started_at = self._first_step_at = time.monotonic()

    def stop(self) -> None:
        """Ask the job to end, at its next step if it is at work; returns at once."""
        self._stop.set()
        self.on_stop(self)

    @property
    def is_stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.progress.phase.is_over

    @property
    def is_preemptible(self) -> bool:
        """Whether the next job of the same visitor may end this one."""
        return getattr(self.task, "is_preemptible", False)

    @cached_property
    def batch_key(self) -> Hashable:
        """Equal for jobs that can be done together; None for one that cannot. May read a file, once."""
        return self.task.batch_key if isinstance(self.task, Batchable) else None

    def end(self) -> None:
        """Stop the job and wait until it is over."""
        self.stop()
        self.join()

    def join(self) -> Progress:
        """Wait until the job is over; returns its last progress."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over)
            return self.progress

    def wait(self, seen: Progress | None, timeout: float, pause: float = 0.0) -> Progress:
        """The current progress, as soon as it is another than `seen`.

        Args:
            seen: the last one that was told, None before the first.
            timeout: seconds after which only its clock has moved on, if there is no news.
            pause: seconds in which only another phase counts as news; the clock goes on meanwhile.
        """
        with self._changed:
            if seen is not None and pause > 0:
                self._changed.wait_for(lambda: self.progress.phase is not seen.phase, pause)
            has_news = self._changed.wait_for(lambda: self.progress is not seen, max(0.0, timeout - pause))
            if (not has_news or pause > 0) and not self.is_over:
                self.progress = self._later()
            return self.progress

    def update(self, **changes: Any) -> None:
        """Change its progress; of a job that is over nothing changes any more."""
        with self._changed:
            if not self.is_over:
                self.progress = replace(self._later(), **changes)
                self._changed.notify_all()

    def begin(self) -> None:
        """Take note that the device is free for it."""
        self._started_at = time.monotonic()
        self.update(phase=Phase.LOADING, position=0)

    def prepare(self, num_others: int) -> None:
        """Take note that the model is there, and that so many others are done together with it."""
        self.update(phase=Phase.PREPARING, loading=time.monotonic() - self._started_at, num_others=num_others)

    def take(self, value: Any) -> None:
        """Take what its task tells: a moment, at last a result, or the error of a task that has company."""
        if self.is_stopped:
            self.update(phase=Phase.STOPPED)
        elif isinstance(value, Moment):
            self._show(value)
        elif isinstance(value, ValueError):
            self.fail(str(value))
        elif value is not None:
            self.update(phase=Phase.DONE, result=value, seconds_left=0.0)

    def fail(self, error: str) -> None:
        """End with a sentence."""
        self.update(phase=Phase.FAILED, error=error)

    def _later(self) -> Progress:
        elapsed, left = time.monotonic() - self._started_at, self.progress.seconds_left
        if left is not None:
            left = max(0.0, left - (elapsed - self.progress.elapsed))
        return replace(self.progress, elapsed=elapsed, seconds_left=left)

    def _show(self, moment: Moment) -> None:
        now = time.monotonic()
        if moment.step <= 1:  # encoding came before it, so it says nothing about the others
            self._first_step_at, per_step = now, None
        else:
            per_step = (now - self._first_step_at) / (moment.step - 1)
        is_last = moment.step == moment.num_steps
        self.update(
            phase=Phase.FINISHING if is_last else Phase.DENOISING,
            step=moment.step,
            num_steps=moment.num_steps,
            words=moment.words,
            seconds_left=None if per_step is None else per_step * (moment.num_steps - moment.step),
            preview=moment.preview or self.progress.preview,
        )


def moments_of(model: Model) -> Run:
    """How a task is run here: its moments one after the other, and at last its result."""

    def moments(task: Task) -> Generator[Any]:
        yield from stream(lambda report: task.run(model.get(), report))

    return accelerate(moments, lambda task: task.seconds(model.get()))
