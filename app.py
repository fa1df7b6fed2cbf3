"""The page: a talking video from text, a picture and a voice.

Start it with `python app.py`; the model is loaded in the background while the page is already open. Here stands what
is on the page and which event does what; how a part looks is in `humo.space.page.layout`, what an event does in
`humo.space.page.events`. Nothing is fetched from or sent to anywhere else.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

from humo.space.environment import exit_on_bad_input, find_place, prepare, read_compile
from humo.system.imports import quick_imports

TEMPORARY = prepare()  # before gradio is imported, which reads variables then and hands out no file from elsewhere

with quick_imports():
    import gradio as gr
    import typer
    from starlette.middleware import Middleware

    from humo.media import read_picture, read_sound
    from humo.space import api
    from humo.space.compiling import BackgroundCompiler
    from humo.space.examples import FOLDER as EXAMPLES
    from humo.space.jobs.model_choice import LARGE
    from humo.space.jobs.request import MODES, Mode
    from humo.space.jobs.zerogpu import is_zero_gpu
    from humo.space.links.gallery import read_gallery
    from humo.space.links.records import Record
    from humo.space.live import view as live_view
    from humo.space.live.routes import live_routes
    from humo.space.page import html, layout, texts
    from humo.space.page.dubbing.events import connect as connect_dubbing
    from humo.space.page.dubbing.view import dubbing
    from humo.space.page.events import filling, generating, looking, picturing, portraying, sharing
    from humo.space.page.events.going_on import on_go_on
    from humo.space.page.theme import CSS, ICON, ICON_LINK, make_theme
    from humo.space.page.widgets import QUEUED, QUICK, Inputs, Parts
    from humo.space.page.wording_view import add_reading
    from humo.space.photographs import Photographs
    from humo.space.request_guard import HANDLERS, MAX_SESSIONS, Page, RequestGuard
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
                        tabs = [_tab(mode, backend) for mode in MODES]
                        with gr.Tab("Gallery", id="gallery"):
                            gallery = layout.gallery(sharing.posters(backend, shown))
                    settings = layout.settings(serving.defaults)
                with gr.Column(scale=5, min_width=320, elem_id="result"):
                    panel, links = layout.panel(), layout.sharing(backend.home.is_lasting)
            views, other = layout.looking(), layout.comparing()
            dubbed = dubbing()
        gr.HTML(texts.KNOW)
        page = Parts(opened, maker, modes, tabs, gallery, settings, panel, links, views, other, dubbed)
        _connect_generating(page, backend)
        _connect_looking(page, backend)
        connect_dubbing(page, backend.admission)
        for inputs in tabs:
            _connect_inputs(inputs, page, backend)
        _connect_settings(page)
        _connect_pictures(blocks, page, Photographs(backend.folder))
        _connect_links(blocks, page, backend, [record for _, record in shown])
        blocks.load(lambda: html.notice(serving.notice), None, notice, **QUICK)
        api.offer(backend.admission, serving.defaults)
    return blocks


def _tab(mode: Mode, backend: Backend) -> Inputs:
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


def _connect_generating(page: Parts, backend: Backend) -> None:
    settings, panel = page.settings, page.panel
    cleared = sharing.cleared(page.links) | looking.cleared(page.views, page.other)
    outputs = [*dict.fromkeys([*panel.parts(), settings.seed, *page.starts(), *cleared, *page.groups()])]
    for inputs in page.tabs:
        given = {*inputs.widgets(), *settings.widgets()}
        for button, is_fast in ((inputs.generate, False), (inputs.quick, True)):
            button.click(generating.on_generate(inputs, page, cleared, backend, is_fast), given, outputs, **QUEUED)
        on_click = on_go_on(inputs, page, cleared, backend)
        inputs.go_on.click(on_click, given | {panel.made}, outputs, **QUEUED)
        look = generating.on_live(inputs, page, cleared, backend.admission)
        inputs.wake.click(look, given, outputs, trigger_mode="always_last", **QUEUED)
        changes = [each.change for each in (*inputs.widgets(), inputs.live)] + [settings.seed.input]
        changes += [each.release for each in settings.scales.values()]
        gr.on(changes, None, inputs.live, js=texts.wake(inputs.wake.elem_id), **QUICK)
    panel.stop.click(generating.on_stop(backend.admission.manager), **QUICK)


def _connect_looking(page: Parts, backend: Backend) -> None:
    views, other, made, starts = page.views, page.other, page.panel.made, page.starts()
    look, compare = looking.on_look_inside(page, backend.admission), looking.on_compare(page, backend.admission)
    views.look.click(look, made, [*views.parts(), *starts], **QUEUED)
    for slider in (views.step, views.frame):
        place = [views.inside, views.step, views.frame]
        slider.release(looking.on_turn(views), place, [*views.pictures.values()], **QUICK)
    other.compare.click(compare, made, [*other.parts(), *starts], **QUEUED)


def _connect_inputs(inputs: Inputs, page: Parts, backend: Backend) -> None:
    settings, defaults = page.settings, backend.serving.defaults
    image, audio, speaking = inputs.image, inputs.audio, inputs.speaking
    inputs.words.click(filling.add_word, inputs.prompt, inputs.prompt, **QUICK)
    if image is not None:
        image.upload(filling.on_upload(read_picture), image, image, **QUEUED)
        if inputs.maker is None:
            shown = [image, settings.size]
            gr.on([each.change for each in shown], filling.on_picture(defaults), shown, inputs.seen, **QUICK)
    if audio is not None and speaking is not None:
        audio.upload(filling.on_upload(read_sound), audio, audio, **QUEUED)
        heard: list[Any] = [audio, settings.shift]
        gr.on([each.change for each in heard], filling.on_sound(defaults), heard, inputs.heard, **QUICK)
        speak, said = filling.on_speak(backend.folder, defaults), [speaking.text, speaking.voice, speaking.rate]
        speaking.speak.click(speak, said, audio, **QUEUED)
    if inputs.player is not None and backend.live is not None:
        begin = live_view.on_speak_live(inputs, settings, backend.live, backend.admission)
        inputs.player.click(begin, {*inputs.widgets(), *settings.widgets()}, inputs.player, **QUEUED)
    for example, button in inputs.examples:
        outputs = [*inputs.restored(), settings.seed, settings.is_random]
        button.click(filling.on_example(example, inputs, settings), None, outputs, **QUICK)
    known = filling.on_estimate(inputs, settings, backend.serving)
    told: list[Any] = [page.panel.made, settings.steps, settings.rule, settings.size, inputs.seconds, audio]
    for widget in filter(None, [*told, *inputs.slot_images()]):
        widget.change(known, {*inputs.widgets(), *settings.widgets()}, inputs.estimate, **QUICK)


def _connect_settings(page: Parts) -> None:
    settings = page.settings
    shown = [settings.note, *settings.scales.values()]
    settings.rule.input(filling.on_rule(settings), settings.rule, shown, **QUICK)
    drawn: list[Any] = [settings.mode, settings.steps, settings.rule, *settings.scales.values()]
    draw = (filling.on_schedule(settings), set(drawn), settings.curve)
    for widget in drawn[1:]:
        widget.change(*draw, **QUICK)
    for inputs in page.tabs:
        inputs.tab.select(filling.on_tab(inputs.mode), None, settings.mode, **QUICK).then(*draw, **QUICK)
    settings.restore.upload(filling.on_restore(page), settings.restore, page.restored(), **QUEUED)


def _connect_pictures(blocks: gr.Blocks, page: Parts, photographs: Photographs) -> None:
    settings = page.settings
    for inputs in (tab for tab in page.tabs if tab.maker is not None):
        maker, given = inputs.maker, {*inputs.widgets(), inputs.maker.completed, settings.size}
        outputs = [maker.person, maker.completed, maker.as_is, maker.box, maker.buttons, inputs.seen, inputs.prompt]
        inputs.image.change(portraying.on_picture(inputs, settings, photographs), given, outputs, **QUEUED)
        maker.as_is.input(portraying.on_as_is(inputs, settings), given, outputs, **QUEUED)
        maker.box.expand(portraying.on_maker(inputs), given, maker.buttons, **QUICK)
        maker.buttons.click(portraying.on_tile(inputs), given, outputs, trigger_mode="multiple", **QUEUED)
        maker.surprise.click(portraying.on_surprise(inputs), given, outputs, **QUEUED)
    for inputs in (tab for tab in page.tabs if tab.more is not None):
        ordered, given = inputs.ordered(), {*inputs.ordered(), settings.size}
        changing: list[Any] = [*ordered, settings.size]
        outputs = [*dict.fromkeys([*ordered, *inputs.more.parts()])]
        arrange = picturing.on_pictures(inputs, settings, photographs)
        gr.on([each.change for each in changing], arrange, given, outputs, **QUICK)
        for slot in inputs.more.slots:
            slot.image.upload(filling.on_upload(read_picture), slot.image, slot.image, **QUEUED)
            if slot.earlier is not None:
                swap = picturing.on_earlier(inputs, settings, ordered.index(slot.image))
                slot.earlier.click(swap, given, outputs, **QUICK)
    blocks.unload(photographs.forget)


def _connect_links(blocks: gr.Blocks, page: Parts, backend: Backend, shown: list[Record]) -> None:
    links, opened, maker = page.links, page.opened, page.maker
    made = [page.panel.made, links.keeps_inputs]
    links.share.click(sharing.on_share(links, backend), made, links.parts(), **QUEUED)
    links.delete.click(sharing.on_delete(links, backend), [links.id, links.token], links.parts(), **QUEUED)
    blocks.load(sharing.on_open(page, backend), None, [*opened.parts(), maker], **QUICK)
    opened.close.click(sharing.on_close(page), None, [opened.group, maker], **QUICK)
    remixed = [opened.group, maker, *page.restored()]
    opened.remix.click(sharing.on_remix(page, backend), opened.id, remixed, **QUEUED)
    delete = sharing.on_delete_opened(opened, backend)
    opened.delete.click(delete, [opened.id, opened.key], opened.parts(), **QUEUED)
    choose = sharing.on_gallery(page, backend, shown)
    page.gallery.select(choose, None, [*opened.parts(), maker], **QUICK)


def main(
    port: Annotated[int | None, typer.Option(help="Where the page is served; default: 7860 or the next.")] = None,
    host: Annotated[str | None, typer.Option(help="0.0.0.0 lets other computers in.")] = None,
    model: Annotated[str, typer.Option(envvar="HUMO_MODEL", help="mini, 1.7B, 17B or a saved pipeline.")] = "mini",
    records: Annotated[Path | None, typer.Option(envvar="HUMO_RECORDS", help="Folder of the shared links.")] = None,
    ray: Annotated[
        bool, typer.Option("--ray", envvar="HUMO_RAY", help="Work is done by `humo.space.jobs.ray_serve`.")
    ] = False,
) -> None:
    """Open the page."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary folder goes
    gc.freeze()  # what was imported stays: the collector need not look through it again
    with exit_on_bad_input():
        host, port = find_place(host, port)
        backend = Backend.open(TEMPORARY, model, records, ray)
        if is_zero_gpu():
            backend.serving.model.get()  # the process of each call is a copy of this one: the weights must be here
        page = build_page(backend)
        quota = backend.admission.manager.quota
        quota.keep()  # the page's own pictures
        page.queue(max_size=64).launch(
            server_name=host,
            server_port=port,
            theme=make_theme(),
            css_paths=CSS,
            favicon_path=ICON,
            head=ICON_LINK,
            allowed_paths=[str(EXAMPLES)],  # for whoever starts the page from another folder
            footer_links=[],
            max_file_size=backend.admission.limits.file_bytes,
            state_session_capacity=MAX_SESSIONS,
            app_kwargs={
                "exception_handlers": HANDLERS,
                "middleware": [Middleware(RequestGuard, quota=quota)],
                "routes": [] if backend.live is None else live_routes(backend.live),
            },
            run_history=False,
            show_error=False,
            ssr_mode=False,
            prevent_thread_lock=True,
        )
    backend.serving.model.start_loading()  # only now, for it would slow the start of the page
    if not ray and read_compile(os.environ):
        BackgroundCompiler(model, backend.serving.model, backend.admission.manager).start()
    page.block_thread()


if __name__ == "__main__":
    typer.run(main)
