"""One task after the other on one device: jobs that run in threads, tell how far they are, and stop.

The page only looks: it waits for a change of `Job.progress` and shows it. Notable choices (all ours):
- The queue is ours and not Gradio's, whose cancel frees a place while the cancelled function still computes:
  here the next job starts only when the device is really free.
- Stopping sets a flag, which the job reads at every step. Nothing waits for it, for Gradio closes generators on
  its event loop.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from humo.space.accelerator import accelerate, stream

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

logger = logging.getLogger(__name__)
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

    def run(self, pipe: HuMoPipeline, tell: Callable[[Moment], None]) -> Any:
        """Do it. `tell` is to be called after every part; it may raise, and then everything is to end."""

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU, for one that is lent by the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A moment of a job; never changed, only replaced."""

    phase: Phase = Phase.QUEUED
    position: int = 0
    """Jobs before this one."""
    step: int = 0
    """Denoising steps done."""
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


class Device:
    """Something that carries one job at a time, first come, first served."""

    def __init__(self) -> None:
        self._tickets: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, is_stopped: Callable[[], bool], on_position: Callable[[int], None]) -> Iterator[None]:
        """Wait for the turn and hold the device.

        Args:
            is_stopped: asked while waiting.
            on_position: told how many are before, at first and whenever that changes.

        Raises:
            Stopped: if stopped while waiting.
        """
        ticket, told = object(), 0
        with self._changed:
            self._tickets.append(ticket)
        try:
            while True:
                with self._changed:
                    position = self._tickets.index(ticket)
                    if position and not is_stopped():
                        self._changed.wait(0.2)
                if is_stopped():
                    raise Stopped
                if position == 0:
                    break
                if position != told:
                    on_position(position)
                told = position
            yield
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()


class Model:
    """A pipeline that is loaded once, in the background, and tried again if loading failed."""

    def __init__(self, load: Callable[[], HuMoPipeline]) -> None:
        self._load = load
        self._pipe: HuMoPipeline | None = None
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
    """A task on its way, in a thread of its own."""

    def __init__(self, task: Task, model: Model, device: Device, run: Run | None = None) -> None:
        """Prepare a job; `start` starts it.

        Args:
            task: what to do.
            model: with which it is done.
            device: where; shared by all jobs.
            run: how a task is run; by default `moments_of` the model.
        """
        self.progress = Progress()
        self._task, self._model, self._device = task, model, device
        self._run_task = run or moments_of(model)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._started_at = self._first_step_at = time.monotonic()

    def start(self) -> None:
        """Go to the end of the queue."""
        # In the visitor's context: ZeroGPU reads from it whose quota a call takes.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run,), name="job", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end at its next step; returns at once."""
        self._stop.set()

    @property
    def gives_way(self) -> bool:
        """Whether the next job of the same visitor may end this one."""
        return getattr(self._task, "gives_way", False)

    def end(self) -> None:
        """Stop the job and wait until it is over."""
        self.stop()
        with self._changed:
            self._changed.wait_for(lambda: self.progress.phase.is_over)

    def wait(self, seen: Progress | None, timeout: float) -> Progress:
        """The current progress, as soon as it is another than `seen`.

        After `timeout` seconds without news only its clock has moved on.
        """
        with self._changed:
            has_news = self._changed.wait_for(lambda: self.progress is not seen, timeout)
            if not has_news and not self.progress.phase.is_over:
                self.progress = self._later()
            return self.progress

    def _later(self) -> Progress:
        elapsed, left = time.monotonic() - self._started_at, self.progress.seconds_left
        if left is not None:
            left = max(0.0, left - (elapsed - self.progress.elapsed))
        return replace(self.progress, elapsed=elapsed, seconds_left=left)

    def _tell(self, **changes: object) -> None:
        with self._changed:
            self.progress = replace(self._later(), **changes)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with self._device.turn(self._stop.is_set, lambda position: self._tell(position=position)):
                self._started_at = time.monotonic()
                self._tell(phase=Phase.LOADING, position=0)
                self._model.get(self._stop.is_set)
                self._tell(phase=Phase.PREPARING, loading=time.monotonic() - self._started_at)
                result = self._do()
            self._tell(phase=Phase.DONE, result=result, seconds_left=0.0)
        except Stopped:
            self._tell(phase=Phase.STOPPED)
        except ValueError as error:
            self._tell(phase=Phase.FAILED, error=str(error))
        except Exception:  # must reach the visitor as a sentence, and the log in full
            logger.exception("a job failed")
            self._tell(
                phase=Phase.FAILED,
                error="Something went wrong on the server, its log says what: please try again.",
            )

    def _do(self) -> Any:
        values = self._run_task(self._task)
        try:
            for value in values:
                if self._stop.is_set():
                    raise Stopped
                if not isinstance(value, Moment):
                    return value
                self._show(value)
        finally:
            values.close()
        raise ValueError("the video's process ended before the video was made: please try again.")

    def _show(self, moment: Moment) -> None:
        now = time.monotonic()
        if moment.step <= 1:  # encoding came before it, so it says nothing about the others
            self._first_step_at, per_step = now, None
        else:
            per_step = (now - self._first_step_at) / (moment.step - 1)
        is_last = moment.step == moment.num_steps
        self._tell(
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
        yield from stream(lambda tell: task.run(model.get(), tell))

    return accelerate(moments, lambda task: task.seconds(model.get()))
