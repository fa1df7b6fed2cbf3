"""The page: a talking video from text, a picture and a voice.

Start it with `python app.py`; the model is loaded in the background while the page is already open. Layout
and events stand here, everything else in `humo.space`. Nothing is fetched from or sent to anywhere else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Before gradio is imported, which reads them then. Uploads and results live in a folder of this process.
TEMPORARY = tempfile.TemporaryDirectory(prefix="humo-page-", ignore_cleanup_errors=True)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_TEMP_DIR", TEMPORARY.name)

import gradio as gr  # noqa: E402
import typer  # noqa: E402

from humo.media import read_picture, read_sound, warm_up  # noqa: E402
from humo.space import html  # noqa: E402
from humo.space.examples import FOLDER as EXAMPLES  # noqa: E402
from humo.space.examples import Example, read_examples  # noqa: E402
from humo.space.jobs import Model, Phase, Progress  # noqa: E402
from humo.space.request import FPS, MODES, Defaults, Mode  # noqa: E402
from humo.space.scales import SCALES, rule_choices, rule_note  # noqa: E402
from humo.space.studio import Studio  # noqa: E402
from humo.space.theme import CSS, ICON, make_theme  # noqa: E402
from humo.space.widgets import Inputs, Panel, PictureFile, Settings, read_request  # noqa: E402

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

MINI = Path(__file__).parent / "assets" / "humo-mini"
HOUR = 3600

HEAD = """<div class="humo-head"><svg viewBox="0 0 120 120" aria-hidden="true">
<rect class="ground" width="120" height="120" rx="30"/><g class="line"><path d="M22 112c4-22 20-30 38-30s34 8 38 30"/>
<circle cx="60" cy="48" r="28"/><path d="M50 42v5M70 42v5M50 58q10 10 20 0z"/></g></svg>
<div><h1>HuMo, compact</h1><p>A talking video from a text, a picture and a voice.</p></div></div>"""

KNOW = """<div class="humo-know">
<div><h2>Drawn people, not photographs</h2><p>The small model behind this page has only ever seen drawn characters
and heard synthetic voices. A photograph comes back as a drawing that is at best a little like it.</p></div>
<div><h2>Real faces and voices</h2><p>Use them only if they are yours or their owner has agreed. Every video says in
its own data that it is AI-generated. What you upload stays on this computer and is deleted within a day.</p></div>
</div>"""

# On a narrow screen the result is below the inputs: show it when a job starts. At once, for the updates of the panel
# would end a smooth scroll. Here and not on the buttons, whose own scripts do not always run in tabs opened later.
SHOW_RESULT = """
let wasRunning = false;
const look = () => {
    const isRunning = element.querySelector('.is-running') !== null;
    if (isRunning && !wasRunning && window.innerWidth < 900) document.getElementById('result').scrollIntoView();
    wasRunning = isRunning;
};
watch('value', look);
look();
"""


def build_page(studio: Studio, defaults: Defaults, examples: list[Example]) -> gr.Blocks:
    """Lay out the page and connect its events.

    Args:
        studio: makes the videos.
        defaults: where the sliders stand at first.
        examples: what the buttons under the inputs fill in.

    Returns:
        The page, for `launch`.
    """
    with gr.Blocks(title="HuMo, compact", analytics_enabled=False, delete_cache=(HOUR, 23 * HOUR)) as page:
        gr.HTML(HEAD)
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                with gr.Tabs(overflow_behavior="wrap", elem_id="modes"):
                    tabs = [_tab(mode, defaults, [e for e in examples if e.mode == mode.key]) for mode in MODES]
                settings = _settings(defaults)
            with gr.Column(scale=5, min_width=320, elem_id="result"):
                panel = _panel()
        gr.HTML(KNOW)
        for inputs in tabs:
            _connect(inputs, settings, panel, [tab.generate for tab in tabs], studio)
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        panel.stop.click(_stop(studio), **quick)
        shown = [settings.note, *settings.scales.values()]
        settings.rule.input(_rule_chooser(settings), settings.rule, shown, **quick)
    return page


def _tab(mode: Mode, defaults: Defaults, examples: list[Example]) -> Inputs:
    with gr.Tab(mode.title, id=mode.key):
        prompt = gr.Textbox(
            label="Text",
            info="Who is seen, what they wear, what they do.",
            placeholder="a woman with red hair and glasses, in a blue shirt, nods",
            lines=2,
            max_lines=6,
            elem_id=f"prompt-{mode.key}",
        )
        image = audio = seconds = None
        with gr.Row():
            if mode.needs_image:
                image = PictureFile(
                    label="Picture of the person",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=220,
                    buttons=[],
                    min_width=200,
                    elem_id=f"image-{mode.key}",
                )
            if mode.needs_audio:
                audio = gr.Audio(
                    label="Voice (sets the length)",
                    type="filepath",
                    buttons=[],
                    min_width=200,
                    elem_id=f"audio-{mode.key}",
                )
        if not mode.needs_audio:
            longest = (defaults.max_frames or 10 * FPS) / FPS
            seconds = gr.Slider(
                0.2,
                int(longest * 10) / 10,
                value=round(defaults.num_frames / FPS, 1),
                step=0.1,
                label="Seconds",
            )
        gr.HTML('<p class="humo-label">Examples: one click fills everything in</p>')
        with gr.Row(elem_classes="humo-examples"):
            buttons = [gr.Button(each.title, icon=each.image, size="md", min_width=140) for each in examples]
        generate = gr.Button("Generate", variant="primary", elem_id=f"generate-{mode.key}")
    return Inputs(mode, prompt, image, audio, seconds, generate, list(zip(examples, buttons, strict=True)))


def _settings(defaults: Defaults) -> Settings:
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        with gr.Row():
            seed = gr.Number(0, label="Seed", info="The same seed gives the same video.", precision=0, minimum=0)
            steps = gr.Slider(
                2,
                50,
                value=defaults.num_inference_steps,
                step=1,
                label="Steps",
                info="More are slower and finer.",
            )
        is_random = gr.Checkbox(True, label="A new seed each time", elem_id="random")
        with gr.Accordion("How strongly each input is followed", open=False, elem_id="advanced"):
            own = defaults.guidance["rule"]
            rule = gr.Dropdown(
                rule_choices(own),
                value=own,
                label="Guidance rule",
                info="How text, picture and voice are weighed against each other. Each rule sets its own scales.",
                elem_id="rule",
            )
            told = rule_note(defaults)
            note = gr.HTML(html.note(told), visible=bool(told), elem_id="rule-note")
            scales = {}
            for name, label, info, low, high, step in SCALES:
                value = defaults.scale(name)
                look = {"visible": value is not None, "value": low if value is None else value}
                scales[name] = gr.Slider(low, high, step=step, label=label, info=info, **look)
    return Settings(seed, is_random, steps, rule, note, scales, defaults)


def _panel() -> Panel:
    stage = gr.HTML(html.stage(None), elem_id="stage", js_on_load=SHOW_RESULT)
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
    return Panel(stage, video, summary, stop, download)


def _connect(inputs: Inputs, settings: Settings, panel: Panel, all_generate: list[gr.Button], studio: Studio) -> None:
    # Only events of gradio's queue can show a toast; how many run at a time is the studio's matter.
    queued: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    inputs.generate.click(
        _generate(inputs, settings, panel, all_generate, studio),
        inputs={*inputs.widgets(), *settings.widgets()},
        outputs=[
            panel.stage,
            panel.video,
            panel.summary,
            panel.stop,
            panel.download,
            settings.seed,
            *all_generate,
        ],
        **queued,
    )
    if inputs.image is not None:
        inputs.image.upload(_checker(read_picture), inputs.image, inputs.image, **queued)
    if inputs.audio is not None:
        inputs.audio.upload(_checker(read_sound), inputs.audio, inputs.audio, **queued)
    for example, button in inputs.examples:
        outputs = [*inputs.widgets(), settings.seed, settings.is_random]
        button.click(_filler(example, inputs, settings), None, outputs, **quick)


def _checker(read: Callable[[str], object]) -> Callable[[str | None], Any]:
    """Looks at an upload at once, and takes it out again with a sentence if it is no good."""

    def check(path: str | None) -> Any:
        if path is None:
            return None
        try:
            read(path)
        except ValueError as error:
            gr.Warning(html.sentence(str(error)))
            return None
        return gr.skip()

    return check


def _filler(example: Example, inputs: Inputs, settings: Settings) -> Callable[[], dict]:
    def fill() -> dict:
        values: dict = {inputs.prompt: example.prompt, settings.seed: example.seed, settings.is_random: False}
        if inputs.image is not None:
            values[inputs.image] = str(example.image)
        if inputs.audio is not None:
            values[inputs.audio] = str(example.audio)
        return values

    return fill


def _rule_chooser(settings: Settings) -> Callable[[str], dict]:
    """Shows the scales that a rule has, at the values it comes with."""

    def choose(rule: str) -> dict:
        defaults = settings.defaults.with_rule(rule)
        told = rule_note(defaults)
        view: dict = {settings.note: gr.update(value=html.note(told), visible=bool(told))}
        for name, slider in settings.scales.items():
            value = defaults.scale(name)
            view[slider] = gr.update(visible=False) if value is None else gr.update(visible=True, value=value)
        return view

    return choose


def _stop(studio: Studio) -> Callable[[gr.Request], None]:
    def stop(request: gr.Request) -> None:
        studio.stop(request.session_hash)

    return stop


def _generate(
    inputs: Inputs, settings: Settings, panel: Panel, all_generate: list[gr.Button], studio: Studio
) -> Callable[[dict, gr.Request], Iterator[dict]]:
    def generate(values: dict, request: gr.Request) -> Iterator[dict]:
        try:
            ask, name = read_request(values, inputs, settings)
            job = studio.start(request.session_hash, ask, name)
        except ValueError as error:
            raise _as_toast(error) from None
        try:
            yield {
                panel.video: gr.update(value=None, visible=False),
                panel.summary: gr.update(visible=False),
                panel.download: gr.update(visible=False),
                panel.stop: gr.update(visible=True),
                panel.stage: gr.update(value=html.stage(job.progress), visible=True),
                settings.seed: ask.seed,
                **{button: gr.update(interactive=False) for button in all_generate},
            }
            progress = None
            while progress is None or not progress.phase.is_over:
                # Half a second at most: the clock moves on, and a closed tab is noticed here.
                progress = job.wait(progress, timeout=0.5)
                yield {panel.stage: html.stage(progress)}
            yield _last_view(progress, panel, all_generate)
        finally:
            job.stop()  # only sets a flag: gradio may close this generator on its event loop
        if progress.phase is Phase.FAILED:
            raise _as_toast(ValueError(progress.error))

    return generate


def _last_view(progress: Progress, panel: Panel, all_generate: list[gr.Button]) -> dict:
    view: dict = {panel.stop: gr.update(visible=False)}
    view |= {button: gr.update(interactive=True) for button in all_generate}
    if progress.phase is Phase.DONE:
        path = str(progress.result.path)
        view |= {
            panel.stage: gr.update(visible=False),
            panel.video: gr.update(value=path, visible=True),
            panel.summary: gr.update(value=html.summary(progress.result, progress.elapsed), visible=True),
            panel.download: gr.update(value=path, visible=True),
        }
    return view


def _as_toast(error: Exception) -> gr.Error:
    return gr.Error(html.sentence(str(error)), print_exception=False)


def _load(folder: Path) -> HuMoPipeline:
    # Imported here, in the loader's thread: it takes seconds, and the page opens without them.
    from humo.checkpoints import load

    pipe = load(str(folder))
    warm_up()
    return pipe


def main(
    port: Annotated[int | None, typer.Option(help="Where the page is served; default: 7860 or the next.")] = None,
    host: Annotated[str | None, typer.Option(help="0.0.0.0 lets other computers in.")] = None,
    model: Annotated[Path, typer.Option(envvar="HUMO_MODEL", help="A saved pipeline.")] = MINI,
) -> None:
    """Open the page."""
    studio = Studio(Model(lambda: _load(model)), Path(TEMPORARY.name))
    try:
        page = build_page(studio, Defaults.of_folder(model), read_examples())
    except ValueError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    page.queue(max_size=64).launch(
        server_name=host,
        server_port=port,
        theme=make_theme(),
        css_paths=CSS,
        favicon_path=ICON,
        allowed_paths=[str(EXAMPLES)],  # for whoever starts the page from another folder
        footer_links=[],
        max_file_size="64mb",
        run_history=False,
        show_error=False,
        ssr_mode=False,
        prevent_thread_lock=True,
    )
    studio.model.start_loading()  # only now, for it would slow the start of the page
    page.block_thread()


if __name__ == "__main__":
    typer.run(main)
