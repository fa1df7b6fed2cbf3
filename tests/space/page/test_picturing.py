"""Several pictures on the page: they close up, change places, are asked for, kept with a link and restored in order.

Run: python -m pytest tests/space/page/test_picturing.py
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import made
import numpy as np
import pytest
import soundfile
import tiny
from page_parts import backend_of, page_of, parts_of
from PIL import Image
from skimage.data import astronaut

from humo.pipeline import HuMoPipeline
from humo.portrait import Portrait, draw_portrait
from humo.space.application.building import make_tab
from humo.space.jobs.limits import Limits
from humo.space.jobs.request import MODES, Defaults
from humo.space.jobs.task import MakeVideo
from humo.space.links.settings import VideoSettings
from humo.space.links.share import share
from humo.space.page import html, layout, texts
from humo.space.page.events import filling, picturing, portraying, sharing
from humo.space.page.widgets import Inputs, Settings, read_request
from humo.space.photographs import Photographs
from humo.space.state import Backend

VISITOR = SimpleNamespace(session_hash="one")
PROMPT = "a woman in a red shirt talks"
DEFAULTS = Defaults(
    guidance={"rule": "constant"}, num_inference_steps=2, num_frames=9, max_frames=None, size=(64, 64),
    sizes=((64, 64),), trained_frames=None, shift=5.0, max_references=3,
)  # fmt: skip


class Tab:
    """A tab with text, pictures and voice, and what a visitor has put in."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.defaults = folder, replace(DEFAULTS, **changes)
        self.photographs = Photographs(folder)
        self.inputs, self.settings = asyncio.run(self._build())
        self.values: dict[Any, Any] = {each: each.value for each in (*self.inputs.widgets(), *self.settings.widgets())}
        self.values |= {self.inputs.prompt: PROMPT, self.inputs.audio: str(folder / "voice.wav")}
        self.arrange = picturing.on_pictures(self.inputs, self.settings, self.photographs)

    async def _build(self) -> tuple[Inputs, Settings]:
        serving = SimpleNamespace(defaults=self.defaults, name="tiny", has_fast=False)
        backend = SimpleNamespace(
            serving=serving, folder=self.folder, examples=[], live=None, admission=SimpleNamespace(limits=Limits())
        )
        with gr.Blocks(analytics_enabled=False):
            with gr.Tabs():
                inputs = make_tab(MODES[2], backend)
            return inputs, layout.settings(self.defaults)

    def take(self, view: dict[Any, Any]) -> dict[Any, Any]:
        """Puts an event's answer in place, as the browser does."""
        self.values |= {widget: new for widget, new in view.items() if not isinstance(new, dict)}
        return view

    def put(self, *paths: str | None) -> dict[Any, Any]:
        """Pictures in their places, and what the page answers."""
        self.values |= dict(zip(self.inputs.ordered(), paths, strict=True))
        return self.take(self.arrange(self.values, VISITOR))

    @property
    def pictures(self) -> list[str | None]:
        """In their places."""
        return [self.values[each] for each in self.inputs.ordered()]

    def visible(self, view: dict[Any, Any], what: str) -> list[bool]:
        """Of the slots, whether a part of theirs is shown."""
        return [view[getattr(slot, what)]["visible"] for slot in self.inputs.more.slots]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Pictures of three colours, one that is damaged, and a voice beside them."""
    for name, colour in (("red", (200, 20, 20)), ("green", (20, 200, 20)), ("blue", (20, 20, 200))):
        Image.new("RGB", (40, 60), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(80))
    soundfile.write(tmp_path / "voice.wav", *tiny.voice(0.36))
    return {path.stem: str(path) for path in tmp_path.iterdir()}


@pytest.fixture
def tab(tmp_path: Path, files: dict[str, str]) -> Tab:
    return Tab(tmp_path)


def test_a_free_place_follows_and_each_is_shown_as_seen(tab: Tab, files: dict[str, str]) -> None:
    view = tab.put(files["red"], None, None)
    assert tab.visible(view, "column") == [True, False] and tab.visible(view, "seen") == [False, False]
    view = tab.put(files["red"], files["green"], None)
    assert tab.visible(view, "column") == [True, True] and tab.visible(view, "earlier") == [True, False]
    seen = view[tab.inputs.more.slots[0].seen]["value"]
    assert "The model sees 64 x 64 pixels, white left and right: 33% of the frame." in seen
    assert view[tab.inputs.more.box]["open"]
    assert not set(view) & set(tab.inputs.ordered()), "what stays is not sent back, or it would come again"


def test_they_close_up_where_one_is_taken_out(tab: Tab, files: dict[str, str]) -> None:
    tab.put(files["red"], None, files["blue"])
    assert tab.pictures == [files["red"], files["blue"], None]
    view = tab.put(None, files["blue"], files["green"])
    assert tab.pictures == [files["blue"], files["green"], None]
    assert tab.visible(view, "column") == [True, True] and tab.visible(view, "seen") == [True, False]
    tab.put(None, None, None)
    assert tab.pictures == [None] * 3


def test_they_change_places_and_are_asked_for_in_order(tab: Tab, files: dict[str, str]) -> None:
    tab.put(files["red"], files["green"], files["blue"])
    for place, expected in ((2, ["red", "blue", "green"]), (1, ["blue", "red", "green"])):
        tab.take(picturing.on_earlier(tab.inputs, tab.settings, place)(tab.values))
        assert tab.pictures == [files[name] for name in expected]
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    assert request.images == tuple(Path(files[name]) for name in ("blue", "red", "green"))
    Limits().check(request)


def test_a_damaged_one_is_shown_nowhere(tab: Tab, files: dict[str, str]) -> None:
    view = tab.put(files["red"], files["torn"], None)
    assert tab.visible(view, "seen") == [False, False]
    with pytest.raises(ValueError, match="torn.png is damaged"):
        Limits().check(read_request(tab.values, tab.inputs, tab.settings)[0])


@pytest.mark.parametrize(("most", "slots"), [(1, 0), (2, 1), (3, 2), (9, 3), (None, 3)])
def test_there_are_as_many_as_the_model_takes_and_the_page_allows(most: int | None, slots: int, tmp_path: Path) -> None:
    assert len(Tab(tmp_path, max_references=most).inputs.slot_images()) == slots


def test_a_model_of_one_says_so_where_the_second_would_be(backend: Backend) -> None:
    for most, is_said in ((1, True), (3, False)):
        serving = replace(backend.serving, defaults=replace(backend.serving.defaults, max_references=most))
        config = page_of(replace(backend, serving=serving)).get_config_file()
        told = [part for part in config["components"] if part["props"].get("value") == texts.ONE_PICTURE]
        boxes = [part for part in config["components"] if part["props"].get("label") == texts.MORE_PICTURES]
        assert (len(told), len(boxes)) == ((2, 0) if is_said else (0, 2))


def test_a_drawn_person_stays_the_first_and_photographs_go_with_the_visit(
    tmp_path: Path, files: dict[str, str]
) -> None:
    tab = Tab(tmp_path, draws_people=True)
    assert tab.inputs.image not in tab.inputs.ordered() and tab.inputs.more.slots[0].earlier is None
    photograph, drawing = tmp_path / "me.png", tmp_path / "drawn.png"
    Image.fromarray(astronaut()).save(photograph)
    draw_portrait(Portrait()).save(drawing)
    tab.values[tab.inputs.maker.person] = portraying.DrawnPerson(Portrait(), is_from_picture=False)
    tab.put(str(photograph), str(drawing))
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    assert request.images == (Portrait(), photograph, drawing) and not request.as_is
    tab.photographs.forget(VISITOR)
    assert not photograph.exists() and drawing.exists()


# --- links


@pytest.fixture(scope="module")
def pipe() -> HuMoPipeline:
    return tiny.pipeline("mini", max_references=3)


@pytest.fixture
def backend(pipe: HuMoPipeline, tmp_path: Path) -> Backend:
    """A page's back with a model that takes three pictures."""
    return backend_of(pipe, tmp_path)


@pytest.mark.slow
def test_a_link_keeps_all_of_them_in_order(
    tab: Tab, files: dict[str, str], pipe: HuMoPipeline, backend: Backend, tmp_path: Path
) -> None:
    tab.put(files["red"], files["green"], files["blue"])
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    result = MakeVideo(request, tmp_path / "film.mp4").run(pipe, lambda moment: None)
    assert result.settings["num_images"] == 3
    record, _ = share(backend.store, result, request, "", keep_inputs=True)
    assert record.missing == () and len(record.pictures) == 3
    assert "text, 3 pictures and voice" in html.facts(record)

    page = parts_of(backend)
    view = sharing.show(page, backend, record.id)
    others, titles = zip(*view[page.opened.others]["value"], strict=True)
    shown = [view[page.opened.image]["value"], *others]
    assert titles == ("Picture 2", "Picture 3")
    back = sharing.on_remix(page, backend)(record.id)
    restored = [back[widget] for widget in page.tabs[2].ordered()]
    colours = [(200, 20, 20), (20, 200, 20), (20, 20, 200)]
    for paths in (shown, restored):
        assert [Image.open(path).convert("RGB").getpixel((5, 5)) for path in paths] == colours
    slots = page.tabs[2].more.slots
    assert all(back[slot.column]["visible"] and back[slot.seen]["visible"] for slot in slots)
    again = replace(request, images=tuple(Path(path) for path in restored))
    repeated = again.run(pipe).frames
    assert np.array_equal(repeated, request.run(pipe).frames)
    assert not np.array_equal(repeated, replace(again, images=again.images[:1]).run(pipe).frames)

    one = replace(backend, serving=replace(backend.serving, defaults=replace(DEFAULTS, max_references=1)))
    small = parts_of(one)
    with pytest.warns(UserWarning, match="made from 3 pictures; this model takes 1 picture, so the first are here"):
        back = sharing.on_remix(small, one)(record.id)
    assert back[small.tabs[2].image] == restored[0]


def test_what_is_not_there_any_more_is_emptied(backend: Backend, tmp_path: Path, files: dict[str, str]) -> None:
    page = parts_of(backend)
    tab = page.tabs[2]
    few = VideoSettings.of_plain(made.SETTINGS)
    filled = filling.on_example(next(each for each in backend.examples if each.mode == "TIA"), tab, page.settings)()
    for view in (sharing.restored(few, {"image": Path(files["red"])}, page.modes, page.tabs, page.settings), filled):
        assert [view[slot.image] for slot in tab.more.slots] == [None, None]
        assert [view[slot.column]["visible"] for slot in tab.more.slots] == [True, False]


@pytest.mark.parametrize(
    ("portrait", "kept", "missing", "told"),
    [
        (None, 0, ("pictures",), "The pictures were not kept"),
        (None, 2, (), ""),
        (Portrait(), 0, ("picture",), "The picture was not kept"),
        (Portrait(), 2, (), ""),
    ],
)
def test_a_link_tells_which_pictures_it_lacks(
    portrait: Portrait | None, kept: int, missing: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    record, files = made.record(tmp_path)
    settings = replace(record.settings, mode="TI", num_images=2, portrait=portrait)
    entry = record.files["poster.webp"]
    pictures = {f"inputs/picture-{number}.webp": entry for number in range(1, kept + 1)}
    record = replace(record, settings=settings, files={**record.files, **pictures})
    assert record.missing == missing and record.missing_note.startswith(told)
