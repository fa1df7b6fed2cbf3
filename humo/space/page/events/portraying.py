"""The events around a person of the visitor's own: a photograph is drawn, corrected, or a person made from nothing.

mini knows drawn people only, so what it sees in place of a photograph is a drawing of whom the photograph shows
(`humo.portrait`). The photograph is forgotten with the visit. The published models see photographs as they are and need
none of this. Ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr
import numpy as np
from PIL import Image

from humo.media import read_picture
from humo.portrait import Portrait, draw_portrait, is_drawing
from humo.space.jobs.limits import READERS
from humo.space.page import html, texts
from humo.space.page.caption_completion import complete_prompt
from humo.space.page.events.generating import View, toasts
from humo.space.page.portrait_view import chosen_changes, describe_portrait, maker_value
from humo.space.page.previews import figure, seen_html
from humo.space.page.widgets import Inputs, Settings
from humo.space.photographs import Photographs
from humo.world.people import sample_person, sample_setting

MADE_UP = "This is who the model will see. Change below what you like."


@dataclass(frozen=True, slots=True, eq=False)  # by identity: gradio hashes a state whose change it tells
class DrawnPerson:
    """Who the model will see in place of the picture."""

    portrait: Portrait
    is_from_picture: bool


def on_picture(inputs: Inputs, settings: Settings, photographs: Photographs) -> Callable[[View, gr.Request], View]:
    """The event of another picture: a photograph is drawn, a drawing stays as it is.

    Args:
        inputs: of the tab.
        settings: what all tabs share.
        photographs: learns of each.
    """

    def read(values: View, request: gr.Request) -> View:
        path, person = values[inputs.image], values[inputs.maker.person]
        if path is None:
            if person is not None and not person.is_from_picture:
                return {inputs.maker.as_is: gr.update(visible=False)}
            return _without_person(inputs) | {inputs.maker.as_is: gr.update(value=False, visible=False)}
        try:
            with READERS:
                picture = read_picture(path)
                is_known = is_drawing(picture)
        except ValueError:  # told by `filling.on_upload`
            return _without_person(inputs)
        if is_known:
            shown = {inputs.maker.as_is: gr.update(value=True, visible=True)}
            return _as_it_is(picture, values, inputs, settings) | shown
        photographs.add(request.session_hash, path)
        view = {inputs.maker.as_is: gr.update(value=False, visible=True)}
        return view | _drawn(picture, values, inputs)

    return read


def on_as_is(inputs: Inputs, settings: Settings) -> Callable[[View], View]:
    """The event of the box that shows the model the picture itself; arguments as of `on_picture`."""

    def choose(values: View) -> View:
        path = values[inputs.image]
        if path is None:
            return {inputs.maker.as_is: gr.update(visible=False)}
        if values[inputs.maker.as_is]:
            return _as_it_is(path, values, inputs, settings)
        return _drawn(path, values, inputs)

    return choose


def on_tile(inputs: Inputs) -> Callable[[View, gr.EventData], View]:
    """The event of pressed buttons of the person maker; arguments as of `on_picture`."""

    def choose(values: View, pressed: gr.EventData) -> View:
        person = values[inputs.maker.person]
        before = Portrait() if person is None else person.portrait
        with toasts():
            changes = chosen_changes(before, pressed.chosen)
        portrait = before.with_changes(**changes)
        return _with_person(portrait, values, inputs, tuple(changes)) | _as_drawn(inputs)

    return choose


def on_surprise(inputs: Inputs) -> Callable[[View], View]:
    """The event of Surprise me: anybody whom the world can draw; arguments as of `on_picture`."""

    def surprise(values: View) -> View:
        rng = np.random.default_rng(secrets.randbits(64))
        return _with_person(sample_portrait(rng), values, inputs) | _as_drawn(inputs)

    return surprise


def on_maker(inputs: Inputs) -> Callable[[View], View]:
    """The event of the opened person maker: only then are its drawings made."""

    def show(values: View) -> View:
        person = values[inputs.maker.person]
        return {inputs.maker.buttons: maker_value(Portrait() if person is None else person.portrait)}

    return show


def sample_portrait(rng: np.random.Generator) -> Portrait:
    """Draw anybody, by the world's own chances."""
    person, setting = sample_person(rng), sample_setting(rng)
    names = [name for name in Portrait.__dataclass_fields__ if hasattr(person, name)]
    outside = {name: getattr(setting, name) for name in ("garment", "colour", "background")}
    return Portrait(**{name: getattr(person, name) for name in names}, **outside)


def _drawn(picture: str | Image.Image, values: View, inputs: Inputs) -> View:
    """A photograph's view: the person in it, or the sentence that says why there is none."""
    from humo.portrait import read_portrait  # OpenCV: only for whoever brings a photograph

    try:
        with READERS:
            portrait = read_portrait(picture)
    except ValueError as error:
        told = f"{html.sentence(str(error))} Or make the person below."
        seen = gr.update(value=figure("humo-seen", "", told), visible=True)
        return _without_person(inputs) | {inputs.seen: seen, inputs.maker.box: gr.update(open=True, label=texts.MAKER)}
    return _with_person(portrait, values, inputs, is_from_picture=True)


def _with_person(
    portrait: Portrait,
    values: View,
    inputs: Inputs,
    changed: tuple[str, ...] | None = None,
    is_from_picture: bool = False,
) -> View:
    person, prompt = values[inputs.maker.person], values[inputs.prompt] or ""
    action = "talks" if inputs.mode.needs_audio else "nods"
    completed = complete_prompt(prompt, portrait, values[inputs.maker.completed], action, changed)
    is_from_picture = is_from_picture or (changed is not None and person is not None and person.is_from_picture)
    return show_person(inputs, portrait, is_from_picture) | {
        inputs.maker.completed: completed,
        inputs.prompt: completed.text,
        inputs.maker.box: gr.update(open=True, label=texts.CHANGE),
    }


def show_person(inputs: Inputs, portrait: Portrait, is_from_picture: bool = False) -> View:
    """Updates that put a person in the place of the picture.

    Args:
        inputs: of the tab.
        portrait: of the person.
        is_from_picture: whether the picture that is given shows this person.
    """
    picture = draw_portrait(portrait)
    words = describe_portrait(portrait) if is_from_picture else MADE_UP
    return {
        inputs.maker.person: DrawnPerson(portrait, is_from_picture),
        inputs.seen: gr.update(value=seen_html(picture, picture.height, picture.width, words), visible=True),
        inputs.maker.buttons: maker_value(portrait),
        inputs.maker.box: gr.update(label=texts.CHANGE),
    }


def _as_it_is(picture: str | Image.Image, values: View, inputs: Inputs, settings: Settings) -> View:
    height, width = settings.defaults.read_size(values[settings.size])
    seen = gr.update(value=seen_html(read_picture(picture), height, width), visible=True)
    return _without_person(inputs) | {inputs.seen: seen}


def _without_person(inputs: Inputs) -> View:
    box = gr.update(open=False, label=texts.MAKER)
    return {inputs.maker.person: None, inputs.seen: gr.update(visible=False), inputs.maker.box: box}


def _as_drawn(inputs: Inputs) -> View:
    return {inputs.maker.as_is: gr.update(value=False)}
