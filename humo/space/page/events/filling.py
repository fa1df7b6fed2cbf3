"""The events that fill the inputs in and show what they mean before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from humo.media import read_picture, read_sound
from humo.space.examples import Example
from humo.space.jobs.limits import READERS
from humo.space.jobs.request import Defaults, Mode, frames_of
from humo.space.jobs.served_model import ServedModel
from humo.space.links.settings import read_settings
from humo.space.page import html
from humo.space.page.curves import schedule_svg
from humo.space.page.dense_caption import dense_caption
from humo.space.page.events.generating import View, toasts
from humo.space.page.events.picturing import show_more, shown
from humo.space.page.events.sharing import restored
from humo.space.page.events.speaking import speak_to_file
from humo.space.page.previews import heard_html, seen_html
from humo.space.page.scales import rule_note
from humo.space.page.widgets import Inputs, Parts, Settings, read_guidance, read_request
from humo.space.temporary import DiskQuota
from humo.system.ranges import read_shift
from humo.timing import FPS
from humo.wording.vocabulary import add_words


def on_upload(read: Callable[[str], object]) -> Callable[[str | None], Any]:
    """Looks at an upload at once, and takes it out again with a sentence if it is no good."""

    def check(path: str | None) -> Any:
        if path is None:
            return None
        try:
            with READERS:
                read(path)
        except ValueError as error:
            gr.Warning(html.sentence(str(error)))
            return None
        return gr.skip()

    return check


def add_word(prompt: str, chip: gr.EventData) -> str:
    """Writes the word of a chip into the prompt."""
    return add_words(prompt or "", chip.group, chip.word)


def write_caption(*fields: str) -> str:
    """Writes a dense caption from what the fields say."""
    with toasts():
        return dense_caption(*(field or "" for field in fields))


def on_example(example: Example, inputs: Inputs, settings: Settings) -> Callable[[], View]:
    """Fills an example in."""

    def fill() -> View:
        values: View = {inputs.prompt: example.prompt, settings.seed: example.seed, settings.is_random: False}
        if inputs.image is not None:
            values |= {inputs.image: str(example.image)} | show_more(inputs, [], settings.defaults)
        if inputs.maker is not None:
            values[inputs.maker.person] = None
        if inputs.audio is not None:
            values[inputs.audio] = str(example.audio)
        return values

    return fill


def on_picture(defaults: Defaults) -> Callable[[str | None, str], Any]:
    """Shows a picture as the model sees it in a size of the menu."""

    return lambda path, size: shown(read_picture, path, lambda it: seen_html(it, *defaults.read_size(size)))


def on_sound(defaults: Defaults) -> Callable[[str | None, int], Any]:
    """Shows a sound as the model hears it, shifted by so many milliseconds."""

    return lambda path, shift: shown(
        lambda given: read_sound(given).shifted(read_shift(shift)),
        path,
        lambda it: heard_html(it, defaults.longest_by_sound),
    )


def on_speak(quota: DiskQuota, defaults: Defaults) -> Callable[[str, str, float], str]:
    """Makes a voice say a sentence; the sound's path, in the quota's folder."""
    longest = None if defaults.max_frames is None else defaults.max_frames / FPS

    def speak(text: str, voice: str, rate: float) -> str:
        with toasts():
            quota.make()
            return str(speak_to_file(text or "", voice, round(rate), quota.folder, max_seconds=longest))

    return speak


def on_rule(settings: Settings) -> Callable[[str], View]:
    """Shows the scales that a rule has, at the values it comes with."""

    def choose(rule: str) -> View:
        defaults = settings.defaults.with_rule(rule)
        note = rule_note(defaults)
        view: View = {settings.note: gr.update(value=html.note(note), visible=bool(note))}
        for name, slider in settings.scales.items():
            value = defaults.scale(name)
            view[slider] = gr.update(visible=False) if value is None else gr.update(visible=True, value=value)
        return view

    return choose


def on_tab(mode: Mode) -> Callable[[], str]:
    """Tells which tab is open."""
    return lambda: mode.key


def on_schedule(settings: Settings) -> Callable[[View], str]:
    """Draws the schedule that the settings give."""

    def draw(values: View) -> str:
        guidance, mode = read_guidance(values, settings), values[settings.mode]
        return schedule_svg(guidance, values[settings.steps], settings.defaults.shift, "I" in mode, "A" in mode)

    return draw


def on_restore(page: Parts) -> Callable[[str | None], View]:
    """Puts the settings of a video that was made here back; its picture and voice are not in it."""

    def restore(path: str | None) -> View:
        if path is None:
            return {}
        with toasts():
            video = read_settings(path)
        lacks = video.num_images - (video.portrait is not None)
        needed = {"I": "pictures" if lacks > 1 else "picture"} if lacks else {}
        lacking = [thing for letter, thing in (needed | {"A": "voice"}).items() if letter in video.mode]
        if lacking:
            gr.Info(f"The settings are back; the {' and the '.join(lacking)} must be given again.")
        return restored(video, {}, page.modes, page.tabs, page.settings)

    return restore


def on_estimate(inputs: Inputs, settings: Settings, serving: ServedModel) -> Callable[[View], str]:
    """Tells how long the video will take, once one has been made."""

    longest = serving.defaults.longest_by_sound

    def estimate(values: View) -> str:
        try:
            request, _ = read_request(values, inputs, settings)
            if request.audio is not None:
                request = replace(request, num_frames=frames_of(read_sound(request.audio), longest))
            seconds = serving.predict(request)
        except ValueError:  # something is missing or wrong: told when Generate is pressed
            seconds = None
        return html.estimate(seconds)

    return estimate
