"""Tasks as generators, and on a GPU that ZeroGPU lends: with a package `spaces` of the same interface, in a process of
its own, for it decides at the first import."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from humo.loading.estimates import Call, estimate, sizes_of_pipeline
from humo.loading.memory_presets import Plan
from humo.pipeline import HuMoPipeline
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.time_left import Work, assumed_seconds
from humo.space.jobs.zerogpu import (
    LONGEST,
    SHORTEST,
    accelerate,
    gpu_seconds,
    is_zero_gpu,
    stream,
)

SPACES = '''
"""What `spaces` offers: GPU(duration=...) forks for each call of a generator, and pickles what goes in and out."""
import functools
import inspect
import multiprocessing
import os
import pickle

import gradio as gr
from gradio.context import LocalContext

asked = []


def GPU(task=None, *, duration=60):
    if task is None:
        return functools.partial(GPU, duration=duration)
    assert inspect.isgeneratorfunction(task)

    @functools.wraps(task)
    def call(*args, **kwargs):
        request = LocalContext.request.get()
        asked.append((duration(*args, **kwargs), request and request.headers.get("x-ip-token")))
        if asked[-1][0] > int(os.environ.get("QUOTA", "1000")):
            raise gr.Error("You have exceeded your <b>GPU quota</b>: wait a while.")
        fork = multiprocessing.get_context("fork")
        ours, theirs = fork.Pipe()
        process = fork.Process(target=_work, args=(task, pickle.dumps((args, kwargs)), theirs))
        process.start()
        try:
            while True:
                kind, value = ours.recv()
                if kind == "end":
                    return
                if kind == "error":
                    raise gr.Error(f"GPU task aborted: {value}")
                yield value
                ours.send("more")
        finally:
            ours.send("close")
            process.join()

    return call


def _work(task, given, pipe):
    args, kwargs = pickle.loads(given)
    values = task(*args, **kwargs)
    try:
        for value in values:
            pipe.send(("value", value))
            if pipe.recv() == "close":
                values.close()
                return
        pipe.send(("end", None))
    except Exception as error:
        pipe.send(("error", type(error).__name__))
'''


@pytest.mark.parametrize(
    ("environment", "is_zero"), [({}, False), ({"SPACES_ZERO_GPU": "0"}, False), ({"SPACES_ZERO_GPU": "true"}, True)]
)
def test_zero_gpu_needs_the_variable_and_the_package(
    environment: dict[str, str], is_zero: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_zero_gpu(environment), "the package is not installed here"
    (tmp_path / "spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert is_zero_gpu(environment) == is_zero


def test_elsewhere_the_function_stays_what_it_is() -> None:
    def events() -> Iterator[int]:
        yield 1

    assert accelerate(events, lambda: 1.0) is events


def test_a_stream_yields_what_is_told_and_then_the_result() -> None:
    def work(tell: Callable[[Any], None]) -> str:
        for number in range(3):
            tell(number)
        return "done"

    assert list(stream(work)) == [0, 1, 2, "done"]


def test_the_function_rests_until_the_next_value_is_asked_for() -> None:
    reached: list[int] = []

    def work(tell: Callable[[Any], None]) -> None:
        for number in range(3):
            reached.append(number)
            tell(number)

    values = stream(work)
    assert next(values) == 0 and reached == [0]
    assert next(values) == 1 and reached == [0, 1]
    values.close()
    assert reached == [0, 1]


def test_closing_ends_the_function_where_it_is_and_waits_for_it() -> None:
    ended, threads = threading.Event(), list[threading.Thread]()

    def work(tell: Callable[[Any], None]) -> None:
        threads.append(threading.current_thread())
        try:
            while True:
                with contextlib.suppress(Exception):  # such as a library's, which must not hold it up
                    tell("step")
        finally:
            ended.set()

    values = stream(work)
    assert next(values) == "step"
    values.close()
    assert ended.is_set() and not threads[0].is_alive()


def test_an_error_comes_out_where_the_next_value_is_asked_for() -> None:
    def work(tell: Callable[[Any], None]) -> None:
        tell(1)
        raise ValueError("prompt is empty.")

    values = stream(work)
    assert next(values) == 1
    with pytest.raises(ValueError, match=r"^prompt is empty\.$"):
        next(values)


def test_requests_and_videos_can_be_pickled(mini_pipeline: HuMoPipeline) -> None:
    request = VideoRequest(prompt="a woman talks", audio=tiny_sound(), num_inference_steps=1, seed=3)
    assert pickle.loads(pickle.dumps(request)).prompt == request.prompt
    video = request.run(mini_pipeline)
    again = pickle.loads(pickle.dumps(video))
    assert (again.frames == video.frames).all() and again.settings == video.settings and again.notes == video.notes


def tiny_sound() -> Any:
    """A short sound, read."""
    from humo.media import read_sound

    return read_sound(tiny.voice(0.4))


def test_the_time_on_the_gpu_follows_the_estimate(wan_pipeline: HuMoPipeline) -> None:
    work = Work(
        num_inference_steps=50,
        num_frames=97,
        height=480,
        width=832,
        num_images=1,
        has_audio=True,
        guidance={"rule": "published_17b"},
    )
    figures = estimate(sizes_of_pipeline(wan_pipeline), 480, 832, 97, Plan(), Call())
    assert assumed_seconds(sizes_of_pipeline(wan_pipeline), work) == figures.seconds(50) > 0
    assert gpu_seconds(0) == SHORTEST and gpu_seconds(10_000) == LONGEST
    assert gpu_seconds(40) == 70 and gpu_seconds(40.1) == 71


PAGE = """
import contextvars, os, sys, time
from pathlib import Path

import tiny, torch

torch.set_num_threads(1)
import spaces
from gradio.context import LocalContext
from humo.space.jobs.job import Model, Phase
from humo.space.jobs.task import MakeVideo
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.manager import JobManager
from humo.space.temporary import DiskQuota

folder = Path(sys.argv[1])
pipe = tiny.pipeline()
model = Model(lambda: pipe)
model.get()
manager = JobManager(model, DiskQuota(folder, 1 << 30))


class Visit:
    headers = {"x-ip-token": "visitor"}


LocalContext.request.set(Visit())


def follow(job, stop_at=None):
    seen = [job.wait(None, 0.5)]
    while not seen[-1].phase.is_over:
        seen.append(job.wait(seen[-1], 0.5))
        if stop_at is not None and seen[-1].step >= stop_at and not job.is_stopped:
            job.stop()
            stop_at = job.progress.step  # read afterwards: before it is stopped it goes on
    assert stop_at is None or seen[-1].step <= stop_at + 1, seen[-1]
    return seen


def ask(**changes):
    asked = {"prompt": "a woman talks", "num_frames": 5, "num_inference_steps": 4, "seed": 1, **changes}
    return manager.start("anna", MakeVideo(VideoRequest(**asked), manager.new_path("film")))


seen = follow(ask())
assert seen[-1].phase is Phase.DONE, seen[-1].error
steps = [each.step for each in seen]
assert steps == sorted(steps) and steps[-1] == 4, steps
assert seen[-1].preview.size == (64, 64)
assert seen[-1].result.path.stat().st_size > 1000 and seen[-1].result.num_frames == 5
assert spaces.asked == [(15, "visitor")], spaces.asked

seen = follow(ask(num_inference_steps=500, num_frames=97), stop_at=2)
assert seen[-1].phase is Phase.STOPPED and seen[-1].step < 500, seen[-1]

seen = follow(ask(prompt=""))
assert seen[-1].phase is Phase.FAILED and seen[-1].error.startswith("prompt is empty"), seen[-1]

os.environ["QUOTA"] = "1"
seen = follow(ask())
assert seen[-1].phase is Phase.FAILED and seen[-1].error == "You have exceeded your GPU quota: wait a while.", seen[-1]
print("all well")
"""


@pytest.mark.slow
def test_the_page_works_on_a_lent_gpu(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(SPACES)
    (tmp_path / "videos").mkdir()
    paths = os.pathsep.join([str(tmp_path), str(Path(tiny.__file__).parent)])
    env = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", PAGE, str(tmp_path / "videos")], env=env, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0 and run.stdout.strip() == "all well", run.stderr
