"""humo.space.page.events.portraying and portrait_view: a photograph drawn and corrected, a person made from nothing.

Run: python -m pytest tests/space/page/test_portraying.py
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import tiny
from PIL import Image
from skimage.data import astronaut

from humo.pipeline import HuMoPipeline
from humo.portrait import ATTRIBUTES, GUESSES, Portrait, draw_portrait
from humo.space.application.building import make_tab
from humo.space.jobs.limits import Limits
from humo.space.jobs.request import MODES, Defaults
from humo.space.links.settings import VideoSettings
from humo.space.page import layout
from humo.space.page.caption_completion import Completed
from humo.space.page.events import portraying
from humo.space.page.events.sharing import restored
from humo.space.page.portrait_view import ROWS, TILE, describe_portrait, draw_tiles, maker_html, maker_value
from humo.space.page.widgets import Inputs, Settings, read_request
from humo.space.photographs import Photographs
from humo.wording.vocabulary import find_words

VISITOR = SimpleNamespace(session_hash="one")


class Tab:
    """A tab of the page with its settings, and what a visitor has put in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photographs = folder, Photographs(folder)
        self.inputs, self.settings = asyncio.run(self._build())
        self.values: dict[Any, Any] = {each: each.value for each in (*self.inputs.widgets(), *self.settings.widgets())}
        self.values |= {self.inputs.maker.person: None, self.inputs.maker.completed: Completed()}

    async def _build(self) -> tuple[Inputs, Settings]:
        defaults = Defaults(
            guidance={"rule": "constant"}, num_inference_steps=4, num_frames=49, max_frames=None, size=(128, 128),
            sizes=((128, 128),), trained_frames=None, shift=5.0, draws_people=True,
        )  # fmt: skip
        serving = SimpleNamespace(defaults=defaults, name="mini", has_fast=True)
        with gr.Blocks(analytics_enabled=False):
            with gr.Tabs():
                admission = SimpleNamespace(limits=Limits())
                inputs = make_tab(MODES[0], SimpleNamespace(serving=serving, examples=[], admission=admission))
            return inputs, layout.settings(defaults)

    def take(self, view: dict[Any, Any]) -> dict[Any, Any]:
        """Puts an event's answer in place, as the browser does."""
        for widget, update in view.items():
            is_update = isinstance(update, dict) and update.get("__type__") == "update"
            if not is_update:
                self.values[widget] = update
            elif "value" in update:
                self.values[widget] = update["value"]
        return view

    def upload(self, picture: Image.Image, name: str = "me.png") -> dict[Any, Any]:
        picture.save(self.folder / name)
        self.values[self.inputs.image] = str(self.folder / name)
        read = portraying.on_picture(self.inputs, self.settings, self.photographs)
        return self.take(read(self.values, VISITOR))

    def press(self, **pressed: str) -> dict[Any, Any]:
        chosen = maker_value(self.person.portrait if self.person else Portrait())["chosen"]
        event = SimpleNamespace(chosen={**chosen, **pressed})
        return self.take(portraying.on_tile(self.inputs)(self.values, event))

    @property
    def person(self) -> portraying.DrawnPerson | None:
        return self.values[self.inputs.maker.person]

    @property
    def prompt(self) -> str:
        return self.values[self.inputs.prompt]


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


def test_a_photograph_is_drawn_told_and_written_into_the_text(tab: Tab) -> None:
    view = tab.upload(Image.fromarray(astronaut()))
    portrait = tab.person.portrait
    assert tab.person.is_from_picture and portrait.face is not None
    assert find_words(tab.prompt)["background"] == portrait.background
    told = view[tab.inputs.seen]["value"]
    assert "drawn from your photograph. Only guessed: " in told
    assert view[tab.inputs.maker.box]["open"] and view[tab.inputs.maker.as_is]["visible"]
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    assert request.images == (portrait,) and not request.as_is and request.prompt == tab.prompt


def test_a_button_changes_drawing_text_and_who_is_seen(tab: Tab) -> None:
    tab.upload(Image.fromarray(astronaut()))
    before, seen = tab.person, tab.values[tab.inputs.seen]
    tab.press(glasses="sunglasses")
    tab.press(colour="purple", gender="woman")
    assert (tab.person.portrait.glasses, tab.person.portrait.colour) == ("sunglasses", "purple")
    assert tab.person.portrait.sure["colour"] == 1.0 and find_words(tab.prompt)["gender"] == "woman"
    assert tab.values[tab.inputs.seen] != seen
    assert tab.person.is_from_picture and tab.person.portrait.face == before.portrait.face
    assert find_words(tab.prompt)["colour"] == "purple" and "sunglasses" in tab.prompt
    with pytest.raises(gr.Error, match="Glasses cannot be 'monocle'"):
        tab.press(glasses="monocle")


def test_a_person_is_made_from_nothing(tab: Tab) -> None:
    tab.press(hair_style="spiky")
    assert tab.person.portrait == Portrait(hair_style="spiky", sure={"hair_style": 1.0})
    assert "spiky hair" in tab.prompt and "photograph" not in tab.values[tab.inputs.seen]
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    assert request.images == (tab.person.portrait,), "the mode's picture"
    people = set()
    for _ in range(5):
        tab.take(portraying.on_surprise(tab.inputs)(tab.values))
        assert set(tab.person.portrait.attributes) == set(ATTRIBUTES)
        people.add(tab.prompt)
    assert len(people) == 5


def test_a_drawing_stays_as_it_is_until_somebody_asks(tab: Tab) -> None:
    view = tab.upload(draw_portrait(Portrait(gender="man", hair_style="short", background="blue")))
    assert tab.person is None and tab.values[tab.inputs.maker.as_is] is True and tab.prompt in (None, "")
    assert "What the model sees" in view[tab.inputs.seen]["value"]
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    assert request.images == (tab.folder / "me.png",) and request.as_is
    tab.values[tab.inputs.maker.as_is] = False
    choose = portraying.on_as_is(tab.inputs, tab.settings)
    tab.take(choose(tab.values))
    assert tab.person.portrait.hair_style == "short" and tab.person.portrait.background == "blue"
    tab.values[tab.inputs.maker.as_is] = True
    tab.take(choose(tab.values))
    assert tab.person is None


def test_no_face_is_a_sentence_and_the_maker(tab: Tab) -> None:
    view = tab.upload(tiny.picture(200, 200))
    assert tab.person is None and view[tab.inputs.maker.box]["open"]
    assert "No face" in view[tab.inputs.seen]["value"] and "Or make the person below." in view[tab.inputs.seen]["value"]
    tab.press(beard="beard")
    assert tab.person is not None and not tab.person.is_from_picture


def test_a_picture_that_goes_takes_its_person_along_and_no_other(tab: Tab) -> None:
    read = portraying.on_picture(tab.inputs, tab.settings, tab.photographs)
    tab.upload(Image.fromarray(astronaut()))
    tab.values[tab.inputs.image] = None
    tab.take(read(tab.values, VISITOR))
    assert tab.person is None
    tab.press(beard="beard")
    tab.take(read(tab.values, VISITOR))
    assert tab.person is not None
    (tab.folder / "torn.png").write_bytes(b"\x89PNG")
    tab.values[tab.inputs.image] = str(tab.folder / "torn.png")
    tab.take(read(tab.values, VISITOR))
    assert tab.person is None


def test_photographs_go_with_the_visit_and_others_stay(tab: Tab, tmp_path: Path) -> None:
    tab.upload(Image.fromarray(astronaut()), "mine.png")
    mine, shared, example = tmp_path / "mine.png", tmp_path / "shared.png", tmp_path.parent / "example.png"
    for path in (shared, example):
        path.write_bytes(b"")
        tab.photographs.add("one", path)
    tab.photographs.add("two", shared)
    tab.photographs.forget(VISITOR)
    assert not mine.exists() and shared.exists() and example.exists()
    tab.photographs.forget(SimpleNamespace(session_hash="two"))
    tab.photographs.forget(SimpleNamespace(session_hash="never seen"))
    assert not shared.exists()


def test_a_video_brings_its_drawn_person_back(tab: Tab, mini_pipeline: HuMoPipeline) -> None:
    tab.press(hair_style="bun", glasses="round", background="red")
    portrait = tab.person.portrait
    request, _ = read_request(tab.values, tab.inputs, tab.settings)
    mini_pipeline.register_to_config(draws_photographs=True)
    try:
        call = replace(request, num_inference_steps=2, guidance={}, height=None, width=None).read(mini_pipeline)
    finally:
        mini_pipeline.register_to_config(draws_photographs=False)
    shown = call.pictures[0]
    assert call.portrait == portrait and np.array_equal(shown, draw_portrait(portrait, shown.height))
    settings = VideoSettings.of_plain(json.loads(json.dumps(call.settings)))
    assert settings.portrait == portrait and settings.num_images == 1
    tab.take({tab.inputs.maker.person: None, tab.inputs.seen: None})
    view = tab.take(restored(settings, {}, "modes", [tab.inputs], tab.settings))
    assert tab.person.portrait == portrait and not tab.person.is_from_picture
    assert view[tab.inputs.maker.buttons]["chosen"]["hair_style"] == "bun"


def test_every_value_of_the_world_has_a_button_and_a_drawing_of_its_own() -> None:
    assert [row.name for row in ROWS] == [*ATTRIBUTES]
    page, her = maker_html("TI"), Portrait(gender="woman", hair_style="long", colour="blue", background="white")
    for row in ROWS:
        assert set(row.values) - {""} == set(ATTRIBUTES[row.name]) and ("" in row.values) is (row.name in GUESSES)
        assert all(f'name="TI-{row.name}" value="{value}"' in page for value in row.values)
    sheet = np.asarray(draw_tiles(her)).astype(int)
    for y, row in enumerate(ROWS):
        line = sheet[y * TILE : (y + 1) * TILE]
        tiles = [line[:, x * TILE : (x + 1) * TILE] for x in range(len(ATTRIBUTES[row.name]))]
        for x, tile in enumerate(tiles):
            assert all(np.abs(tile - other).max() > 20 for other in tiles[:x]), (row.name, x)
    value = maker_value(her)
    expected = {"gender": "woman", "skin": "", "eye_colour": "", "hair_style": "long", "glasses": None}
    assert expected.items() <= value["chosen"].items()
    picture = Image.open(io.BytesIO(base64.b64decode(value["tiles"].partition(",")[2])))
    assert picture.size == (sheet.shape[1], sheet.shape[0])


def test_what_was_guessed_and_not_seen_is_told() -> None:
    portrait = Portrait(skin="pale", eye_colour="blue", hair_style="short", hair_colour="grey", others=2)
    told = describe_portrait(portrait)
    assert "Of 3 faces it is the largest. Only guessed: skin and eyes. Not seen: glasses, beard, clothes," in told
    assert "colour of the clothes and background." in told and "hair" not in told
