"""Quick looks, live looks and live sessions where LoRAs are chosen: refused at once, or made without them and told.

Run: python -m pytest tests/space/page/test_lora_looks.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import tiny
from loras import save_lora
from page_parts import backend_of, parts_of

from humo.pipeline import HuMoPipeline
from humo.space.live.hub import LiveHub
from humo.space.live.view import on_speak_live
from humo.space.page import texts
from humo.space.page.events.generating import View, on_generate, on_live
from humo.space.page.widgets import Parts
from humo.space.state import Backend

ANNA: Any = SimpleNamespace(session_hash="anna", client=SimpleNamespace(host="1.2.3.4"), headers={})
PATIENCE = 60.0


@dataclass
class Visit:
    """A page on which a LoRA is chosen."""

    pipe: HuMoPipeline
    backend: Backend
    page: Parts

    def values(self, number: int, folder: Path) -> View:
        """Of a tab and the settings, ready to be made."""
        inputs, settings = self.page.tabs[number], self.page.settings
        values = {each: each.value for each in (*inputs.widgets(), *settings.widgets())}
        if inputs.image is not None:
            tiny.picture().save(folder / "face.png")
            values |= {inputs.image: str(folder / "face.png"), inputs.seconds: 0.2}
        return values | {inputs.prompt: "a woman talks", settings.loras.names: ["face"]}


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    pipe = tiny.pipeline("mini")
    pipe.fast_form = tiny.pipeline("mini")
    save_lora(tmp_path / "face.safetensors", pipe)
    backend = backend_of(pipe, tmp_path, loras={"face": tmp_path / "face.safetensors"})
    return Visit(pipe, backend, parts_of(backend))


def test_a_quick_look_is_refused_before_it_takes_a_place(visit: Visit, tmp_path: Path) -> None:
    make = on_generate(visit.page.tabs[0], visit.page, {}, visit.backend, is_fast=True)
    with pytest.raises(gr.Error, match="quick look takes no LoRA: press Generate, or choose none"):
        next(make(visit.values(0, tmp_path), ANNA))
    assert visit.backend.admission.manager.look_of("anna") is None


def test_a_live_look_goes_without_and_says_so_under_the_video(visit: Visit, tmp_path: Path) -> None:
    look = on_live(visit.page.tabs[0], visit.page, {}, visit.backend.admission)
    panel = visit.page.panel
    *_, last = look(visit.values(0, tmp_path), ANNA)
    assert last[panel.made].request.loras == () and texts.WITHOUT_LORAS in last[panel.summary]["value"]
    values = visit.values(0, tmp_path) | {visit.page.settings.loras.names: []}
    *_, last = look(values, ANNA)
    assert texts.WITHOUT_LORAS not in last[panel.summary]["value"]


def test_a_live_look_that_fails_leaves_the_last_video(visit: Visit, tmp_path: Path) -> None:
    visit.pipe.fast_form = None
    values = visit.values(0, tmp_path) | {visit.page.settings.loras.names: []}
    with pytest.raises(gr.Error, match="no fast form"):
        list(on_generate(visit.page.tabs[0], visit.page, {}, visit.backend, is_fast=True)(values, ANNA))
    (only,) = on_live(visit.page.tabs[0], visit.page, {}, visit.backend.admission)(values, ANNA)
    assert list(only) == [visit.page.panel.stage]


def test_a_live_session_goes_without_and_its_player_is_told(visit: Visit, tmp_path: Path) -> None:
    manager = visit.backend.admission.manager
    hub = LiveHub(visit.backend.serving.model, manager.turns, minutes=10)
    begin = on_speak_live(visit.page.tabs[1], visit.page.settings, hub, visit.backend.admission)
    told: Any = SimpleNamespace(rate=16_000, source="microphone")
    answer = begin(visit.values(1, tmp_path), ANNA, told)
    broadcast = hub.find(answer["id"])
    opening = broadcast.next_piece(-2, PATIENCE)
    broadcast.stop()
    broadcast.join()
    assert texts.WITHOUT_LORAS in json.loads(opening.split(b"\n", 1)[0])["notes"]
