"""The widgets of a dub, and how they are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from humo.dubbing.shape import MARGIN, Part

ABOUT = """<p class="humo-detail">A clip that was made here, or another one of 25 frames a second in the model's shape,
says something else: the mouth is found and made anew by the new voice, and everything outside of the purple region
stays as it is.</p>"""
CONSENT = """<p class="humo-consent">Put words only into your own mouth, or into one whose owner agrees. The video says
in its own data that it is AI-generated.</p>"""
PARTS = [("Mouth and chin", Part.MOUTH.value), ("Whole face", Part.FACE.value)]
MOST_MARGIN, MOST_SIDE = 15, 20
"""Per cent of the clip's height."""


@dataclass(frozen=True)
class Dubbing:
    """The widgets."""

    clip: gr.Video
    take: gr.Button
    """Takes the video that was made last."""
    audio: gr.Audio
    part: gr.Radio
    margin: gr.Slider
    sides: list[gr.Slider]
    """Left, top, right, bottom."""
    hold: gr.Checkbox
    find: gr.Button
    dub: gr.Button
    status: gr.HTML
    """How far it is."""
    stop: gr.Button
    found: gr.Image
    """The region over frames of the clip."""
    video: gr.Video
    words: gr.HTML

    def given(self) -> list[Any]:
        """Those that hold what is asked for."""
        return [self.clip, self.audio, self.part, self.margin, *self.sides, self.hold]

    def shown(self) -> list[Any]:
        """Those that an answer changes."""
        return [self.status, self.stop, self.found, self.video, self.words]


def dubbing() -> Dubbing:
    """Everything around another voice for a clip."""
    with gr.Accordion("Give a clip another voice", open=False, elem_id="dubbing"):
        gr.HTML(ABOUT)
        with gr.Row():
            with gr.Column(min_width=200):
                clip = gr.Video(label="Clip", sources=["upload"], height=220, buttons=[], elem_id="dub-clip")
                take = gr.Button("Take the video above", size="md", elem_id="dub-take")
            with gr.Column(min_width=200):
                audio = gr.Audio(
                    label="New voice",
                    type="filepath",
                    sources=["upload", "microphone"],
                    buttons=[],
                    elem_id="dub-audio",
                )
                info = "Else a longer voice is cut to the clip."
                hold = gr.Checkbox(False, label="Hold the last frame under a longer voice", info=info)
        with gr.Accordion("What is made anew", open=False, elem_id="dub-region"):
            part = gr.Radio(PARTS, value=Part.MOUTH.value, label="Part of the face", elem_id="dub-part")
            info = "Per cent of the clip's height by which the region grows."
            margin = gr.Slider(0, MOST_MARGIN, value=round(100 * MARGIN), step=1, label="Margin", info=info)
            with gr.Row():
                sides = [
                    gr.Slider(-MOST_SIDE, MOST_SIDE, value=0, step=1, label=f"Further {side}", min_width=120)
                    for side in ("left", "up", "right", "down")
                ]
        gr.HTML(CONSENT)
        with gr.Row():
            find = gr.Button("Show the region", elem_id="dub-find")
            dub = gr.Button("Dub", variant="primary", elem_id="dub-run")
        status = gr.HTML(visible=False, elem_id="dub-status")
        stop = gr.Button("Stop", variant="stop", size="md", visible=False, elem_id="dub-stop")
        found = gr.Image(
            label="Purple is made anew",
            visible=False,
            interactive=False,
            buttons=[],
            elem_id="dub-found",
        )
        video = gr.Video(visible=False, show_label=False, buttons=["download"], interactive=False, elem_id="dub-video")
        words = gr.HTML(visible=False)
    return Dubbing(clip, take, audio, part, margin, sides, hold, find, dub, status, stop, found, video, words)
