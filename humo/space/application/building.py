"""The page, laid out: what is on it and where, and its events connected. How a part looks is in `humo.space.page`."""

from __future__ import annotations

import gradio as gr

from humo.space import api
from humo.space.application import connecting
from humo.space.jobs.model_choice import LARGE
from humo.space.jobs.request import MODES, Mode
from humo.space.links.gallery import read_gallery
from humo.space.live import view as live_view
from humo.space.page import html, layout, texts
from humo.space.page.dubbing.events import connect as connect_dubbing
from humo.space.page.dubbing.view import dubbing
from humo.space.page.events import filling, sharing
from humo.space.page.widgets import QUEUED, QUICK, Inputs, Parts
from humo.space.page.wording_view import add_reading
from humo.space.photographs import Photographs
from humo.space.request_guard import Page
from humo.space.state import Backend

HOUR = 3600


def build_page(backend: Backend) -> gr.Blocks:
    """Lay out the page and connect its events.

    Args:
        backend: model, store and examples.

    Returns:
        The page, for `launch`.
    """
    serving, shown = backend.serving, read_gallery(backend.gallery, backend.examples)
    with Page(title="HuMo, compact", analytics_enabled=False, delete_cache=(HOUR, 23 * HOUR)) as blocks:
        gr.HTML(texts.HEAD)
        notice = gr.HTML(html.notice(serving.notice), visible=bool(serving.notice))
        opened = layout.opened()
        with gr.Column(elem_id="maker") as maker:
            with gr.Row(equal_height=False):
                with gr.Column(scale=6, min_width=320):
                    with gr.Tabs(overflow_behavior="wrap", elem_id="modes") as modes:
                        tabs = [make_tab(mode, backend) for mode in MODES]
                        with gr.Tab("Gallery", id="gallery"):
                            gallery = layout.gallery(sharing.posters(backend, shown))
                    settings = layout.settings(serving.defaults, backend.loras)
                with gr.Column(scale=5, min_width=320, elem_id="result"):
                    panel, links = layout.panel(), layout.sharing(backend.home.is_lasting)
            views, other = layout.looking(), layout.comparing()
            dubbed = dubbing()
        gr.HTML(texts.KNOW)
        page = Parts(opened, maker, modes, tabs, gallery, settings, panel, links, views, other, dubbed)
        connecting.connect_generating(page, backend)
        connecting.connect_looking(page, backend)
        connect_dubbing(page, backend.admission)
        for inputs in tabs:
            connecting.connect_inputs(inputs, page, backend)
        connecting.connect_settings(page)
        connecting.connect_pictures(blocks, page, Photographs(backend.folder))
        connecting.connect_links(blocks, page, backend, [record for _, record in shown])
        blocks.load(lambda: html.notice(serving.notice), None, notice, **QUICK)
        api.offer(backend.admission, serving.defaults)
    return blocks


def make_tab(mode: Mode, backend: Backend) -> Inputs:
    """Lay out the tab of a mix of inputs, within `gr.Tabs`; its events are connected by `connecting`."""
    serving, key = backend.serving, mode.key
    image = seen = maker = more = audio = heard = speaking = player = seconds = None
    with gr.Tab(mode.title, id=key) as tab:
        prompt = layout.prompt(key)
        if serving.name in LARGE:
            fields, write = layout.dense_caption()
            write.click(filling.write_caption, fields, prompt, **QUEUED)
        if serving.defaults.rewords_prompts:
            add_reading(prompt, key)
        words = layout.known_words(key, serving.name not in LARGE)
        with gr.Row():
            if mode.needs_image:
                image, seen = layout.picture(key)
            if mode.needs_audio:
                audio, heard = layout.voice(key)
        if mode.needs_image:
            most = backend.admission.limits.images
            more = layout.more_pictures(
                key, min(most, serving.defaults.max_references or most), not serving.defaults.draws_people
            )
        if mode.needs_image and serving.defaults.draws_people:
            maker = layout.person_maker(key)
        if mode.needs_audio:
            speaking = layout.speaking(key)
            player = None if backend.live is None else live_view.player(key)
        else:
            seconds = layout.seconds(serving.defaults)
        gr.HTML(texts.CONSENT)
        examples = layout.examples([each for each in backend.examples if each.mode == key])
        with gr.Row():
            generate = gr.Button("Generate", variant="primary", scale=2, elem_id=f"generate-{key}")
            quick = gr.Button("Quick look", visible=serving.has_fast, min_width=150, elem_id=f"quick-{key}")
        with gr.Row(visible=False) as going_on:
            go_on = gr.Button("Go on from the video", elem_id=f"go-on-{key}")
        label = "Live: a quick look at every change"
        live = gr.Checkbox(False, label=label, visible=serving.has_fast, elem_id=f"live-{key}")
        wake = gr.Button(visible="hidden", elem_id=f"wake-{key}")
        estimate = gr.HTML(elem_id=f"estimate-{key}")
    return Inputs(
        mode, tab, prompt, words, image, seen, maker, more, audio, heard, speaking, player, seconds, generate, quick,
        going_on, go_on, live, wake, estimate, examples,
    )  # fmt: skip
