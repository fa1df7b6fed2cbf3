"""Jobs, the device that carries them, and what a job's moments look like on the page.

Run: python -m pytest tests/space/jobs/test_jobs.py
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import soundfile
import tiny
from PIL import Image

from humo.pipeline import HuMoPipeline
from humo.requests.call import read_call
from humo.space.jobs.job import Job, Model, Moment, Phase, Progress
from humo.space.jobs.manager import MAX_JOBS, JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo, Result, Watcher
from humo.space.page import html
from humo.space.temporary import HOUR, DiskQuota

PROMPT = "a woman with red hair talks"


@pytest.fixture
def manager(mini_pipeline: HuMoPipeline, tmp_path: Path) -> JobManager:
    return JobManager(Model(lambda: mini_pipeline), DiskQuota(tmp_path, 1 << 30))


def _start(manager: JobManager, visitor: str, request: VideoRequest, name: str = "film") -> Job:
    return manager.start(visitor, MakeVideo(request, manager.new_path(name)))


def _follow(job: Job) -> list[Progress]:
    """Every moment of a job until it is over."""
    seen: list[Progress] = []
    deadline = time.monotonic() + 180
    while not seen or not seen[-1].phase.is_over:
        assert time.monotonic() < deadline
        seen.append(job.wait(seen[-1] if seen else None, 0.5))
    return seen


def _long_request() -> VideoRequest:
    return VideoRequest(prompt=PROMPT, num_frames=97, num_inference_steps=200, seed=1)


def test_job_tells_every_step_and_writes_the_video(manager: JobManager, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(0.6))
    request = VideoRequest(prompt=PROMPT, audio=tmp_path / "voice.wav", num_inference_steps=6, seed=5)
    moments = _follow(_start(manager, "anna", request))
    last = moments[-1]
    assert last.phase is Phase.DONE and last.result.path.name == "film.mp4" and last.result.path.stat().st_size > 1000
    assert last.result.seed == 5 and last.result.num_frames == 17 and last.result.has_sound and last.result.notes
    assert last.preview.size == (64, 64) and "Frame 17 of 17" in [moment.words for moment in moments]
    steps = [moment.step for moment in moments]
    assert steps == sorted(steps) and steps[-1] == last.num_steps == 6
    phases = [moment.phase for moment in moments]
    assert [phase for phase in Phase if phase in phases] == list(dict.fromkeys(phases)), "in their order"


def test_the_last_step_makes_no_preview_for_its_frames_follow(mini_pipeline: HuMoPipeline) -> None:
    told: list[Moment] = []
    watcher = Watcher(mini_pipeline, lambda moments: told.append(moments[0]))
    call = read_call(mini_pipeline, prompt=PROMPT, num_frames=5, num_inference_steps=2, seed=1)
    mini_pipeline.generate_batch([call], watcher, [watcher.frames_of(0, 5)])
    steps = [moment for moment in told if not moment.words]
    assert [moment.preview is None for moment in steps] == [False, True]
    assert told[-1].words == "Frame 5 of 5" and told[-1].preview is not None


def test_between_two_views_only_a_new_phase_is_news_and_the_clock_goes_on() -> None:
    job = Job(MakeVideo(VideoRequest(prompt=PROMPT), Path("film.mp4")))
    for step in (1, 2):
        job.take(Moment(step, 1000))
    seen = job.wait(None, 60)
    job.take(Moment(3, 1000))
    told, later = job.progress, job.wait(seen, 0, pause=0.05)
    assert later.step == 3 and later.elapsed - told.elapsed >= 0.05 * 0.9
    assert told.seconds_left - later.seconds_left == pytest.approx(min(told.seconds_left, later.elapsed - told.elapsed))
    telling = threading.Timer(0.05, job.take, [Moment(1000, 1000)])
    telling.start()
    assert job.wait(later, 60, pause=60).phase is Phase.FINISHING, "told at once, or this test takes a minute"
    telling.join()


def test_previews_rest_also_where_they_are_cheap(mini_pipeline: HuMoPipeline) -> None:
    told: list[Moment] = []
    watcher = Watcher(mini_pipeline, lambda moments: told.append(moments[0]), pause=600)
    call = read_call(mini_pipeline, prompt=PROMPT, num_frames=5, num_inference_steps=4, seed=1)
    mini_pipeline.generate_batch([call], lambda state: (time.sleep(0.2), watcher(state)))  # by far longer than each
    assert [moment.preview is None for moment in told] == [False, True, True, True]


def test_stop_ends_within_a_step_and_the_next_job_runs_then(manager: JobManager) -> None:
    job = _start(manager, "anna", _long_request())
    while job.progress.step < 2:
        time.sleep(0.01)
    manager.stop("anna")
    step = job.progress.step  # read afterwards: before it is stopped it goes on
    assert _follow(job)[-1].phase is Phase.STOPPED
    assert job.progress.step <= step + 1 < 200
    short = VideoRequest(prompt=PROMPT, num_frames=5, num_inference_steps=1)
    assert _follow(_start(manager, "anna", short))[-1].phase is Phase.DONE


def test_bad_request_is_a_sentence_and_the_page_goes_on(manager: JobManager, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("<svg/>")
    for request, words in [
        (VideoRequest(prompt=""), "prompt is empty"),
        (VideoRequest(prompt=PROMPT, images=(tmp_path / "x.png",)), "SVG"),
        (VideoRequest(prompt=PROMPT, num_frames=48), "4k+1"),
    ]:
        last = _follow(_start(manager, "anna", request))[-1]
        assert last.phase is Phase.FAILED and words in last.error and str(tmp_path) not in last.error
    assert _follow(_start(manager, "anna", VideoRequest(prompt=PROMPT, num_frames=5)))[-1].phase is Phase.DONE


def test_one_job_a_visitor_and_a_limit_for_all(manager: JobManager) -> None:
    jobs = [_start(manager, f"visitor {number}", _long_request()) for number in range(MAX_JOBS)]
    with pytest.raises(ValueError, match="still being made"):
        _start(manager, "visitor 0", _long_request())
    with pytest.raises(ValueError, match="already waiting"):
        _start(manager, "one too many", _long_request())
    deadline = time.monotonic() + 60
    while jobs[-1].progress.position != MAX_JOBS - 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [job.progress.position for job in jobs] == list(range(MAX_JOBS))
    manager.stop("a stranger")
    for number in range(MAX_JOBS):
        manager.stop(f"visitor {number}")
    assert all(_follow(job)[-1].phase is Phase.STOPPED for job in jobs)


def test_a_video_that_waited_long_finds_its_folder_again(manager: JobManager) -> None:
    path = manager.new_path("film")
    os.utime(path.parent, (time.time() - HOUR - 1,) * 2)
    manager.quota.make()  # an upload of somebody else, say
    assert not path.parent.exists()
    job = manager.start("anna", MakeVideo(VideoRequest(prompt=PROMPT, num_frames=5, num_inference_steps=1), path))
    assert _follow(job)[-1].phase is Phase.DONE and path.is_file()


def test_model_that_fails_to_load_is_tried_again(mini_pipeline: HuMoPipeline) -> None:
    answers = [ValueError("the weights are missing: fetch them."), mini_pipeline]

    def load() -> HuMoPipeline:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    model = Model(load)
    with pytest.raises(ValueError, match="fetch them"):
        model.get()
    assert model.get() is mini_pipeline and model.get() is mini_pipeline and answers == []


def test_old_videos_are_removed(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    manager, paths = JobManager(Model(lambda: mini_pipeline), DiskQuota(tmp_path, 1)), []
    for _ in range(3):
        request = VideoRequest(prompt=PROMPT, num_frames=1, num_inference_steps=1)
        done = _follow(_start(manager, "anna", request))[-1]
        assert done.phase is Phase.DONE and [*tmp_path.glob("*/*.mp4")] == [done.result.path]
        paths.append(done.result.path)
    assert len({*paths}) == 3


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(phase=Phase.QUEUED, position=1), "1 video is before yours"),
        (Progress(phase=Phase.QUEUED, position=3), "3 videos are before yours"),
        (Progress(phase=Phase.LOADING, elapsed=4), "4 s"),
        (Progress(phase=Phase.DENOISING, step=3, num_steps=20, seconds_left=8.2), "about 8 s left"),
        (Progress(phase=Phase.DENOISING, step=3, num_steps=20, seconds_left=200), "about 3 minutes left"),
        (Progress(phase=Phase.STOPPED, step=3, num_steps=20), "after step 3 of 20"),
        (Progress(phase=Phase.STOPPED, step=5, num_steps=32, words="Step 5 of 16"), "at step 5 of 16"),
        (Progress(phase=Phase.FAILED, error="bad <script>."), "Bad &lt;script&gt;."),
    ],
)
def test_stage_says_what_happens(progress: Progress, words: str) -> None:
    shown = html.stage(progress)
    assert words in shown and 'role="status"' in shown
    assert ("<progress" in shown) is not progress.phase.is_over


def test_stage_shows_the_preview_inside_the_page() -> None:
    progress = Progress(phase=Phase.DENOISING, step=3, num_steps=20, preview=Image.new("RGB", (64, 64)))
    shown = html.stage(progress)
    assert 'src="data:image/webp;base64,' in shown and 'alt="Preview after step 3 of 20"' in shown
    assert 'value="15"' in shown
    assert "Your video appears here" in html.stage(None)


def test_summary_tells_seed_length_and_notes() -> None:
    facts = dict(seed=7, num_frames=49, seconds=1.96, has_sound=True, settings={})
    result = Result(path=Path("x"), notes=("Cut & done.",), **facts)
    shown = html.summary(result, 12.3)
    for words in ("2.0 s with your sound", "seed 7", "made in 12 s", "Cut &amp; done."):
        assert words in shown
