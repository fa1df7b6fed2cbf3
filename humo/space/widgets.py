"""The page's widgets, named: what a tab holds, what all tabs share, and the result panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from humo.space.examples import Example
from humo.space.request import Defaults, Mode


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
    scales: dict[str, gr.Slider]
    defaults: Defaults


@dataclass(frozen=True)
class Panel:
    """The result side."""

    stage: gr.HTML
    video: gr.Video
    summary: gr.HTML
    stop: gr.Button
    download: gr.DownloadButton
