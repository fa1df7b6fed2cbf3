"""The page compiles its model in the background, gives way to visitors, and survives where that fails.

Run: python -m pytest tests/space/test_background_compiler.py -n 0
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny
from pages import process_at, serve

from humo.loading.compiling import computed_by
from humo.space.compiling import BackgroundCompiler, Swap, take_compiled
from humo.space.environment import read_compile
from humo.space.jobs.job import Phase
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.served_model import ServedModel
from humo.space.jobs.task import MakeVideo
from humo.space.temporary import DiskQuota
from humo.system.caches import compiled_folder

REQUEST = VideoRequest(prompt="a woman talks", num_frames=5, num_inference_steps=2, seed=1)
ENDLESS = VideoRequest(prompt="a woman talks", num_frames=97, num_inference_steps=200, seed=1)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ServedModel, JobManager, str]:
    """A tiny saved model, its jobs and its folder; a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HUMO_COMPILE", "on")
    monkeypatch.setattr("humo.space.compiling.NEEDED", 0)  # however much memory the other tests take
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    serving = ServedModel.open(str(tmp_path / "small"))
    return serving, JobManager(serving.model, DiskQuota(tmp_path / "files", 1 << 30)), str(tmp_path / "small")


def _until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _make(manager: JobManager, request: VideoRequest = REQUEST, visitor: str = "anna") -> MakeVideo:
    return MakeVideo(request, Path(manager.quota.folder, visitor, "film.mp4"))


@pytest.mark.slow
def test_a_page_compiles_beside_its_jobs_and_swaps_between_them(
    served: tuple[ServedModel, JobManager, str], tmp_path: Path
) -> None:
    serving, manager, folder = served
    manager.quota.folder.mkdir()
    pipe = serving.model.get()
    assert pipe.transformer.compiled_pass is None
    compiler = BackgroundCompiler(folder, serving.model, manager)
    thread = compiler.start()
    _until(lambda: compiler._process is not None)
    child = psutil.Process(compiler._process.pid)
    _until(lambda: child.nice() == 19)
    job = manager.start("anna", _make(manager, ENDLESS))
    _until(lambda: job.progress.phase is Phase.DENOISING)
    _until(lambda: child.status() == psutil.STATUS_STOPPED)
    assert not job.is_over, "never on a visitor's time"
    job.end()
    _until(lambda: child.status() != psutil.STATUS_STOPPED)
    thread.join(900)  # beside whoever else wants the cores it gets little
    assert not thread.is_alive() and pipe.transformer.compiled_pass is not None
    with computed_by(pipe.transformer, None):
        wanted = pipe("a woman talks", num_frames=5, seed=1).frames.astype(float)
    error = np.square(pipe("a woman talks", num_frames=5, seed=1).frames - wanted).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 40
    assert manager.start("anna", _make(manager)).join().phase is Phase.DONE
    assert ServedModel.open(folder).model.get().transformer.compiled_pass is not None, "found at the next start"


def test_without_a_compiler_the_page_goes_on(
    served: tuple[ServedModel, JobManager, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving, manager, folder = served
    manager.quota.folder.mkdir()
    monkeypatch.setenv("CXX", "no-such-compiler")
    BackgroundCompiler(folder, serving.model, manager).start().join(300)
    assert sum("no C++ compiler was found" in each.getMessage() for each in caplog.records) == 1
    assert manager.start("anna", _make(manager)).join().phase is Phase.DONE


@pytest.mark.slow
def test_a_process_that_fails_is_told_and_the_page_goes_on(
    served: tuple[ServedModel, JobManager, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serving, manager, _ = served
    manager.quota.folder.mkdir()
    BackgroundCompiler(str(tmp_path / "gone"), serving.model, manager).start().join(900)
    assert "Nothing is compiled" in caplog.text and "gone" in caplog.text and "Traceback" not in caplog.text
    assert manager.start("anna", _make(manager)).join().phase is Phase.DONE


def test_where_nothing_was_compiled_a_swap_leaves_the_model_as_written(
    served: tuple[ServedModel, JobManager, str],
) -> None:
    serving, manager, _ = served
    assert manager.run_own(Swap(is_fast=False)).result is False
    assert serving.model.get().transformer.compiled_pass is None


def test_a_folder_of_somebody_elses_code_is_not_used(
    served: tuple[ServedModel, JobManager, str], caplog: pytest.LogCaptureFixture
) -> None:
    compiled_folder().chmod(0o777)
    take_compiled(served[0].model.get())
    assert "not yours alone" in caplog.text and served[0].model.get().transformer.compiled_pass is None


def test_jobs_tell_when_they_begin_and_when_all_are_over(served: tuple[ServedModel, JobManager, str]) -> None:
    _, manager, _ = served
    manager.quota.folder.mkdir()
    told: list[bool] = []
    manager.watch(told.append)
    assert told == [False]
    manager.start("anna", _make(manager)).join()
    _until(lambda: len(told) == 3)
    assert told == [False, True, False]


@pytest.mark.slow
def test_what_serves_is_compiled_and_not_what_was_asked_for(tmp_path: Path) -> None:
    """On a computer without a GPU mini serves in place of the 1.7B, which must not be downloaded for a compiler."""
    settings = {"HUMO_MODEL": "1.7B", "HUMO_COMPILE": "on", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    settings |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    commands: list[list[str]] = []
    with serve(tmp_path, settings=settings) as address:
        page = process_at(address)

        def begins() -> bool:
            commands.extend(each.cmdline() for each in page.children() if "humo.space.compiling" in each.cmdline())
            return bool(commands)

        _until(begins)
    assert commands[0][-2:] == ["mini", "--fast"]


@pytest.mark.parametrize(("text", "expected"), [("", True), ("on", True), (" OFF ", False)])
def test_a_variable_turns_it_off(text: str, expected: bool) -> None:
    assert read_compile({"HUMO_COMPILE": text}) is expected
    assert read_compile({}) is True
    with pytest.raises(ValueError, match="give on or off"):
        read_compile({"HUMO_COMPILE": "maybe"})
