"""Go on, without a browser: what is asked for, what is kept, and the longer video.

Run: python -m pytest tests/space/page/test_going_on.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from humo.pipeline import HuMoPipeline
from humo.requests.continuing import OVERLAP
from humo.requests.kept import read_kept
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo
from humo.space.page.events.generating import Made
from humo.space.page.events.going_on import MOST_SECONDS, follow_up

ASK = VideoRequest(prompt="a man", num_frames=17, num_inference_steps=2, seed=1)


@pytest.fixture(scope="module")
def pipe() -> HuMoPipeline:
    return tiny.pipeline("mini")


def _task(ask: VideoRequest, path: Path) -> MakeVideo:
    return MakeVideo(ask, path, path.with_suffix(".npz"))


@pytest.fixture
def made(pipe: HuMoPipeline, tmp_path: Path) -> Made:
    return Made(ASK, _task(ASK, tmp_path / "first" / "a.mp4").run(pipe, lambda moment: None))


def test_the_video_becomes_longer_and_begins_as_it_was(pipe: HuMoPipeline, made: Made, tmp_path: Path) -> None:
    first = read_kept(made.result.kept)
    ask = follow_up(made, replace(ASK, prompt="a woman", num_frames=9, seed=2))
    longer = _task(ask, tmp_path / "second" / "b.mp4").run(pipe, lambda moment: None)
    assert longer.num_frames == 17 + 8, "one frame of the nine lies in the known ones"
    frames = read_kept(longer.kept).frames
    assert len(frames) == 25 and np.array_equal(frames[: 17 - OVERLAP], first.frames[: 17 - OVERLAP])
    last = follow_up(Made(ask, longer), replace(ASK, num_frames=9))
    assert _task(last, tmp_path / "third" / "c.mp4").run(pipe, lambda moment: None).num_frames == 33
    again = _task(Made(ask, longer).repeated(), tmp_path / "again" / "b.mp4").run(pipe, lambda moment: None)
    assert np.array_equal(read_kept(again.kept).frames, frames), "the last part is made again"


def test_the_latents_are_the_very_ones(pipe: HuMoPipeline, made: Made) -> None:
    kept = read_kept(made.result.kept)
    assert kept.latents is not None and kept.latents.shape[1] == 5
    call = follow_up(made, replace(ASK, num_frames=9)).read(pipe)
    assert np.array_equal(call.known.latents, kept.latents[:, -OVERLAP // 4 + 1 :])


def test_what_cannot_be_gone_on_from(made: Made) -> None:
    with pytest.raises(ValueError, match=r"^There is no video to go on from yet: press Generate"):
        follow_up(None, ASK)
    with pytest.raises(ValueError, match=r"^The video lasts 61 s and goes on up to 60 s: save it"):
        follow_up(Made(ASK, replace(made.result, seconds=MOST_SECONDS + 1)), ASK)
    with pytest.raises(ValueError, match=r"^This video is too large to be kept"):
        follow_up(Made(ASK, replace(made.result, kept=None)), ASK)
    made.result.kept.unlink()
    with pytest.raises(ValueError, match=r"^The video to go on from is not kept any more"):
        follow_up(made, ASK).continue_from.read()


def test_a_quick_look_goes_on_as_one(made: Made) -> None:
    quick = Made(replace(ASK, is_fast=True, num_inference_steps=None), made.result)
    ask = follow_up(quick, ASK)
    assert ask.is_fast and ask.num_inference_steps is None and ask.num_frames == 17 + OVERLAP - 1
