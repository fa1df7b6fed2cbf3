"""What hangs on a video, once that video goes on from another one: what is told of it is true of what is new.

Run: python -m pytest tests/space/page/test_gone_on_everywhere.py
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import tiny
from page_parts import backend_of, parts_of
from PIL import Image

from humo.explain.figures import Trace, condition_effects, sound_map
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.requests.continuing import OVERLAP
from humo.requests.kept import read_kept
from humo.sampling import StepState
from humo.space.inspect.compare import compare
from humo.space.inspect.look_inside import QUALITIES, look_inside
from humo.space.inspect.look_inside_view import masks_view, schedule_view
from humo.space.jobs.job import Moment
from humo.space.jobs.limits import Limits
from humo.space.jobs.request import Defaults, VideoRequest, frames_for
from humo.space.jobs.task import MakeVideo, MakeVideos
from humo.space.page import layout
from humo.space.page.events.filling import on_restore
from humo.space.page.events.generating import Made, View
from humo.space.page.events.going_on import follow_up, on_go_on, tell_shorter
from humo.space.page.widgets import Parts
from humo.space.state import Backend

ROOT = Path(__file__).parents[3]
ANNA: Any = SimpleNamespace(session_hash="anna", client=SimpleNamespace(host="1.2.3.4"), headers={})
RULE = {"rule": "paper", "text": 3.0, "image": 2.0, "audio": 2.0, "early": [4.0, 1.0, 1.0], "switch": 900.0}
ASK = VideoRequest(prompt="a man", num_frames=17, num_inference_steps=8, guidance=RULE, seed=1)
DONE = [892, 833, 749, 624, 416]
"""Timesteps of the last five of eight steps, which are all that are done from a noise level of 0.9."""


@pytest.fixture(scope="module")
def pipe() -> HuMoPipeline:
    return tiny.pipeline("mini", max_frames=31, default_guidance=RULE)


def _task(ask: VideoRequest, path: Path) -> MakeVideo:
    return MakeVideo(ask, path, path.with_suffix(".npz"))


@pytest.fixture(scope="module")
def first(pipe: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A video of 17 frames."""
    path = tmp_path_factory.mktemp("first") / "a.mp4"
    return Made(ASK, _task(ASK, path).run(pipe, lambda moment: None))


@pytest.fixture(scope="module")
def longer(pipe: HuMoPipeline, first: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same and 16 frames more, under a voice."""
    said = replace(ASK, audio=read_sound(tiny.voice(0.64)), num_frames=17, seed=2)
    ask, path = follow_up(first, said), tmp_path_factory.mktemp("longer") / "b.mp4"
    return Made(ask, _task(ask, path).run(pipe, lambda moment: None))


def _values(page: Parts, made: Made, folder: Path) -> View:
    """What the widgets of the first tab hold beside a video."""
    tiny.picture().save(folder / "person.png")
    inputs = page.tabs[0]
    values = {each: each.value for each in (*inputs.widgets(), *page.settings.widgets())}
    return values | {inputs.prompt: "a man", inputs.image: str(folder / "person.png"), page.panel.made: made}


def _go_on(page: Parts, backend: Backend, values: View) -> Iterator[View]:
    return on_go_on(page.tabs[0], page, {}, backend)(values, ANNA)


def _is_webp_of(data: bytes, frame: np.ndarray) -> bool:
    def encoded(quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "WEBP", quality=quality, method=2)
        return buffer.getvalue()

    return any(encoded(quality) == data for quality in QUALITIES)


def test_the_look_inside_is_of_what_is_new(pipe: HuMoPipeline, longer: Made) -> None:
    asked, maps, predicted = longer.repeated(), list[np.ndarray](), list[np.ndarray]()
    trace = Trace(pipe, masks=True)

    def watch(state: StepState) -> None:
        trace(state)
        question = pipe, state.noisy, state.timestep, state.conditions
        maps.append(sound_map(*question))
        predicted.append(condition_effects(*question).frames)

    asked.run(pipe, on_step=watch)
    seen = look_inside(pipe, asked)
    whole = read_kept(longer.result.kept).frames
    assert seen.num_frames == len(whole) == 33 and seen.num_earlier == 17
    assert seen.frame_numbers == (19, 23, 27, 31), "the third frame of each of the four latent frames that are new"
    assert np.array_equal(seen.frames, whole[list(seen.frame_numbers)])
    for step, film in enumerate(seen.predicted):
        new = trace.frames(step)[OVERLAP:][[2, 6, 10, 14]]
        assert all(_is_webp_of(data, frame) for data, frame in zip(film, new, strict=True))
        np.testing.assert_array_equal(seen.masks[step], np.uint8(np.rint(255 * trace.face_masks[step][4:])))
    for look in seen.looks:
        new = maps[look.step][:, 4:]
        assert look.sound_top == pytest.approx(new.max(), rel=1e-4) and look.sound.shape == new.shape
        np.testing.assert_array_equal(look.mask, seen.masks[look.step])
        assert _is_webp_of(look.everything[0], predicted[look.step][OVERLAP:][2])


def test_the_look_inside_is_at_steps_that_were_done(pipe: HuMoPipeline, longer: Made) -> None:
    told: list[str] = []
    seen = look_inside(pipe, longer.repeated(), lambda done, total, words: told.append(words))
    assert [int(each) for each in seen.schedule.timesteps] == DONE and "Step 5 of 5" in told
    assert [(look.step, int(look.timestep)) for look in seen.looks] == [(0, 892), (2, 749)], "the nearest ones"
    words = masks_view(seen, 0, 0).words
    assert words.startswith("Step 1 of 5 (timestep 892), frame 20: ")
    assert "The video goes on from another one of 17 frames; only what is new after them is shown." in words
    assert "the switch at timestep 900 comes before the first step" in schedule_view(seen).words


def test_nothing_is_compared_where_the_steps_that_differ_are_not_done(
    pipe: HuMoPipeline, longer: Made, tmp_path: Path
) -> None:
    told: list[int] = []
    known = r"^This video begins with known frames at timestep 892, and from there on the rule paper does not change"
    with pytest.raises(ValueError, match=known):
        compare(pipe, longer.repeated(), tmp_path / "both.mp4", lambda *part: told.append(part[0]))
    assert not told, "before anything runs"
    asked = replace(longer.repeated(), guidance={**RULE, "switch": 800.0})
    both = compare(pipe, asked, tmp_path / "both.mp4", lambda *part: told.append(part[0]))
    assert told[-1] == 2 * len(DONE) and both.difference.mean() > 0
    assert [shown.timesteps.tolist() for shown in both.schedules] == [DONE, DONE]
    trace = Trace(pipe)
    asked.run(pipe, on_step=trace)
    words = f"The weights differ at 2 of 5 steps. The constant one took {trace.schedule.passes} passes of the network"
    assert both.words[1].startswith(words) and trace.schedule.passes == both.schedules[1].passes


def test_progress_counts_to_the_last_new_frame(pipe: HuMoPipeline, first: Made, tmp_path: Path) -> None:
    asks = [follow_up(first, replace(ASK, num_inference_steps=2, seed=seed)) for seed in (2, 3)]
    tasks = [_task(ask, tmp_path / str(ask.seed) / "c.mp4") for ask in asks]
    alone: list[Moment] = []
    tasks[0].run(pipe, alone.append)
    assert alone[-1].words == "Frame 16 of 16"
    together: list[tuple[Any, ...]] = []
    MakeVideos(tuple(tasks)).run(pipe, together.append)
    words = {each.words for both in together for each in both if isinstance(each, Moment)}
    assert "Frame 16 of 16" in words and not any(each.endswith(" of 29") for each in words)


def test_the_settings_say_that_they_are_not_all(
    pipe: HuMoPipeline, first: Made, longer: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = parts_of(backend_of(pipe, tmp_path))
    note = "That video goes on from an earlier one, and settings hold no frames"  # printed where no page is served
    on_restore(page)(str(first.result.path))
    assert note not in capsys.readouterr().out
    view = on_restore(page)(str(longer.result.path))
    assert note in capsys.readouterr().out
    tab = next(tab for tab in page.tabs if tab.mode.key == "TA")
    assert view[tab.prompt] == "a man"
    silent = replace(ASK, num_frames=13, num_inference_steps=2)
    task = _task(follow_up(first, silent), tmp_path / "d.mp4")
    seconds = page.tabs[0].seconds
    view = on_restore(page)(str(task.run(pipe, lambda moment: None).path))
    assert frames_for(view[seconds]) == 13, "as long as was asked for, known frames not counted"


def test_the_longest_that_the_slider_offers_goes_on(pipe: HuMoPipeline, first: Made, tmp_path: Path) -> None:
    backend = backend_of(pipe, tmp_path)
    page = parts_of(backend)
    slider = page.tabs[0].seconds
    values = _values(page, first, tmp_path) | {slider: slider.maximum}
    *_, last = _go_on(page, backend, values)
    result = last[page.panel.made].result
    assert result.num_frames == 17 + 29 - OVERLAP
    assert result.notes[0] == (
        "What is new lasts 0.64 s, less than was asked for: this model makes 29 frames at once, and 13 of them are the "
        "end of the video before."
    )


@pytest.mark.parametrize("longest", [None, 251])
def test_a_server_takes_whatever_its_slider_offers(first: Made, longest: int | None) -> None:
    defaults = replace(Defaults.of_folder(ROOT / "assets" / "humo-mini"), max_frames=longest)
    with gr.Blocks():
        slider = layout.seconds(defaults)
    for tenths in range(2, round(10 * slider.maximum) + 1):
        ask = replace(ASK, num_frames=frames_for(tenths / 10, longest))
        following = follow_up(first, ask, longest)
        Limits().check(following)
        assert following.num_frames % 4 == 1 and (longest is None or following.num_frames <= longest)
        assert len(tell_shorter(ask, following)) == (following.num_frames < ask.num_frames + OVERLAP - 1)


def test_going_on_from_a_quick_look_is_no_video_of_the_hour(pipe: HuMoPipeline, first: Made, tmp_path: Path) -> None:
    backend = backend_of(pipe, tmp_path, Limits(jobs_per_hour=1))
    page, manager = parts_of(backend), backend.admission.manager
    look = Made(replace(ASK, is_fast=True, num_inference_steps=None), first.result)
    values = _values(page, look, tmp_path)
    for _ in range(2):
        next(_go_on(page, backend, values))
        if (job := manager.look_of("anna")) is not None:
            job.end()
    values[page.panel.made] = first
    *_, last = _go_on(page, backend, values)
    assert last[page.panel.made].result.num_frames > 17
    with pytest.raises(gr.Error, match="1 videos an hour are granted here"):
        next(_go_on(page, backend, values))
