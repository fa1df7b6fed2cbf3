"""One video after the other on one device: jobs that run in threads, tell how far they are, and stop.

The page only looks: it waits for a change of `Job.progress` and shows it. Notable choices (all ours):
- The queue is ours and not Gradio's, whose cancel frees a place while the cancelled function still computes:
  here the next job starts only when the device is really free.
- Stopping sets a flag, which the job reads at every step. Nothing waits for it, for Gradio closes generators on
  its event loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from humo.media import write_video
from humo.space.request import VideoRequest

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.sampling import StepState

logger = logging.getLogger(__name__)

SHOWN_SIDE = 512
"""Small results are enlarged by a whole number up to this many pixels, for players blur small videos."""


class Stopped(Exception):  # noqa: N818 (a wish, not an error)
    """Ends a job: also within the pipeline, whose callbacks may raise.

    Not `humo.StopGeneration`, which means the same: importing it takes seconds that the page opens without.
    """


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A finished video."""

    path: Path
    seed: int
    num_frames: int
    seconds: float
    """Length of the video."""
    has_sound: bool
    notes: tuple[str, ...]
    """What the pipeline wants the visitor to know, in sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A moment of a job; never changed, only replaced."""

    phase: Phase = Phase.QUEUED
    position: int = 0
    """Jobs before this one."""
    step: int = 0
    """Denoising steps done."""
    num_steps: int = 0
    seconds_left: float | None = None
    """Estimate, None while unknown."""
    elapsed: float = 0.0
    """Seconds since the device was free for this job."""
    preview: Image.Image | None = None
    result: Result | None = None
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
            on_position: told how many are before.

        Raises:
            Stopped: if stopped while waiting.
        """
        ticket = object()
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
                on_position(position)
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
    """A request on its way to a video, in a thread of its own."""

    def __init__(self, request: VideoRequest, model: Model, device: Device, path: Path) -> None:
        """Prepare a job; `start` starts it.

        Args:
            request: what to make.
            model: what makes it.
            device: where; shared by all jobs.
            path: the mp4 to write.
        """
        self.progress = Progress()
        self._request, self._model, self._device, self._path = request, model, device, path
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._started_at = self._first_step_at = self._previewed_at = time.monotonic()
        self._preview_cost = 0.0

    def start(self) -> None:
        """Go to the end of the queue."""
        threading.Thread(target=self._run, name="job", daemon=True).start()

    def stop(self) -> None:
        """Ask the job to end at its next step; returns at once."""
        self._stop.set()

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
                pipe = self._model.get(self._stop.is_set)
                result = self._generate(pipe)
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

    def _generate(self, pipe: HuMoPipeline) -> Result:
        self._tell(phase=Phase.PREPARING)
        output = self._request.run(pipe, on_step=lambda state: self._on_step(pipe, state))
        if self._stop.is_set():
            raise Stopped
        scale = max(1, SHOWN_SIDE // max(output.frames.shape[1:3]))
        write_video(self._path, output.frames, output.fps, output.audio, output.settings, scale)
        return Result(
            path=self._path,
            seed=output.seed,
            num_frames=len(output.frames),
            seconds=len(output.frames) / output.fps,
            has_sound=output.audio is not None,
            notes=tuple(output.notes),
        )

    def _on_step(self, pipe: HuMoPipeline, state: StepState) -> None:
        if self._stop.is_set():
            raise Stopped
        now, step = time.monotonic(), state.index + 1
        if step == 1:  # encoding came before it, so it says nothing about the others
            self._first_step_at, per_step = now, None
        else:
            per_step = (now - self._first_step_at) / (step - 1)
        is_last = step == state.num_steps
        self._tell(
            phase=Phase.FINISHING if is_last else Phase.DENOISING,
            step=step,
            num_steps=state.num_steps,
            seconds_left=None if per_step is None else per_step * (state.num_steps - step),
            preview=self._preview(pipe, state, is_last),
        )

    def _preview(self, pipe: HuMoPipeline, state: StepState, is_last: bool) -> Image.Image | None:
        """The picture of this step, or the last one where a new one would slow the job by over a tenth."""
        now = time.monotonic()
        if now - self._previewed_at < 10 * self._preview_cost and not is_last:
            return self.progress.preview
        preview = pipe.preview(state.clean)
        self._previewed_at = time.monotonic()
        self._preview_cost = self._previewed_at - now
        return preview
