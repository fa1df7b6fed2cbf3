"""How the parts of the page are laid out that show a video and hang on it; `app.py` places and connects them."""

from __future__ import annotations

import gradio as gr

from humo.space.page import html, texts
from humo.space.page.caption_completion import Completed
from humo.space.page.events.looking import VIEWS
from humo.space.page.portrait_view import maker_html
from humo.space.page.widgets import Comparing, Looking, Opened, Panel, PersonMaker, Sharing


def person_maker(key: str) -> PersonMaker:
    """What draws a person in place of a photograph, or from nothing.

    Args:
        key: of the tab.
    """
    as_is = gr.Checkbox(False, label="Show the model the picture itself", visible=False, elem_id=f"as-is-{key}")
    with gr.Accordion(texts.MAKER, open=False, elem_id=f"maker-{key}") as box:
        buttons = gr.HTML(None, html_template=maker_html(key), js_on_load=texts.MAKE_PERSON, elem_id=f"buttons-{key}")
        surprise = gr.Button("Surprise me", size="md", elem_id=f"surprise-{key}")
    return PersonMaker(as_is, box, buttons, surprise, gr.State(None), gr.State(Completed()))


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
    stop = gr.Button("Stop", variant="stop", size="md", visible=False, elem_id="stop")
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
        told = gr.HTML(visible=False)
        token = gr.Textbox(
            label="Key that deletes the link", info=texts.KEY, visible=False, interactive=False, elem_id="token"
        )
        delete = gr.Button("Delete the link", size="sm", visible=False, elem_id="delete")
    return Sharing(group, keeps, share, link, token, delete, told, gr.State(None))


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
                    image = gr.Image(label="Picture", interactive=False, buttons=[], height=160, visible=False)
                    audio = gr.Audio(label="Voice", interactive=False, buttons=[], visible=False)
                with gr.Row():
                    remix = gr.Button("Remix: take text and settings over", variant="primary", elem_id="remix")
                    close = gr.Button("Make your own", elem_id="close")
        with gr.Accordion("Delete this link", open=False, visible=False) as removal:
            key = gr.Textbox(label="Key that was shown when the link was made", elem_id="delete-key")
            delete = gr.Button("Delete", size="sm", variant="stop", elem_id="delete-opened")
    return Opened(group, title, video, facts, image, audio, remix, close, gr.State(None), removal, key, delete)


def looking() -> Looking:
    """The look inside the video."""
    with gr.Accordion("Look inside", open=False, visible=False, elem_id="inside") as group:
        gr.HTML(texts.INSIDE)
        look = gr.Button("Look inside this video", size="md", elem_id="look")
        told = gr.HTML(visible=False)
        with gr.Column(visible=False) as shown:
            with gr.Row():
                step = gr.Slider(1, 2, value=1, step=1, label="Step", elem_id="inside-step")
                frame = gr.Slider(1, 2, value=1, step=1, label="Frame", elem_id="inside-frame")
            with gr.Tabs(overflow_behavior="wrap"):
                pictures = {}
                for name, title in VIEWS.items():
                    with gr.Tab(title):
                        pictures[name] = gr.HTML(elem_id=f"inside-{name}")
    return Looking(group, look, told, shown, step, frame, pictures, gr.State(None))


def comparing() -> Comparing:
    """The same seed under two schedules."""
    with gr.Accordion("Compare two schedules", open=False, visible=False, elem_id="compare") as group:
        gr.HTML(texts.COMPARE)
        compare = gr.Button("Make it with both", size="md", elem_id="compare-run")
        told = gr.HTML(visible=False)
        video = gr.Video(visible=False, show_label=False, buttons=["download"], interactive=False, elem_id="both")
        words = gr.HTML(visible=False)
    return Comparing(group, compare, told, video, words)
