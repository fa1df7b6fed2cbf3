"""The page's widgets, named: what a tab holds, what all tabs share, the result panel; and what they ask for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from humo.space.examples import Example
from humo.space.request import Defaults, Mode, VideoRequest, frames_for


class PictureFile(gr.Image):
    """A picture as the file it came in: gradio would decode it, and say only "Error" if it is damaged.

    Gradio writes a .pyi beside a module that has a subclass of its components; git ignores it.
    """

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """Path of the upload, unread."""
        return payload.path if payload is not None else None


@dataclass(frozen=True)
class Inputs:
    """The widgets of one tab."""

    mode: Mode
    prompt: gr.Textbox
    image: PictureFile | None
    audio: gr.Audio | None
    seconds: gr.Slider | None
    generate: gr.Button
    examples: list[tuple[Example, gr.Button]]

    def widgets(self) -> list[gr.components.Component]:
        """Those that hold a value."""
        return [each for each in (self.prompt, self.image, self.audio, self.seconds) if each is not None]


@dataclass(frozen=True)
class Settings:
    """The widgets that all tabs share."""

    seed: gr.Number
    is_random: gr.Checkbox
    steps: gr.Slider
    rule: gr.Dropdown
    note: gr.HTML
    """What the chosen rule does that no slider shows."""
    scales: dict[str, gr.Slider]
    """Of every rule; those that the chosen one lacks are hidden."""
    defaults: Defaults

    def widgets(self) -> list[gr.components.Component]:
        """Those that hold a value of the request."""
        return [self.seed, self.is_random, self.steps, self.rule, *self.scales.values()]


@dataclass(frozen=True)
class Panel:
    """The result side."""

    stage: gr.HTML
    video: gr.Video
    summary: gr.HTML
    stop: gr.Button
    download: gr.DownloadButton


def read_request(values: dict, inputs: Inputs, settings: Settings) -> tuple[VideoRequest, str]:
    """What a visitor asks for, and a name for the file without its ending.

    Args:
        values: by widget, of the tab and the settings.
        inputs: the tab whose button was pressed.
        settings: what all tabs share.

    Raises:
        ValueError: in one sentence, if the mode lacks an input.
    """
    image, audio = values.get(inputs.image), values.get(inputs.audio)
    inputs.mode.check(image, audio)
    seed, num_frames = values[settings.seed], None
    if values[settings.is_random] or seed is None:
        seed = secrets.randbelow(2**31)
    if inputs.seconds is not None:
        num_frames = frames_for(values[inputs.seconds], settings.defaults.max_frames)
    scales = {name: values[slider] for name, slider in settings.scales.items()}
    request = VideoRequest(
        prompt=values[inputs.prompt] or "",
        images=(Path(image),) if image else (),
        audio=Path(audio) if audio else None,
        num_frames=num_frames,
        num_inference_steps=values[settings.steps],
        guidance=settings.defaults.with_rule(values[settings.rule]).with_scales(**scales),
        seed=seed,
    )
    return request, f"humo-{inputs.mode.key.lower()}-{seed}"
