"""The page's widgets, named: what a tab holds, what all tabs share, the result's panel and what hangs on it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr

from humo.space.examples import Example
from humo.space.jobs.request import Defaults, Mode, VideoRequest, frames_for
from humo.space.page.dubbing.view import Dubbing
from humo.space.page.loras.view import LoraChoice
from humo.space.page.picture_file import PictureFile

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For events that answer at once."""
QUEUED: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
"""For events that may show a toast, which only those of gradio's queue can; how many run is for the job manager."""


@dataclass(frozen=True)
class Speaking:
    """Widgets with which a sentence becomes a voice."""

    text: gr.Textbox
    voice: gr.Dropdown
    rate: gr.Slider
    speak: gr.Button


@dataclass(frozen=True)
class PersonMaker:
    """Widgets that draw a person in place of a photograph, or from nothing."""

    as_is: gr.Checkbox
    """Whether the model sees the picture itself."""
    box: gr.Accordion
    buttons: gr.HTML
    surprise: gr.Button
    person: gr.State
    """`humo.space.page.events.portraying.DrawnPerson`, or None where the model sees the picture itself or nothing."""
    completed: gr.State
    """`humo.space.page.caption_completion.Completed`: what was written into the text for the last person."""


@dataclass(frozen=True)
class Slot:
    """Widgets of one picture after the first."""

    column: gr.Column
    image: PictureFile
    seen: gr.HTML
    """The picture as the model sees it."""
    earlier: gr.Button | Any
    """Puts it before the one before it; None where that one stays the first."""


@dataclass(frozen=True)
class MorePictures:
    """Widgets of the pictures after the first."""

    box: gr.Accordion
    slots: list[Slot]

    def parts(self) -> list[Any]:
        """All that other pictures change."""
        slots = [[each.column, each.image, each.seen, each.earlier] for each in self.slots]
        return [self.box, *(part for slot in slots for part in slot if part is not None)]


@dataclass(frozen=True)
class Inputs:
    """The widgets of one tab; `Any` where a tab may have none."""

    mode: Mode
    tab: gr.Tab
    prompt: gr.Textbox
    words: gr.HTML
    """Chips that write words into the prompt."""
    image: PictureFile | Any
    seen: gr.HTML | Any
    """The picture as the model sees it."""
    maker: PersonMaker | Any
    """Who is drawn in place of the picture, for a model of drawn people; None without pictures."""
    more: MorePictures | Any
    """Further pictures; None where the model takes one, or none."""
    audio: gr.Audio | None
    heard: gr.HTML | None
    """The sound as the model hears it."""
    speaking: Speaking | Any
    player: gr.HTML | Any
    """Of live sessions (`humo.space.live`); None where there are none."""
    seconds: gr.Slider | None
    generate: gr.Button
    quick: gr.Button
    """A quick look, by the model's fast form."""
    going_on: gr.Row
    """Holds `go_on`; shown once there is a video."""
    go_on: gr.Button
    """Lets the video that was made last go on with what the tab says."""
    live: gr.Checkbox
    """Whether every change brings a quick look."""
    wake: gr.Button
    """Hidden; pressed by the page itself for such a look, so that nothing is sent while nobody wants one."""
    estimate: gr.HTML
    """How long the video will take."""
    examples: list[tuple[Example, gr.Button]]

    def widgets(self) -> list[Any]:
        """Those that hold a value."""
        drawn = () if self.maker is None else (self.maker.as_is, self.maker.person)
        parts = (self.prompt, self.image, *drawn, *self.slot_images(), self.audio, self.seconds)
        return [each for each in parts if each is not None]

    def slot_images(self) -> list[PictureFile]:
        """The pictures after the first."""
        return [] if self.more is None else [slot.image for slot in self.more.slots]

    def ordered(self) -> list[PictureFile]:
        """The pictures whose order can be changed: without the first where a person is drawn in its place."""
        return [*((self.image,) if self.maker is None else ()), *self.slot_images()]

    def restored(self) -> list[Any]:
        """Those that an earlier video's settings change."""
        maker = self.maker
        shown = () if maker is None else (maker.completed, maker.box, maker.buttons, self.seen)
        more = () if self.more is None else self.more.parts()
        return [*dict.fromkeys([*self.widgets(), *shown, *more])]


@dataclass(frozen=True)
class Settings:
    """The widgets that all tabs share."""

    seed: gr.Number
    is_random: gr.Checkbox
    steps: gr.Slider
    size: gr.Dropdown
    shift: gr.Slider
    """Of the sound, milliseconds."""
    rule: gr.Dropdown
    note: gr.HTML
    """What the chosen rule does that no slider shows."""
    scales: dict[str, gr.Slider]
    """Of every rule; those that the chosen one lacks are hidden."""
    curve: gr.HTML
    """The schedule that the scales give."""
    mode: gr.State
    """Key of the tab that is open: which inputs the schedule is drawn for."""
    restore: gr.File
    """A video made here gives back its settings."""
    defaults: Defaults
    loras: LoraChoice | None = None
    """None where whoever runs the page offers none."""

    def widgets(self) -> list[Any]:
        """Those that hold a value of the request."""
        own = [self.seed, self.is_random, self.steps, self.size, self.shift, self.rule, *self.scales.values()]
        return own + ([] if self.loras is None else self.loras.widgets())


class _Group:
    """Widgets that are updated together."""

    def parts(self: Any) -> list[Any]:
        """All of them."""
        return [getattr(self, each.name) for each in fields(self)]


@dataclass(frozen=True)
class Panel(_Group):
    """The result's side."""

    stage: gr.HTML
    video: gr.Video
    summary: gr.HTML
    stop: gr.Button
    download: gr.DownloadButton
    made: gr.State
    """`humo.space.page.events.generating.Made` of the video that is shown, or None."""


@dataclass(frozen=True)
class Sharing(_Group):
    """What makes a link to a result."""

    group: gr.Group
    keeps_inputs: gr.Checkbox
    share: gr.Button
    link: gr.HTML
    token: gr.Textbox
    delete: gr.Button
    status: gr.HTML
    id: gr.State
    """Id of the link, or None."""


@dataclass(frozen=True)
class Opened(_Group):
    """A generation that a link or the gallery opened: read-only."""

    group: gr.Column
    title: gr.HTML
    video: gr.Video
    facts: gr.HTML
    image: gr.Image
    others: gr.Gallery
    """The pictures after the first."""
    audio: gr.Audio
    remix: gr.Button
    close: gr.Button
    id: gr.State
    """Id of the record, or None."""
    removal: gr.Accordion
    key: gr.Textbox
    delete: gr.Button


@dataclass(frozen=True)
class Looking:
    """The view inside a result."""

    group: gr.Accordion
    look: gr.Button
    status: gr.HTML
    """How far it is."""
    stop: gr.Button
    shown: gr.Column
    step: gr.Slider
    frame: gr.Slider
    pictures: dict[str, gr.HTML]
    """Name of the view: picture and words."""
    inside: gr.State
    """`humo.space.inspect.look_inside.Inside` of the video that is shown, or None."""

    def parts(self) -> list[Any]:
        """All that a look changes."""
        return [
            self.look,
            self.status,
            self.stop,
            self.shown,
            self.step,
            self.frame,
            *self.pictures.values(),
            self.inside,
        ]


@dataclass(frozen=True)
class Comparing:
    """The same seed under two rules."""

    group: gr.Accordion
    compare: gr.Button
    status: gr.HTML
    """How far it is."""
    stop: gr.Button
    video: gr.Video
    words: gr.HTML

    def parts(self) -> list[Any]:
        """All that a comparison changes."""
        return [self.compare, self.status, self.stop, self.video, self.words]


@dataclass(frozen=True)
class Parts:
    """The parts of the page that events connect."""

    opened: Opened
    maker: gr.Column
    """All that makes a video; it makes room for what a link opens."""
    modes: gr.Tabs
    tabs: list[Inputs]
    gallery: gr.Gallery
    settings: Settings
    panel: Panel
    links: Sharing
    views: Looking
    other: Comparing
    dubbing: Dubbing

    def starts(self) -> list[gr.Button]:
        """Buttons that start a job; they rest while one runs."""
        buttons = [*(each for tab in self.tabs for each in (tab.generate, tab.quick, tab.go_on)), self.views.look]
        return [*buttons, self.other.compare, self.dubbing.find, self.dubbing.dub]

    def stops(self) -> list[gr.Button]:
        """Buttons that stop the job; each is shown while what stands above it runs."""
        return [self.panel.stop, self.views.stop, self.other.stop, self.dubbing.stop]

    def groups(self) -> list[gr.Group | gr.Accordion | gr.Row]:
        """What hangs on a finished video."""
        return [self.links.group, self.views.group, self.other.group, *(tab.going_on for tab in self.tabs)]

    def restored(self) -> list[Any]:
        """All that an earlier video's settings change."""
        return [self.modes, *self.settings.widgets(), *(each for tab in self.tabs for each in tab.restored())]


def read_request(
    values: Any, inputs: Inputs, settings: Settings, is_fast: bool = False, is_live: bool = False
) -> tuple[VideoRequest, str]:
    """What a visitor asks for, and a name for the file without its ending.

    Args:
        values: by widget, of the tab and the settings.
        inputs: the tab whose button was pressed.
        settings: what all tabs share.
        is_fast: for a quick look, with the fast form's own steps.
        is_live: the sound is yet to come.

    Raises:
        ValueError: in one sentence, if the mode lacks an input.
    """
    image, audio = values.get(inputs.image), values.get(inputs.audio)
    person = None if inputs.maker is None else values[inputs.maker.person]
    if person is not None:
        image = person.portrait
    inputs.mode.check(image, True if is_live else audio)
    pictures = [image, *(values[slot] for slot in inputs.slot_images())]
    seed, num_frames = values[settings.seed], None
    if values[settings.is_random] or seed is None:
        seed = secrets.randbelow(2**31)
    if inputs.seconds is not None:
        num_frames = frames_for(values[inputs.seconds], settings.defaults.max_frames)
    height, width = settings.defaults.read_size(values[settings.size])
    request = VideoRequest(
        prompt=values[inputs.prompt] or "",
        images=tuple(Path(each) if isinstance(each, str) else each for each in pictures if each),
        audio=Path(audio) if audio else None,
        num_frames=num_frames,
        num_inference_steps=None if is_fast else values[settings.steps],
        guidance=read_guidance(values, settings),
        seed=seed,
        height=height,
        width=width,
        is_fast=is_fast,
        as_is=person is None and inputs.maker is not None and values[inputs.maker.as_is],
        audio_shift=values[settings.shift] if audio else 0,
        loras=() if settings.loras is None else settings.loras.chosen(values),
    )
    return request, f"humo-{inputs.mode.key.lower()}-{seed}"


def read_guidance(values: Any, settings: Settings) -> dict[str, Any]:
    """Rule and scales as `humo.guidance.make_rule` reads them, from the values of the settings."""
    scales = {name: values[slider] for name, slider in settings.scales.items()}
    return settings.defaults.with_rule(values[settings.rule]).with_scales(**scales)
