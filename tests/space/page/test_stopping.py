"""Stop, without a browser: it is shown beside whatever runs, ends it and says so.

Run: python -m pytest tests/space/page/test_stopping.py
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
import tiny
from page_parts import backend_of, page_of, parts_of

from humo import media
from humo.pipeline import HuMoPipeline
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import Result
from humo.space.page.dubbing.events import on_dub, on_find
from humo.space.page.events.generating import Made, View, on_stop
from humo.space.page.events.looking import on_compare, on_look_inside
from humo.space.page.widgets import Parts
from humo.space.state import Backend
from humo.world.clips import plan_clip, render_clip

ANNA: Any = SimpleNamespace(session_hash="anna", client=SimpleNamespace(host="1.2.3.4"), headers={})
LONG = VideoRequest(prompt="a woman nods", num_frames=97, num_inference_steps=50, seed=1)


@pytest.fixture
def backend(mini_pipeline: HuMoPipeline, tmp_path: Path) -> Backend:
    return backend_of(mini_pipeline, tmp_path)


@pytest.fixture
def page(backend: Backend) -> Parts:
    return parts_of(backend)


def _made(folder: Path, backend: Backend) -> Made:
    """A long video of a picture and a voice: without them guidance does not change with time, nothing to compare."""
    facts: dict[str, Any] = dict(num_frames=97, seconds=3.88, has_sound=True, notes=(), settings={})
    example = next(each for each in backend.examples if each.mode == "TIA")
    image, audio = (Path(shutil.copy(file, folder)) for file in (example.image, example.audio) if file)
    request = replace(LONG, images=(image,), audio=audio)
    return Made(request, Result(path=folder / "film.mp4", seed=1, **facts))


def _clip(page: Parts, folder: Path) -> View:
    """What the widgets of a dub hold."""
    frames = render_clip(plan_clip(1), num_frames=97, size=64).frames
    media.write_video(folder / "clip.mp4", frames)
    soundfile.write(folder / "voice.wav", *tiny.voice(4.0))
    dub = page.dubbing
    values = {each: each.value for each in dub.given()}
    return values | {dub.clip: str(folder / "clip.mp4"), dub.audio: str(folder / "voice.wav")}


@pytest.mark.parametrize("what", ["look", "compare", "find", "dub"])
def test_stop_ends_what_runs_and_says_so(what: str, backend: Backend, page: Parts, tmp_path: Path) -> None:
    events: dict[str, tuple[Callable[..., Any], Any, Callable[[], Any]]] = {
        "look": (on_look_inside, page.views, lambda: _made(tmp_path, backend)),
        "compare": (on_compare, page.other, lambda: _made(tmp_path, backend)),
        "find": (on_find, page.dubbing, lambda: _clip(page, tmp_path)),
        "dub": (on_dub, page.dubbing, lambda: _clip(page, tmp_path)),
    }
    event, place, given = events[what]
    views: Iterator[View] = event(page, backend.admission)(given(), ANNA)
    first = next(views)
    assert first[place.stop]["visible"] is True and "<progress " in first[place.status]["value"], "whatever its phase"
    assert first[page.dubbing.dub]["interactive"] is False
    on_stop(backend.admission.manager)(ANNA)
    *_, last = views
    assert last[place.stop]["visible"] is False and last[page.dubbing.dub]["interactive"] is True
    assert last[place.status]["visible"] is True and ">Stopped</span>" in last[place.status]["value"]
    parts = place.parts() if what in ("look", "compare") else place.shown()
    assert {*first, *last} <= {*parts, *page.starts()}, "what the event may change"


def test_every_stop_is_connected(backend: Backend) -> None:
    blocks = page_of(backend)
    names = {number: block.elem_id for number, block in blocks.blocks.items()}
    pressed = {names[target] for fn in blocks.fns.values() for target, event in fn.targets if event == "click"}
    assert {"stop", "look-stop", "compare-stop", "dub-stop"} <= pressed
