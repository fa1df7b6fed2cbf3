"""What several visitors cost one another: jobs that wait in the page's own line, one by one and as batches. Ours."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import soundfile

from humo.benchmarks.clip import example_inputs
from humo.pipeline import HuMoPipeline
from humo.space.jobs.batching import Batches
from humo.space.jobs.job import Job, Model, Moment
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.temporary import DiskQuota
from humo.system.tables import markdown_table

WAITING = (1, 2, 4, 8)
BATCH = 4
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class WaitingTimes:
    """One measurement.

    Attributes:
        form: "full quality" or "quick look".
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


def measure_waiting(
    pipe: HuMoPipeline,
    waiting: Sequence[int] = WAITING,
    batch: int = BATCH,
    seconds: float = 2.0,
    rounds: int = ROUNDS,
) -> list[WaitingTimes]:
    """Let jobs of equal shape wait, and time them: one after the other, and as batches.

    Args:
        pipe: with its fast form in place, if quick looks are to be timed as well.
        waiting: how many at a time.
        batch: the largest one.
        seconds: of each video.
        rounds: of all of it, of which the fastest counts for each number of jobs, for a machine has slower minutes.
    """
    forms = ("full quality", "quick look")[: 1 if pipe.fast_form is None else 2]
    asked_for = [
        (form, count, most) for form in forms for count in waiting for most in ((1,) if count == 1 else (1, batch))
    ]
    fastest: dict[tuple[str, int, int], WaitingTimes] = {}
    with tempfile.TemporaryDirectory(prefix="humo-waiting-") as folder:
        request = _request(Path(folder), seconds)
        for _ in range(rounds):
            for form, count, most in asked_for:
                asked = replace(request, is_fast=form == "quick look")
                manager = JobManager(Model(lambda: pipe), DiskQuota(Path(folder), 1 << 30), batches=Batches(most, most))
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
