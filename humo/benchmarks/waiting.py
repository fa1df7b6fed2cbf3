"""What visitors of the page wait for: one for a job, and several for one another, in the page's own line.

A job is followed as the page follows it, each view drawn, but without what Gradio does with it. The model is loaded in
a thread that ends, and jobs are made in threads that end, as on the page: once two threads of a process have had
PyTorch compute, OpenMP counts more threads than cores and lets all of them sleep at every operation. So the thread that
measures must not have computed before. All of it is ours.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import soundfile
import torch

from humo.benchmarks.clip import example_inputs
from humo.benchmarks.instruments import now
from humo.layers.decoding import OnFrames
from humo.pipeline import HuMoPipeline
from humo.requests.call import Call, HuMoPipelineOutput
from humo.sampling import StepState
from humo.space.jobs.batching import Batches
from humo.space.jobs.job import Job, Model, Moment
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.page import html
from humo.space.page.events.generating import follow
from humo.space.temporary import DiskQuota
from humo.system.tables import markdown_table
from humo.system.threads import adjust_threads, begin_threads

WAITING = (1, 2, 4, 8)
BATCH = 4
ROUNDS = 2
TURNS = 5
FORMS = ("full quality", "quick look")


@dataclass(frozen=True, slots=True)
class JobTimes:
    """What the visitor of a job waits for.

    Attributes:
        form: of `FORMS`.
        alone: seconds of a step where the pipeline alone makes the video.
        step: seconds of a step of the job, its previews and its progress included.
        first_preview: seconds from the start of the job to its first preview.
        ending: seconds from the last step to the finished file.
    """

    form: str
    alone: float
    step: float
    first_preview: float
    ending: float

    @property
    def ratio(self) -> float:
        """A step of the job, a step alone = 1."""
        return self.step / self.alone


@dataclass(frozen=True, slots=True)
class WaitingTimes:
    """One measurement.

    Attributes:
        form: of `FORMS`.
        batch: videos made together at the most.
        waiting: jobs that wait when the device becomes free.
        mean: seconds until a job is done, over all of them.
        last: seconds until all are.
    """

    form: str
    batch: int
    waiting: int
    mean: float
    last: float

    @property
    def per_minute(self) -> float:
        """Videos a minute."""
        return 60 * self.waiting / self.last


@dataclass(frozen=True)
class _Hold:
    """A task that keeps the device busy until it is let go."""

    is_free: threading.Event

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> bool:
        return self.is_free.wait(60)

    def seconds(self, pipe: HuMoPipeline) -> float:
        return 0.0


@dataclass(frozen=True)
class _Alone:
    """A task that makes a video, shows nothing and writes nothing."""

    request: VideoRequest

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> bool:
        pipe = self.request.made_by(pipe)
        begin_threads()
        pipe.generate_batch([self.request.read(pipe)], lambda state: adjust_threads())
        return True

    def seconds(self, pipe: HuMoPipeline) -> float:
        return 0.0


def measure_jobs(
    model: Model, seconds: float = 2.0, num_inference_steps: int | None = None, turns: int = TURNS
) -> list[list[JobTimes]]:
    """Time a video as a job of the page, and in turn as the pipeline alone makes it, in a thread as a job is.

    Args:
        model: loads the pipeline; with its fast form in place quick looks are timed as well.
        seconds: of each video.
        num_inference_steps: 2 or more; None for each form's own.
        turns: how often each is timed; another goes before, to warm up.

    Returns:
        Those of each form.

    Raises:
        ValueError: if there is one step only.
    """
    measured: list[list[JobTimes]] = []
    with tempfile.TemporaryDirectory(prefix="humo-jobs-") as folder:
        request = replace(_request(Path(folder), seconds), num_inference_steps=num_inference_steps)
        manager, pipe = JobManager(model, DiskQuota(Path(folder), 1 << 30)), model.get()
        for form in _forms(pipe):
            asked = replace(request, is_fast=form == FORMS[1])
            measured.append([_time_job(manager, pipe, asked) for _ in range(turns + 1)][1:])
    return measured


def describe_jobs(measured: Sequence[Sequence[JobTimes]]) -> str:
    """A table in markdown of medians; the ratio's is of the turns' own ratios."""
    head = ("video", "step alone, ms", "step of a job, ms", "ratio", "first preview, s", "last step to file, s")
    return markdown_table(
        head,
        (
            (
                turns[0].form,
                f"{1000 * median(each.alone for each in turns):.0f}",
                f"{1000 * median(each.step for each in turns):.0f}",
                f"{median(each.ratio for each in turns):.2f}",
                f"{median(each.first_preview for each in turns):.2f}",
                f"{median(each.ending for each in turns):.2f}",
            )
            for turns in measured
        ),
    )


def measure_waiting(
    model: Model,
    waiting: Sequence[int] = WAITING,
    batch: int = BATCH,
    seconds: float = 2.0,
    rounds: int = ROUNDS,
) -> list[WaitingTimes]:
    """Let jobs of equal shape wait, and time them: one after the other, and as batches.

    Args:
        model: loads the pipeline; with its fast form in place quick looks are timed as well.
        waiting: how many at a time.
        batch: the largest one.
        seconds: of each video.
        rounds: of all of it, of which the fastest counts for each number of jobs, for a machine has slower minutes.
    """
    asked_for = [
        (form, count, most)
        for form in _forms(model.get())
        for count in waiting
        for most in ((1,) if count == 1 else (1, batch))
    ]
    fastest: dict[tuple[str, int, int], WaitingTimes] = {}
    with tempfile.TemporaryDirectory(prefix="humo-waiting-") as folder:
        request = _request(Path(folder), seconds)
        for _ in range(rounds):
            for form, count, most in asked_for:
                asked = replace(request, is_fast=form == FORMS[1])
                manager = JobManager(model, DiskQuota(Path(folder), 1 << 30), batches=Batches(most, most))
                times = _time(manager, asked, count)
                measured = WaitingTimes(form, min(most, count), count, fmean(times), max(times))
                fastest[form, count, most] = min(measured, fastest.get((form, count, most), measured), key=_last)
    return [fastest[each] for each in asked_for]


def _last(times: WaitingTimes) -> float:
    return times.last


def describe_waiting(measured: Sequence[WaitingTimes]) -> str:
    """A table in markdown."""
    head = ("video", "waiting", "made together", "videos a minute", "mean wait, s", "all done, s")
    return markdown_table(
        head,
        (
            (each.form, each.waiting, each.batch, f"{each.per_minute:.0f}", f"{each.mean:.1f}", f"{each.last:.1f}")
            for each in measured
        ),
    )


def _forms(pipe: HuMoPipeline) -> tuple[str, ...]:
    return FORMS[: 1 if pipe.fast_form is None else 2]


def _request(folder: Path, seconds: float) -> VideoRequest:
    given = example_inputs(seconds)
    given["image"].save(folder / "picture.png")
    soundfile.write(folder / "voice.wav", *given["audio"])
    images, audio = (folder / "picture.png",), folder / "voice.wav"
    return VideoRequest(prompt=given["prompt"], images=images, audio=audio, seed=0, as_is=True)


def _time(manager: JobManager, request: VideoRequest, count: int) -> list[float]:
    """Seconds until each of so many jobs is done, from the moment in which the device becomes free for them."""
    is_free = threading.Event()
    manager.start("before", _Hold(is_free))
    jobs = [manager.start(str(number), MakeVideo(request, manager.new_path("clip"))) for number in range(count)]
    times = [0.0] * count

    def wait(number: int, job: Job) -> None:
        job.join()
        times[number] = time.perf_counter() - start

    threads = [threading.Thread(target=wait, args=pair) for pair in enumerate(jobs)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    is_free.set()
    for thread in threads:
        thread.join()
    if errors := [job.progress.error for job in jobs if job.progress.error]:
        raise ValueError(errors[0])
    return times


def _time_job(manager: JobManager, pipe: HuMoPipeline, request: VideoRequest) -> JobTimes:
    form = request.made_by(pipe)
    with _noting_steps(form) as at:
        if error := manager.start("anybody", _Alone(request)).join().error:
            raise ValueError(error)
    alone = _step_of(at)
    first_preview: float | None = None
    with _noting_steps(form) as at:
        start = time.perf_counter()
        for progress in follow(manager.start("anybody", MakeVideo(request, manager.new_path("clip")))):
            html.stage(progress)
            if first_preview is None and progress.preview is not None:
                first_preview = time.perf_counter() - start
    end = time.perf_counter()
    return JobTimes(FORMS[request.is_fast], alone, _step_of(at), first_preview or end - start, end - at[-1])


@contextlib.contextmanager
def _noting_steps(pipe: HuMoPipeline) -> Iterator[list[float]]:
    """The moments in which its network is done with a step, before anybody is told; the pipeline's own otherwise."""
    at: list[float] = []
    make, device = pipe.generate_batch, torch.device(pipe.device)

    def generate_batch(
        calls: Sequence[Call], on_step: Callable[[StepState], None], on_frames: Sequence[OnFrames] | None = None
    ) -> list[HuMoPipelineOutput]:
        def note(state: StepState) -> None:
            at.append(now(device))
            on_step(state)

        return make(calls, note, on_frames)

    setattr(pipe, "generate_batch", generate_batch)  # noqa: B010 (mypy allows no assignment to a method)
    try:
        yield at
    finally:
        delattr(pipe, "generate_batch")


def _step_of(at: Sequence[float]) -> float:
    """Seconds of a step, the mean from the first one's end to the last one's."""
    if len(at) < 2:
        raise ValueError("a step is timed from the end of the one before it: ask for 2 or more.")
    return (at[-1] - at[0]) / (len(at) - 1)
