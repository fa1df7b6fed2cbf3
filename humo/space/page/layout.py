"""How the parts of the page are laid out; `humo.space.application` places them. What is for one tab takes its key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from humo.space.examples import Example
from humo.space.jobs.request import MODES, Defaults
from humo.space.page import html, texts
from humo.space.page.caption_completion import Completed
from humo.space.page.curves import schedule_svg
from humo.space.page.dense_caption import FIELDS
from humo.space.page.loras.view import lora_choice
from humo.space.page.picture_file import PictureFile
from humo.space.page.portrait_view import maker_html
from humo.space.page.scales import SCALES, rule_choices, rule_note
from humo.space.page.speakers import ESPEAK, offered
from humo.space.page.widgets import (
    Comparing,
    Looking,
    MorePictures,
    Opened,
    Panel,
    PersonMaker,
    Settings,
    Sharing,
    Slot,
    Speaking,
)
from humo.system.ranges import SHIFT
from humo.timing import FPS
from humo.wording.vocabulary import GROUPS


def prompt(key: str) -> gr.Textbox:
    """The text."""
    return gr.Textbox(
        label="Text",
        info="Who is seen, what they wear, what they do.",
        placeholder="a woman with red hair and glasses, in a blue shirt, nods",
        lines=2,
        max_lines=6,
        elem_id=f"prompt-{key}",
    )


def dense_caption() -> tuple[list[gr.Textbox], gr.Button]:
    """Fields that make a caption as the published models know them, and the button that writes it."""
    with gr.Accordion("Write a dense caption: the large models follow it best", open=False):
        fields = [gr.Textbox(label=field.title, placeholder=field.example) for field in FIELDS]
        return fields, gr.Button("Write it", size="md")


def known_words(key: str, is_shown: bool) -> gr.HTML:
    """Words that mini knows, to be pressed."""
    with gr.Accordion("Words that the small model knows", open=False, visible=is_shown):
        return gr.HTML(html.chips(GROUPS), js_on_load=texts.CHIPS, elem_id=f"words-{key}")


def picture(key: str) -> tuple[PictureFile, gr.HTML]:
    """The reference picture, and beside it what the model sees of it."""
    with gr.Column(min_width=200), gr.Row():
        image = _picture_file("Picture of the person", 220, f"image-{key}")
        return image, gr.HTML(visible=False, min_width=140)


def _picture_file(label: str, height: int, elem_id: str) -> PictureFile:
    return PictureFile(
        label=label,
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        height=height,
        min_width=140,
        buttons=[],
        elem_id=elem_id,
    )


def more_pictures(key: str, most: int, moves_first: bool) -> MorePictures | None:
    """The pictures after the first, or where there is none, why.

    Args:
        key: of the tab.
        most: pictures that the model takes, the first one counted.
        moves_first: whether another picture may take the place of the first.
    """
    if most < 2:
        gr.HTML(texts.ONE_PICTURE)
        return None
    with gr.Accordion(texts.MORE_PICTURES, open=False, elem_id=f"more-{key}") as box:
        gr.HTML(texts.PICTURES_ARE_FOR)
        with gr.Row():
            slots = [_slot(key, number, moves_first or number > 2) for number in range(2, most + 1)]
    return MorePictures(box, slots)


def _slot(key: str, number: int, can_move: bool) -> Slot:
    with gr.Column(min_width=160, visible=number == 2) as column:
        image = _picture_file(f"Picture {number}", 180, f"image-{key}-{number}")
        seen, earlier = gr.HTML(visible=False, min_width=140), None
        if can_move:
            words = f"Put before picture {number - 1}"
            earlier = gr.Button(words, size="sm", visible=False, elem_id=f"earlier-{key}-{number}")
    return Slot(column, image, seen, earlier)


def voice(key: str) -> tuple[gr.Audio, gr.HTML]:
    """The sound, and below it what the model hears of it."""
    with gr.Column(min_width=200):
        audio = gr.Audio(
            label="Voice (sets the length)",
            type="filepath",
            sources=["upload", "microphone"],
            buttons=[],
            elem_id=f"audio-{key}",
        )
        return audio, gr.HTML(visible=False)


def person_maker(key: str) -> PersonMaker:
    """What draws a person in place of a photograph, or from nothing."""
    as_is = gr.Checkbox(False, label="Show the model the picture itself", visible=False, elem_id=f"as-is-{key}")
    with gr.Accordion(texts.MAKER, open=False, elem_id=f"maker-{key}") as box:
        buttons = gr.HTML(None, html_template=maker_html(key), js_on_load=texts.MAKE_PERSON, elem_id=f"buttons-{key}")
        surprise = gr.Button("Surprise me", size="md", elem_id=f"surprise-{key}")
    return PersonMaker(as_is, box, buttons, surprise, gr.State(None), gr.State(Completed()))


def speaking(key: str) -> Speaking:
    """What turns a typed sentence into a voice."""
    speakers = offered()
    can_speak = bool(speakers)
    with gr.Accordion("Or type what they should say", open=False, elem_id=f"speaking-{key}"):
        if not can_speak:
            gr.HTML(texts.NO_SPEECH)
        text = gr.Textbox(label="Sentence", lines=2, max_lines=4, interactive=can_speak, elem_id=f"say-{key}")
        with gr.Row():
            voice = gr.Dropdown(speakers, label="Speaker", interactive=can_speak)
            rate = gr.Slider(80, 300, value=150, step=5, label="Words a minute", interactive=can_speak)
        if can_speak and not ESPEAK.is_installed():
            gr.HTML(texts.MORE_SPEAKERS)
        speak = gr.Button("Speak", size="md", interactive=can_speak, elem_id=f"speak-{key}")
    return Speaking(text, voice, rate, speak)


def seconds(defaults: Defaults) -> gr.Slider:
    """The length of a video without a voice."""
    longest = int((defaults.max_frames or 10 * FPS) / FPS * 10) / 10
    return gr.Slider(0.2, longest, value=round(defaults.num_frames / FPS, 1), step=0.1, label="Seconds")


def examples(given: list[Example]) -> list[tuple[Example, gr.Button]]:
    """A button for each."""
    gr.HTML('<p class="humo-label">Examples: one click fills everything in</p>')
    with gr.Row(elem_classes="humo-examples"):
        return [(each, gr.Button(each.title, icon=each.image, size="md", min_width=140)) for each in given]


def gallery(pictures: list[tuple[str, str]]) -> gr.Gallery:
    """Finished videos.

    Args:
        pictures: file and title of each.
    """
    gr.HTML('<p class="humo-label">Made by the bundled model: a click opens the video and what made it.</p>')
    return gr.Gallery(
        pictures, columns=3, show_label=False, allow_preview=False, buttons=[], height="auto", elem_id="gallery"
    )


def settings(defaults: Defaults, loras: Mapping[str, Path] | None = None) -> Settings:
    """What all tabs share, at the model's own values.

    Args:
        defaults: of the model.
        loras: that are offered, by name.
    """
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        with gr.Row():
            seed = gr.Number(0, label="Seed", info="The same seed gives the same video.", precision=0, minimum=0)
            start = defaults.num_inference_steps
            steps = gr.Slider(2, 50, value=start, step=1, label="Steps", info="More are slower and finer.")
        is_random = gr.Checkbox(True, label="A new seed each time", elem_id="random")
        sizes = defaults.size_choices()
        size = gr.Dropdown(sizes, value=sizes[0][1], label="Size", interactive=len(sizes) > 1, elem_id="size")
        info = "Milliseconds by which the mouth moves later than the voice is played; below 0, earlier."
        shift = gr.Slider(*SHIFT, value=0, step=1, label="Shift of the mouth", info=info, elem_id="shift")
        with gr.Accordion("How strongly each input is followed", open=False, elem_id="advanced"):
            own = defaults.guidance["rule"]
            info = "How text, picture and voice are weighed against each other. Each rule sets its own scales."
            rule = gr.Dropdown(rule_choices(own), value=own, label="Guidance rule", info=info, elem_id="rule")
            words = rule_note(defaults)
            note = gr.HTML(html.note(words), visible=bool(words), elem_id="rule-note")
            scales = {}
            for name, label, info, low, high, step in SCALES:
                value = defaults.scale(name)
                at, is_shown = (low, False) if value is None else (value, True)
                scales[name] = gr.Slider(low, high, at, step=step, label=label, info=info, visible=is_shown)
            first = schedule_svg(defaults.guidance, start, defaults.shift, MODES[0].needs_image, MODES[0].needs_audio)
            curve = gr.HTML(first, elem_id="curve")
        choice = lora_choice(loras) if loras else None
        with gr.Accordion("Settings of an earlier video", open=False):
            restore = gr.File(label="A video made here", file_types=[".mp4"], height=120, elem_id="restore")
    mode = gr.State(MODES[0].key)
    return Settings(seed, is_random, steps, size, shift, rule, note, scales, curve, mode, restore, defaults, choice)


def _stop_button(elem_id: str) -> gr.Button:
    return gr.Button("Stop", variant="stop", size="md", visible=False, elem_id=elem_id)


def panel() -> Panel:
    """Stage, video, and what can be done with it at once."""
    stage = gr.HTML(html.stage(None), elem_id="stage", js_on_load=texts.SHOW_RESULT)
    video = gr.Video(
        visible=False,
        show_label=False,
        autoplay=True,
        buttons=[],
        elem_id="video",
        interactive=False,
        container=False,
    )
    summary = gr.HTML(visible=False)
    stop = _stop_button("stop")
    download = gr.DownloadButton("Download the video", size="md", visible=False, elem_id="download")
    return Panel(stage, video, summary, stop, download, gr.State(None))


def sharing(is_lasting: bool) -> Sharing:
    """What makes a link to the video.

    Args:
        is_lasting: whether links outlive a restart of the server.
    """
    with gr.Group(visible=False, elem_id="sharing") as group:
        keeps = gr.Checkbox(False, label="Keep the picture and the voice with the link", elem_id="keeps-inputs")
        if not is_lasting:
            gr.HTML(texts.NOT_LASTING)
        share = gr.Button("Share: make a link", size="md", elem_id="share")
        link = gr.HTML(visible=False, js_on_load=html.COPY, elem_id="link")
        status = gr.HTML(visible=False)
        token = gr.Textbox(
            label="Key that deletes the link", info=texts.KEY, visible=False, interactive=False, elem_id="token"
        )
        delete = gr.Button("Delete the link", size="sm", visible=False, elem_id="delete")
    return Sharing(group, keeps, share, link, token, delete, status, gr.State(None))


def opened() -> Opened:
    """A generation that a link or the gallery opened: read-only."""
    with gr.Column(visible=False, elem_id="opened") as group:
        title = gr.HTML()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                video = gr.Video(
                    show_label=False, buttons=["download"], interactive=False, loop=True, elem_id="opened-video"
                )
            with gr.Column(scale=6, min_width=320):
                facts = gr.HTML()
                with gr.Row():
                    image = gr.Image(
                        label="Picture",
                        alt_text="The picture that the video was made from",
                        interactive=False,
                        buttons=[],
                        height=160,
                        visible=False,
                    )
                    others = gr.Gallery(
                        label="More pictures",
                        columns=3,
                        height=160,
                        interactive=False,
                        buttons=[],
                        allow_preview=False,
                        visible=False,
                        elem_id="opened-others",
                    )
                    audio = gr.Audio(label="Voice", interactive=False, buttons=[], visible=False)
                with gr.Row():
                    remix = gr.Button("Remix: take text and settings over", variant="primary", elem_id="remix")
                    close = gr.Button("Make your own", elem_id="close")
        with gr.Accordion("Delete this link", open=False, visible=False) as removal:
            key = gr.Textbox(label="Key that was shown when the link was made", elem_id="delete-key")
            delete = gr.Button("Delete", size="sm", variant="stop", elem_id="delete-opened")
    return Opened(group, title, video, facts, image, others, audio, remix, close, gr.State(None), removal, key, delete)


def looking() -> Looking:
    """The look inside the video."""
    with gr.Accordion("Look inside", open=False, visible=False, elem_id="inside") as group:
        gr.HTML(texts.INSIDE)
        look = gr.Button("Look inside this video", size="md", elem_id="look")
        status, stop = gr.HTML(visible=False, elem_id="look-status"), _stop_button("look-stop")
        with gr.Column(visible=False) as shown:
            with gr.Row():
                step = gr.Slider(1, 2, value=1, step=1, label="Step", elem_id="inside-step")
                frame = gr.Slider(1, 2, value=1, step=1, label="Frame", elem_id="inside-frame")
            with gr.Tabs(overflow_behavior="wrap"):
                pictures = {}
                for name, title in texts.VIEWS.items():
                    with gr.Tab(title):
                        pictures[name] = gr.HTML(elem_id=f"inside-{name}")
    return Looking(group, look, status, stop, shown, step, frame, pictures, gr.State(None))


def comparing() -> Comparing:
    """The same seed under two schedules."""
    with gr.Accordion("Compare two schedules", open=False, visible=False, elem_id="compare") as group:
        gr.HTML(texts.COMPARE)
        compare = gr.Button("Make it with both", size="md", elem_id="compare-run")
        status, stop = gr.HTML(visible=False, elem_id="compare-status"), _stop_button("compare-stop")
        video = gr.Video(visible=False, show_label=False, buttons=["download"], interactive=False, elem_id="both")
        words = gr.HTML(visible=False)
    return Comparing(group, compare, status, stop, video, words)
