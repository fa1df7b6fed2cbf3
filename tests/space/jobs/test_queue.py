"""The line that jobs wait in: one at a time or several, alone or in company.

Run: python -m pytest tests/space/jobs/test_queue.py
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny
from test_jobs import _follow

from humo.pipeline import HuMoPipeline
from humo.space.jobs.batching import Batches
from humo.space.jobs.job import Job, Model, Moment, Phase, Task
from humo.space.jobs.manager import JobManager
from humo.space.jobs.queue import JobQueue
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo, Result
from humo.space.links.settings import read_settings
from humo.space.temporary import DiskQuota


@dataclass(frozen=True)
class Named:
    """A task of the tests: what it is called and what it goes with."""

    name: str
    batch_key: Hashable = None

    def as_batch(self, others: Sequence[Task]) -> list[Task]:
        return [self, *others]


class Stage:
    """Runs tasks of the tests: each says when it began and goes on when it may."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = threading.Event()
        self._lock = threading.Lock()

    def run(self, task: Any) -> Generator[Any]:
        group = task if isinstance(task, list) else [task]
        with self._lock:
            self.begun.append("+".join(each.name for each in group))
        while True:
            told = tuple(Moment(1, 2) for _ in group)
            yield told if len(group) > 1 else told[0]
            if self.may_end.wait(0.01):
                break
        results = tuple(each.name.upper() for each in group)
        yield results if len(group) > 1 else results[0]

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.begun) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.may_end.set()


def _queue(stage: Stage, places: int = 1, most: int = 1) -> JobQueue:
    return JobQueue(Model(lambda: None), stage.run, places, lambda task: most)


def _join(line: JobQueue, stage: Stage, *tasks: Named) -> list[Job]:
    """Jobs in the line, the first of them at work."""
    jobs = [Job(task) for task in tasks]
    for number, job in enumerate(jobs):
        line.join(job)
        if number == 0:
            stage.wait_for(1)
    return jobs


def test_one_at_a_time_in_the_order_of_their_coming(stage: Stage) -> None:
    jobs = _join(_queue(stage), stage, *(Named(name) for name in "abcd"))
    time.sleep(0.05)
    assert stage.begun == ["a"] and [job.progress.position for job in jobs] == [0, 1, 2, 3]
    jobs[1].stop()
    assert jobs[1].progress.phase is Phase.STOPPED, "at once, for it only waited"
    assert [job.progress.position for job in jobs[2:]] == [1, 2]
    stage.may_end.set()
    assert [_follow(job)[-1].result for job in jobs] == ["A", None, "C", "D"]
    assert stage.begun == ["a", "c", "d"]


def test_several_places_carry_several(stage: Stage) -> None:
    jobs = _join(_queue(stage, places=2), stage, *(Named(name) for name in "abc"))
    stage.wait_for(2)
    assert sorted(stage.begun) == ["a", "b"] and jobs[2].progress.position == 1
    jobs[0].stop()
    stage.wait_for(3)
    assert jobs[0].progress.phase is Phase.STOPPED and stage.begun[2] == "c"


def test_those_of_a_kind_are_done_together(stage: Stage) -> None:
    tasks = [Named("a", 1), Named("b", 2), Named("c", 1), Named("d"), Named("e", 2), Named("f", 2), Named("g", 2)]
    jobs = _join(_queue(stage, most=3), stage, *tasks)
    stage.may_end.set()
    assert [_follow(job)[-1].result for job in jobs] == list("ABCDEFG")
    assert stage.begun == ["a", "b+e+f", "c", "d", "g"], "a came alone; no more than three; what has no kind goes alone"
    assert [job.progress.num_others for job in jobs] == [0, 2, 0, 0, 2, 2, 0]


def test_one_of_a_batch_stops_and_the_others_go_on(stage: Stage) -> None:
    line = _queue(stage, most=3)
    first = _join(line, stage, Named("x"))[0]
    jobs = [Job(Named(name, 1)) for name in "abc"]
    for job in jobs:
        line.join(job)
    first.stop()
    stage.wait_for(2)
    jobs[0].stop()
    assert _follow(jobs[0])[-1].phase is Phase.STOPPED, "though it leads them"
    assert not any(job.is_over for job in jobs[1:])
    jobs[1].stop(), jobs[2].stop()
    assert all(_follow(job)[-1].phase is Phase.STOPPED for job in jobs)
    assert stage.begun == ["x", "a+b+c"]


def test_an_error_of_all_reaches_each(stage: Stage) -> None:
    def fail(task: Any) -> Generator[Any]:
        yield from ()
        raise ValueError("no such thing.")

    line = JobQueue(Model(lambda: None), fail, 1, lambda task: 3)
    jobs = [Job(Named(name, 1)) for name in "ab"]
    for job in jobs:
        line.join(job)
    assert [_follow(job)[-1].error for job in jobs] == ["no such thing."] * 2


def test_a_task_that_only_ends_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    def nothing(task: Any) -> Generator[Any]:
        yield from ()

    def break_(task: Any) -> Generator[Any]:
        yield from ()
        raise RuntimeError("a secret")

    for run, words in ((nothing, "ended before"), (break_, "Something went wrong on the server")):
        job = Job(Named("a"))
        JobQueue(Model(lambda: None), run).join(job)
        assert words in _follow(job)[-1].error and "secret" not in job.progress.error
    assert "a secret" in caplog.text


# The real thing


@pytest.fixture
def manager(mini_pipeline: HuMoPipeline, tmp_path: Path) -> JobManager:
    return JobManager(Model(lambda: mini_pipeline), DiskQuota(tmp_path, 1 << 30), batches=Batches(4, 4))


def _start_behind_another(manager: JobManager, requests: Sequence[VideoRequest]) -> tuple[Job, list[Job]]:
    long = VideoRequest(prompt="a man talks", num_frames=97, num_inference_steps=200, seed=1)
    first = manager.start("first", MakeVideo(long, manager.new_path("first")))
    while first.progress.step < 1:
        time.sleep(0.01)
    paths = [manager.new_path(f"film-{number}") for number in range(len(requests))]
    tasks = [MakeVideo(request, path) for request, path in zip(requests, paths, strict=True)]
    return first, [manager.start(f"visitor {number}", task) for number, task in enumerate(tasks)]


def test_waiting_videos_of_equal_shape_are_made_as_one_batch(manager: JobManager, tmp_path: Path) -> None:
    for number, seconds in enumerate((0.60, 0.62)):  # fifteen frames both, of which thirteen are made
        soundfile.write(tmp_path / f"{number}.wav", *tiny.voice(seconds))
    request = VideoRequest(prompt="a woman talks", num_inference_steps=3)
    requests = [
        replace(request, audio=tmp_path / "0.wav", seed=5),
        replace(request, audio=tmp_path / "1.wav", seed=6, prompt="a man with a hat talks"),
        replace(request, num_frames=17, seed=7),
    ]
    first, jobs = _start_behind_another(manager, requests)
    first.stop()
    results: list[Result] = [_follow(job)[-1].result for job in jobs]
    assert [job.progress.num_others for job in jobs] == [1, 1, 0]
    assert [result.seed for result in results] == [5, 6, 7] and [result.num_frames for result in results] == [17] * 3
    assert [read_settings(result.path).prompt for result in results] == [each.prompt for each in requests]
    assert [result.has_sound for result in results] == [True, True, False]
    assert np.any(np.asarray(jobs[0].progress.preview) != np.asarray(jobs[1].progress.preview)), "each sees its own"


def test_a_bad_request_in_a_batch_fails_alone(manager: JobManager, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("<svg/>")
    tiny.picture().save(tmp_path / "good.png")
    request = VideoRequest(prompt="a woman talks", num_inference_steps=3, num_frames=9)
    requests = [replace(request, images=(tmp_path / name,)) for name in ("good.png", "x.png", "good.png")]
    first, jobs = _start_behind_another(manager, requests)
    first.stop()
    ends = [_follow(job)[-1] for job in jobs]
    assert [end.phase for end in ends] == [Phase.DONE, Phase.FAILED, Phase.DONE] and "SVG" in ends[1].error
    assert [end.num_others for end in ends] == [2, 2, 2]
    first, jobs = _start_behind_another(manager, [requests[1]] * 2)
    first.stop()
    assert ["SVG" in _follow(job)[-1].error for job in jobs] == [True, True], "also where none is left"


def test_how_many_are_made_together() -> None:
    small, large = tiny.pipeline("mini", batch_branches=True), tiny.pipeline("17B")
    batches = Batches.of_pipeline(small)
    full, quick = (MakeVideo(VideoRequest(prompt="a", is_fast=is_fast), Path("a.mp4")) for is_fast in (False, True))
    assert batches.most(full) == 1 and batches.most(quick) == 4
    assert Batches.of_pipeline(large) == Batches(1, 1)
