"""The page: a talking video from text, a picture and a voice.

Start it with `python app.py`; the model is loaded in the background while the page is already open. Layout
and events stand here, everything else in `humo.space`. Nothing is fetched from or sent to anywhere else.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

from humo.space.environment import exit_on_bad_input, find_place, prepare

TEMPORARY = prepare()  # before gradio is imported, which reads variables then and hands out no file from elsewhere

import gradio as gr  # noqa: E402
import typer  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from humo.media import read_picture, read_sound  # noqa: E402
from humo.space import api  # noqa: E402
from humo.space.examples import FOLDER as EXAMPLES  # noqa: E402
from humo.space.jobs.model_choice import LARGE  # noqa: E402
from humo.space.jobs.request import MODES, Defaults, Mode  # noqa: E402
from humo.space.jobs.zerogpu import is_zero_gpu  # noqa: E402
from humo.space.links.gallery import read_gallery  # noqa: E402
from humo.space.page import html, parts, texts  # noqa: E402
from humo.space.page.curves import schedule_svg  # noqa: E402
from humo.space.page.events import filling, generating, looking, portraying, sharing  # noqa: E402
from humo.space.page.prompts.dense_caption import FIELDS  # noqa: E402
from humo.space.page.scales import SCALES, rule_choices, rule_note  # noqa: E402
from humo.space.page.speakers import ESPEAK, offered  # noqa: E402
from humo.space.page.theme import CSS, ICON, ICON_LINK, make_theme  # noqa: E402
from humo.space.page.widgets import (  # noqa: E402
    QUEUED,
    QUICK,
    Comparing,
    Inputs,
    Looking,
    Opened,
    Panel,
    PictureFile,
    Settings,
    Sharing,
    Speaking,
)
from humo.space.page.wording_view import add_reading  # noqa: E402
from humo.space.photographs import Photographs  # noqa: E402
from humo.space.request_guard import HANDLERS, MAX_SESSIONS, Page, RequestGuard  # noqa: E402
from humo.space.state import Backend  # noqa: E402
from humo.timing import FPS  # noqa: E402
from humo.wording.vocabulary import GROUPS  # noqa: E402

HOUR = 3600


def build_page(backend: Backend) -> gr.Blocks:
    """Lay out the page and connect its events.

    Args:
        backend: model, store and examples.

    Returns:
        The page, for `launch`.
    """
    defaults, shown = backend.serving.defaults, read_gallery(backend.gallery, backend.examples)
    with Page(title="HuMo, compact", analytics_enabled=False, delete_cache=(HOUR, 23 * HOUR)) as page:
        gr.HTML(texts.HEAD)
        notice = gr.HTML(html.notice(backend.serving.notice), visible=bool(backend.serving.notice))
        opened = parts.opened()
        with gr.Column(elem_id="maker") as maker:
            with gr.Row(equal_height=False):
                with gr.Column(scale=6, min_width=320):
                    with gr.Tabs(overflow_behavior="wrap", elem_id="modes") as modes:
                        tabs = [_tab(mode, backend) for mode in MODES]
                        gallery = _gallery(sharing.posters(backend.store, backend.folder, shown))
                    settings = _settings(defaults)
                with gr.Column(scale=5, min_width=320, elem_id="result"):
                    panel = parts.panel()
                    links = parts.sharing(backend.home.is_lasting)
            views, other = parts.looking(), parts.comparing()
        gr.HTML(texts.KNOW)
        _connect_making(tabs, settings, panel, links, views, other, backend)
        _connect_settings(modes, tabs, settings, panel, backend)
        _connect_makers(page, tabs, settings, Photographs(backend.folder))
        _connect_links(page, modes, tabs, settings, panel, links, opened, maker, backend)
        gallery.select(
            sharing.gallery_opener(backend.store, backend.folder, opened, maker, [record for _, record in shown]),
            None,
            [*opened.parts(), maker],
            **QUICK,
        )
        page.load(lambda: html.notice(backend.serving.notice), None, notice, **QUICK)
        api.offer(backend.admission, defaults)
    return page


# 1. Layout


def _tab(mode: Mode, backend: Backend) -> Inputs:
    defaults, examples = backend.serving.defaults, [each for each in backend.examples if each.mode == mode.key]
    image = seen = maker = audio = heard = speaking = seconds = None
    with gr.Tab(mode.title, id=mode.key) as tab:
        prompt = gr.Textbox(
            label="Text",
            info="Who is seen, what they wear, what they do.",
            placeholder="a woman with red hair and glasses, in a blue shirt, nods",
            lines=2,
            max_lines=6,
            elem_id=f"prompt-{mode.key}",
        )
        if backend.serving.name in LARGE:
            _captioning(prompt)
        if defaults.rewords_prompts:
            add_reading(prompt, mode.key)
        with gr.Accordion("Words that the small model knows", open=False, visible=backend.serving.name not in LARGE):
            words = gr.HTML(html.chips(GROUPS), js_on_load=texts.CHIPS, elem_id=f"words-{mode.key}")
        with gr.Row():
            if mode.needs_image:
                with gr.Column(min_width=200), gr.Row():
                    image = PictureFile(
                        label="Picture of the person",
                        type="filepath",
                        sources=["upload", "webcam", "clipboard"],
                        height=220,
                        min_width=140,
                        buttons=[],
                        elem_id=f"image-{mode.key}",
                    )
                    seen = gr.HTML(visible=False, min_width=140)
            if mode.needs_audio:
                with gr.Column(min_width=200):
                    audio = gr.Audio(
                        label="Voice (sets the length)",
                        type="filepath",
                        sources=["upload", "microphone"],
                        buttons=[],
                        elem_id=f"audio-{mode.key}",
                    )
                    heard = gr.HTML(visible=False)
        if mode.needs_image and defaults.draws_people:
            maker = parts.person_maker(mode.key)
        if mode.needs_audio:
            speaking = _speaking(mode)
        else:
            longest = int((defaults.max_frames or 10 * FPS) / FPS * 10) / 10
            start = round(defaults.num_frames / FPS, 1)
            seconds = gr.Slider(0.2, longest, value=start, step=0.1, label="Seconds")
        gr.HTML(texts.CONSENT)
        gr.HTML('<p class="humo-label">Examples: one click fills everything in</p>')
        with gr.Row(elem_classes="humo-examples"):
            buttons = [gr.Button(each.title, icon=each.image, size="md", min_width=140) for each in examples]
        with gr.Row():
            generate = gr.Button("Generate", variant="primary", scale=2, elem_id=f"generate-{mode.key}")
            has_quick = backend.serving.has_fast
            quick = gr.Button("Quick look", visible=has_quick, min_width=150, elem_id=f"quick-{mode.key}")
        live = gr.Checkbox(
            False,
            label="Live: a quick look at every change",
            visible=backend.serving.has_fast,
            elem_id=f"live-{mode.key}",
        )
        wake = gr.Button(visible="hidden", elem_id=f"wake-{mode.key}")
        estimate = gr.HTML(elem_id=f"estimate-{mode.key}")
    return Inputs(
        mode, tab, prompt, words, image, seen, maker, audio, heard, speaking, seconds, generate, quick, live, wake,
        estimate, list(zip(examples, buttons, strict=True)),
    )  # fmt: skip


def _captioning(prompt: gr.Textbox) -> None:
    with gr.Accordion("Write a dense caption: the large models follow it best", open=False):
        fields = [gr.Textbox(label=field.title, placeholder=field.example) for field in FIELDS]
        gr.Button("Write it", size="md").click(filling.write_caption, fields, prompt, **QUEUED)


def _speaking(mode: Mode) -> Speaking:
    speakers = offered()
    can_speak = bool(speakers)
    with gr.Accordion("Or type what they should say", open=False, elem_id=f"speaking-{mode.key}"):
        if not can_speak:
            gr.HTML(texts.NO_SPEECH)
        text = gr.Textbox(label="Sentence", lines=2, max_lines=4, interactive=can_speak, elem_id=f"say-{mode.key}")
        with gr.Row():
            voice = gr.Dropdown(speakers, label="Speaker", interactive=can_speak)
            rate = gr.Slider(80, 300, value=150, step=5, label="Words a minute", interactive=can_speak)
        if can_speak and not ESPEAK.is_installed():
            gr.HTML(texts.MORE_SPEAKERS)
        speak = gr.Button("Speak", size="md", interactive=can_speak, elem_id=f"speak-{mode.key}")
    return Speaking(text, voice, rate, speak)


def _gallery(pictures: list[tuple[str, str]]) -> gr.Gallery:
    with gr.Tab("Gallery", id="gallery"):
        gr.HTML('<p class="humo-label">Made by the bundled model: a click opens the video and what made it.</p>')
        return gr.Gallery(
            pictures, columns=3, show_label=False, allow_preview=False, buttons=[], height="auto", elem_id="gallery"
        )


def _settings(defaults: Defaults) -> Settings:
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        with gr.Row():
            seed = gr.Number(0, label="Seed", info="The same seed gives the same video.", precision=0, minimum=0)
            start = defaults.num_inference_steps
            steps = gr.Slider(2, 50, value=start, step=1, label="Steps", info="More are slower and finer.")
        is_random = gr.Checkbox(True, label="A new seed each time", elem_id="random")
        sizes = defaults.size_choices()
        size = gr.Dropdown(sizes, value=sizes[0][1], label="Size", interactive=len(sizes) > 1, elem_id="size")
        with gr.Accordion("How strongly each input is followed", open=False, elem_id="advanced"):
            own = defaults.guidance["rule"]
            info = "How text, picture and voice are weighed against each other. Each rule sets its own scales."
            rule = gr.Dropdown(rule_choices(own), value=own, label="Guidance rule", info=info, elem_id="rule")
            told = rule_note(defaults)
            note = gr.HTML(html.note(told), visible=bool(told), elem_id="rule-note")
            scales = {}
            for name, label, info, low, high, step in SCALES:
                value = defaults.scale(name)
                look = {"visible": value is not None, "value": low if value is None else value}
                scales[name] = gr.Slider(low, high, step=step, label=label, info=info, **look)
            first = schedule_svg(defaults.guidance, start, defaults.shift, MODES[0].needs_image, MODES[0].needs_audio)
            curve = gr.HTML(first, elem_id="curve")
        with gr.Accordion("Settings of an earlier video", open=False):
            restore = gr.File(label="A video made here", file_types=[".mp4"], height=120, elem_id="restore")
    return Settings(seed, is_random, steps, size, rule, note, scales, curve, gr.State(MODES[0].key), restore, defaults)


# 2. Events


def _connect_making(
    tabs: list[Inputs],
    settings: Settings,
    panel: Panel,
    links: Sharing,
    views: Looking,
    other: Comparing,
    backend: Backend,
) -> None:
    starts = [*(button for tab in tabs for button in (tab.generate, tab.quick)), views.look, other.compare]
    groups = [links.group, views.group, other.group]
    cleared = sharing.cleared(links) | looking.cleared(views, other)
    done = {group: gr.update(visible=True) for group in groups}
    for inputs in tabs:
        given = {*inputs.widgets(), *settings.widgets()}
        outputs = [*dict.fromkeys([*panel.parts(), settings.seed, *starts, *cleared, *groups])]
        for button, is_fast in ((inputs.generate, False), (inputs.quick, True)):
            rest = (panel, starts, cleared, done, backend.admission, backend.serving, is_fast)
            button.click(generating.generator(inputs, settings, *rest), given, outputs, **QUEUED)
        look = generating.live_looker(inputs, settings, panel, cleared, done, backend.admission)
        inputs.wake.click(look, given, outputs, trigger_mode="always_last", **QUEUED)
        changes = [each.change for each in (*inputs.widgets(), inputs.live)] + [settings.seed.input]
        changes += [each.release for each in settings.scales.values()]
        gr.on(changes, None, inputs.live, js=texts.wake(inputs.wake.elem_id), **QUICK)
    panel.stop.click(generating.stopper(backend.admission.manager), **QUICK)
    look = looking.looker(views, starts, backend.admission)
    views.look.click(look, panel.made, [*views.parts(), *starts], **QUEUED)
    turn, place = looking.turner(views), [views.inside, views.step, views.frame]
    for slider in place[1:]:
        slider.release(turn, place, [*views.pictures.values()], **QUICK)
    compare = looking.comparer(other, starts, backend.admission)
    other.compare.click(compare, panel.made, [*other.parts(), *starts], **QUEUED)


def _connect_settings(modes: gr.Tabs, tabs: list[Inputs], settings: Settings, panel: Panel, backend: Backend) -> None:
    for inputs in tabs:
        inputs.words.click(filling.add_word, inputs.prompt, inputs.prompt, **QUICK)
        if inputs.image is not None:
            inputs.image.upload(filling.checker(read_picture), inputs.image, inputs.image, **QUEUED)
            if inputs.maker is None:
                looked_at = [inputs.image, settings.size]
                changes = [each.change for each in looked_at]
                gr.on(changes, filling.shower(settings.defaults), looked_at, inputs.seen, **QUICK)
        if inputs.audio is not None:
            inputs.audio.upload(filling.checker(read_sound), inputs.audio, inputs.audio, **QUEUED)
            inputs.audio.change(filling.hearer(settings.defaults), inputs.audio, inputs.heard, **QUICK)
            asked = [inputs.speaking.text, inputs.speaking.voice, inputs.speaking.rate]
            speak = filling.speaker(backend.folder, settings.defaults)
            inputs.speaking.speak.click(speak, asked, inputs.audio, **QUEUED)
        for example, button in inputs.examples:
            outputs = [*inputs.widgets(), settings.seed, settings.is_random]
            button.click(filling.filler(example, inputs, settings), None, outputs, **QUICK)
        known = filling.estimator(inputs, settings, backend.serving)
        told = [panel.made, settings.steps, settings.rule, settings.size, inputs.seconds, inputs.audio]
        for widget in filter(None, told):
            widget.change(known, {*inputs.widgets(), *settings.widgets()}, inputs.estimate, **QUICK)
    shown = [settings.note, *settings.scales.values()]
    settings.rule.input(filling.rule_chooser(settings), settings.rule, shown, **QUICK)
    drawn = [settings.mode, settings.steps, settings.rule, *settings.scales.values()]
    for widget in drawn:
        widget.change(filling.drawer(settings), set(drawn), settings.curve, **QUICK)
    for inputs in tabs:
        inputs.tab.select(filling.chooser(inputs.mode), None, settings.mode, **QUICK)
    outputs = [modes, *settings.widgets(), *(each for tab in tabs for each in tab.restored())]
    settings.restore.upload(filling.restorer(modes, tabs, settings), settings.restore, outputs, **QUEUED)


def _connect_makers(page: gr.Blocks, tabs: list[Inputs], settings: Settings, photographs: Photographs) -> None:
    for inputs in (tab for tab in tabs if tab.maker is not None):
        maker, given = inputs.maker, {*inputs.widgets(), inputs.maker.completed, settings.size}
        outputs = [maker.person, maker.completed, maker.as_is, maker.box, maker.buttons, inputs.seen, inputs.prompt]
        inputs.image.change(portraying.picture_reader(inputs, settings, photographs), given, outputs, **QUEUED)
        maker.as_is.input(portraying.as_is_chooser(inputs, settings), given, outputs, **QUEUED)
        maker.box.expand(portraying.maker_opener(inputs), given, maker.buttons, **QUICK)
        maker.buttons.click(portraying.chooser(inputs), given, outputs, trigger_mode="multiple", **QUEUED)
        maker.surprise.click(portraying.surpriser(inputs), given, outputs, **QUEUED)
    page.unload(photographs.forget)


def _connect_links(
    page: gr.Blocks,
    modes: gr.Tabs,
    tabs: list[Inputs],
    settings: Settings,
    panel: Panel,
    links: Sharing,
    opened: Opened,
    maker: gr.Column,
    backend: Backend,
) -> None:
    store, folder = backend.store, backend.folder
    make = sharing.sharer(store, backend.admission, backend.serving.fingerprint, links)
    links.share.click(make, [panel.made, links.keeps_inputs], links.parts(), **QUEUED)
    links.delete.click(sharing.deleter(store, folder, links), [links.id, links.token], links.parts(), **QUEUED)
    page.load(sharing.opener(store, folder, opened, maker), None, [*opened.parts(), maker], **QUICK)
    opened.close.click(sharing.closer(opened, maker), None, [opened.group, maker], **QUICK)
    remix = sharing.remixer(store, folder, opened, maker, modes, tabs, settings)
    outputs = [opened.group, maker, modes, *settings.widgets(), *(each for tab in tabs for each in tab.restored())]
    opened.remix.click(remix, opened.id, outputs, **QUEUED)
    delete = sharing.opened_deleter(store, folder, opened)
    opened.delete.click(delete, [opened.id, opened.key], opened.parts(), **QUEUED)


# 3. Start


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
            app_kwargs={"exception_handlers": HANDLERS, "middleware": [Middleware(RequestGuard, quota=quota)]},
            run_history=False,
            show_error=False,
            ssr_mode=False,
            prevent_thread_lock=True,
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary folder goes
    backend.serving.model.start_loading()  # only now, for it would slow the start of the page
    page.block_thread()


if __name__ == "__main__":
    typer.run(main)
