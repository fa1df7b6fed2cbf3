"""humo.space.jobs.admission: who is counted for what, and that a refusal ends nothing.

Run: python -m pytest tests/space/jobs/test_admission.py
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from humo.pipeline import HuMoPipeline
from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Job, Model, Phase
from humo.space.jobs.limits import Limits
from humo.space.jobs.manager import MAX_JOBS, JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.temporary import DiskQuota


def _visitor(name: str, address: str = "1.2.3.4") -> Any:
    return SimpleNamespace(session_hash=name, client=SimpleNamespace(host=address), headers={})


ANNA = _visitor("anna")


@pytest.fixture
def admission(mini_pipeline: HuMoPipeline, tmp_path: Path) -> Iterator[Callable[..., Admission]]:
    """Makes one with limits; its model does not come before the test is over, so that jobs stay under way."""
    is_over, made = threading.Event(), list[Admission]()

    def load() -> HuMoPipeline:
        is_over.wait()
        return mini_pipeline

    def make(**limits: int) -> Admission:
        manager = JobManager(Model(load), DiskQuota(tmp_path, 1 << 30))
        made.append(Admission(manager, Limits(**limits), [tmp_path]))
        return made[-1]

    yield make
    for each in made:
        for visitor in [*each.manager._jobs]:
            each.manager.stop(visitor)
    is_over.set()


def _start(admission: Admission, is_look: bool, visitor: Any = ANNA) -> Job:
    asked = VideoRequest(prompt="a woman nods", seed=1, is_fast=is_look)
    return admission.start(visitor, asked, lambda: MakeVideo(asked, Path("film.mp4")), is_look=is_look)


def test_quick_looks_are_no_videos_of_the_hour(admission: Callable[..., Admission]) -> None:
    page = admission(jobs_per_hour=1)
    looks = [_start(page, is_look=True) for _ in range(3)]
    assert [look.progress.phase for look in looks[:2]] == [Phase.STOPPED] * 2, "each takes the place of the last one"
    video = _start(page, is_look=False)
    assert looks[2].is_over
    video.end()
    assert not _start(page, is_look=True).is_over
    with pytest.raises(ValueError, match=r"^1 videos an hour are granted here"):
        _start(page, is_look=False)


def test_what_is_refused_ends_no_look(admission: Callable[..., Admission]) -> None:
    page = admission(jobs_per_hour=1, jobs_at_once=1)
    _start(page, is_look=False).end()
    look = _start(page, is_look=True)
    with pytest.raises(ValueError, match="videos an hour"):
        _start(page, is_look=False)
    with pytest.raises(ValueError, match="1 video of yours is still being made"):
        _start(page, is_look=True, visitor=_visitor("anna's other tab"))
    assert not look.is_stopped
    after = _start(page, is_look=True)  # the one that it replaces takes no place
    assert look.is_over and not after.is_stopped


def test_a_look_makes_room_for_the_next_one_where_all_places_are_taken(admission: Callable[..., Admission]) -> None:
    page = admission()
    others = [_start(page, False, _visitor(f"visitor {number}")) for number in range(MAX_JOBS - 1)]
    look = _start(page, is_look=True)
    with pytest.raises(ValueError, match=f"^{MAX_JOBS} videos are already waiting"):
        _start(page, False, _visitor("one too many"))
    after = _start(page, is_look=True)
    assert look.is_over and not any(job.is_over for job in [*others, after])


def test_nobody_waits_at_the_gate_for_another_ones_look_to_end(admission: Callable[..., Admission]) -> None:
    page, is_begun, may_go_on = admission(jobs_per_hour=5, jobs_at_once=1), threading.Event(), threading.Event()
    asked = VideoRequest(prompt="a woman nods", seed=1)

    def slow() -> MakeVideo:
        is_begun.set()
        may_go_on.wait()
        return MakeVideo(asked, Path("film.mp4"))

    starting = threading.Thread(target=lambda: page.start(ANNA, asked, slow))
    starting.start()
    is_begun.wait()
    others = threading.Thread(target=lambda: _start(page, False, _visitor("ben", "5.6.7.8")), daemon=True)
    others.start()
    others.join(30)
    with pytest.raises(ValueError, match="still being made"):
        _start(page, False, _visitor("anna's other tab"))  # her place is held
    may_go_on.set()
    starting.join()
    assert not others.is_alive()


def test_a_link_that_is_refused_does_not_count(admission: Callable[..., Admission]) -> None:
    page = admission(links_per_hour=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="the disk is full"), page.link_granted(ANNA):
            raise ValueError("the disk is full.")
    with page.link_granted(ANNA):
        pass
    with pytest.raises(ValueError, match="^1 links an hour are granted here"), page.link_granted(ANNA):
        pytest.fail("one too many")
