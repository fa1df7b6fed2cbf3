"""The events around links: make one, open one, make its video anew, delete it; and the gallery's."""

from __future__ import annotations

import html as escaping
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from humo.guidance import RULES
from humo.space.examples import Example
from humo.space.links.records import POSTER, VIDEO, Record, link
from humo.space.links.settings import LoraTold
from humo.space.links.share import share
from humo.space.links.storage import take
from humo.space.page import html
from humo.space.page.events.generating import Made, View, toasts
from humo.space.page.events.picturing import show_more
from humo.space.page.events.portraying import show_person
from humo.space.page.widgets import Inputs, Opened, Parts, Settings, Sharing
from humo.space.state import Backend
from humo.system.fast_form_config import SUFFIX
from humo.timing import FPS

LARGEST_SEED = 2**53 - 1
"""The browser's numbers are exact up to here."""
_TOLD = ("host", "proto")
"""What a proxy tells of the address that it was asked for."""
_DELETED = "The link is deleted: it opens nothing any more."


def on_share(sharing: Sharing, backend: Backend) -> Callable[[Made | None, bool, gr.Request], View]:
    """The event of Share: keeps the video and shows its link and the token that deletes it."""

    def make_link(made: Made | None, keeps_inputs: bool, request: gr.Request) -> View:
        with toasts():
            if made is None:
                raise ValueError("There is no video to share yet: press Generate first.")
            if made.request.continue_from is not None:
                raise ValueError("A video that goes on from another one has no link that makes it again: download it.")
            with backend.admission.link_granted(request):
                told = made.result, made.request, backend.serving.fingerprint
                record, token = share(backend.store, *told, keeps_inputs)
            address = link(record.id, page_address(request), os.environ.get("SPACE_ID"))
        return {
            sharing.link: gr.update(value=html.link(address), visible=True),
            sharing.id: record.id,
            sharing.token: gr.update(value=token, visible=True),
            sharing.delete: gr.update(visible=True),
            sharing.status: gr.update(visible=False),
            sharing.share: gr.update(visible=False),
            sharing.keeps_inputs: gr.update(visible=False),
        }

    return make_link


def on_delete(sharing: Sharing, backend: Backend) -> Callable[[str, str], View]:
    """The event of Delete beside a new link: takes its id and the key that was shown; the video can be shared anew."""

    def delete(id: str, key: str) -> View:
        _delete(backend, id, key)
        return cleared(sharing) | {sharing.status: gr.update(value=html.note(_DELETED), visible=True)}

    return delete


def on_delete_opened(opened: Opened, backend: Backend) -> Callable[[str | None, str], View]:
    """The event of Delete on an opened link: takes the key that was shown when it was made."""

    def delete(id: str | None, key: str) -> View:
        _delete(backend, id, key)
        return _nothing(opened, "The link is deleted", _DELETED)

    return delete


def _delete(backend: Backend, id: str | None, key: str) -> None:
    with toasts():
        backend.store.delete(id or "", (key or "").strip())
    shutil.rmtree(backend.folder / str(id), ignore_errors=True)  # the copies that were served


def cleared(sharing: Sharing) -> View:
    """Updates for a new video, which has no link yet."""
    return {
        sharing.link: gr.update(visible=False),
        sharing.token: gr.update(value="", visible=False),
        sharing.delete: gr.update(visible=False),
        sharing.status: gr.update(visible=False),
        sharing.share: gr.update(visible=True),
        sharing.keeps_inputs: gr.update(value=False, visible=True),
    }


def page_address(request: gr.Request, root: str | None = None) -> str:
    """Where the visitor's browser found the page, without its query.

    Args:
        request: of the visitor.
        root: path or whole address under which a proxy serves the page; None for what GRADIO_ROOT_PATH says.
    """
    root = os.environ.get("GRADIO_ROOT_PATH", "") if root is None else root
    if root.startswith("http"):
        return root
    origin = request.headers.get("origin") or ""
    if not origin.startswith("http"):  # "null", from a frame that hides it
        proxy = {name: (request.headers.get(f"x-forwarded-{name}") or "").partition(",")[0].strip() for name in _TOLD}
        origin = f"{proxy['proto'] or 'http'}://{proxy['host'] or request.headers.get('host', '')}"
    return origin + root


def on_open(page: Parts, backend: Backend) -> Callable[[gr.Request], View]:
    """The event of the page's loading: shows the generation that `?g=` names, if it names one."""

    def open_link(request: gr.Request) -> View:
        id = dict(request.query_params).get("g")
        if not id:
            return {page.opened.group: gr.update(visible=False)}
        return show(page, backend, id)

    return open_link


def on_gallery(page: Parts, backend: Backend, records: Sequence[Record]) -> Callable[[gr.SelectData], View]:
    """The event of a click on a picture of the gallery."""

    def open_example(selected: gr.SelectData) -> View:
        return show(page, backend, records[int(selected.index)].id)

    return open_example


def show(page: Parts, backend: Backend, id: str) -> View:
    """Updates that show a record, or the sentence that says why there is none."""
    opened = page.opened
    view: View = {opened.group: gr.update(visible=True), page.maker: gr.update(visible=False)}
    try:
        record = backend.store.read(id)
        video = take(backend.store, id, VIDEO, backend.folder)
        inputs = _inputs(backend, record)
    except ValueError as error:
        return view | _nothing(opened, "This link cannot be opened", str(error))
    view |= {
        opened.title: f'<h2 class="humo-title">{escaping.escape(record.settings.prompt)}</h2>',
        opened.video: gr.update(value=str(video), visible=True),
        opened.facts: html.facts(record),
        opened.remix: gr.update(visible=True),
        opened.removal: gr.update(visible=record.delete_sha256 is not None),
        opened.id: id,
    }
    pictures, voice = _pictures(inputs), inputs.get("audio")
    others = [(str(path), f"Picture {number}") for number, path in enumerate(pictures[1:], start=2)]
    for widget, value in (
        (opened.image, str(pictures[0]) if pictures else None),
        (opened.others, others or None),
        (opened.audio, None if voice is None else str(voice)),
    ):
        view[widget] = gr.update(value=value, visible=value is not None)
    return view


def _nothing(opened: Opened, title: str, why: str) -> View:
    """Updates that show a sentence where a generation would be."""
    media = (opened.video, opened.image, opened.others, opened.audio)
    hidden: View = {each: gr.update(value=None, visible=False) for each in media}
    return hidden | {
        opened.title: f'<h2 class="humo-title">{title}</h2><p role="alert">{escaping.escape(html.sentence(why))}</p>',
        opened.facts: "",
        opened.remix: gr.update(visible=False),
        opened.removal: gr.update(visible=False),
        opened.id: None,
    }


def on_close(page: Parts) -> Callable[[], View]:
    """The event of Make your own: back to the page that makes videos."""

    def close() -> View:
        return {page.opened.group: gr.update(visible=False), page.maker: gr.update(visible=True)}

    return close


def on_remix(page: Parts, backend: Backend) -> Callable[[str | None], View]:
    """The event of Remix: tab, inputs and settings as they were, ready to be changed."""

    def remix(id: str | None) -> View:
        with toasts():
            record = backend.store.read(id or "")
            given = _inputs(backend, record)
        return on_close(page)() | restored(record.settings, given, page.modes, page.tabs, page.settings)

    return remix


def restored(video: Any, given: dict[str, Path], modes: gr.Tabs, tabs: Sequence[Inputs], settings: Settings) -> View:
    """Updates that put a video's settings back.

    Args:
        video: `humo.space.links.settings.VideoSettings`.
        given: its inputs that were kept: "image", "image-2" and so on, "audio".
        modes, tabs, settings: where they go.
    """
    if video.seed > LARGEST_SEED:
        gr.Warning(
            f"The seed, {video.seed}, has more digits than a browser keeps, so a new one is drawn: "
            "`python -m humo generate --seed` takes it as it is."
        )
    steps = video.num_inference_steps
    if video.model.endswith(SUFFIX):
        steps = settings.defaults.num_inference_steps
        gr.Info("That was a quick look: the settings are back, with the steps of full quality.")
    overlap = 0 if video.known is None else video.known.overlap
    if video.known is not None:
        lacking = "goes on from an earlier one" if overlap else "was made around frames that were given"
        gr.Info(f"That video {lacking}, and settings hold no frames: what is made from them alone is another video.")
    inputs = next((tab for tab in tabs if tab.mode.key == video.mode), tabs[0])
    view: View = {modes: gr.update(selected=inputs.mode.key), inputs.prompt: video.prompt}
    for widget, name in ((inputs.image, "image"), (inputs.audio, "audio")):
        if widget is not None:
            view[widget] = str(given[name]) if name in given else None
    view |= _restored_more(inputs, _pictures(given)[1:], settings)
    if inputs.maker is not None and video.portrait is not None:
        view |= show_person(inputs, video.portrait) | {inputs.image: None}
    elif inputs.maker is not None:
        view[inputs.maker.person] = None
    if inputs.seconds is not None:
        asked = video.num_frames - max(0, overlap - 1)  # as `humo.space.page.events.going_on` adds the known ones
        view[inputs.seconds] = _within(inputs.seconds, round(asked / FPS, 1))
    known = {name for _, name in settings.defaults.size_choices()}
    size = f"{video.width}x{video.height}"
    view |= {
        settings.seed: video.seed if video.seed <= LARGEST_SEED else None,
        settings.is_random: False,
        settings.steps: _within(settings.steps, steps),
        settings.shift: video.audio_shift,
        settings.rule: video.guidance.get("rule"),
        settings.size: size if size in known else settings.size.value,
    }
    view |= _restored_loras(video.loras, settings)
    unsaid = {"until": getattr(RULES.get(str(video.guidance.get("rule"))), "until", None)}
    for name, slider in settings.scales.items():
        value = video.guidance.get(name, unsaid.get(name))
        is_number = isinstance(value, int | float)
        view[slider] = gr.update(value=_within(slider, value), visible=True) if is_number else gr.update(visible=False)
    return view


def _restored_loras(loras: Sequence[LoraTold], settings: Settings) -> View:
    """Updates that choose the LoRAs again that are here; the others are named."""
    view, missing = ({}, [each.name for each in loras]) if settings.loras is None else settings.loras.restored(loras)
    if missing:
        are = "LoRA, which is" if len(missing) == 1 else "LoRAs, which are"
        gr.Info(f"It was made with a further {are} not here: {', '.join(missing)}. Without, it will be another video.")
    return view


def _restored_more(inputs: Inputs, pictures: Sequence[Path], settings: Settings) -> View:
    """Updates that put the pictures after the first back, as many as the model takes."""
    room = len(inputs.slot_images())
    if len(pictures) > room:
        few = "1 picture" if room == 0 else f"{room + 1} pictures"
        gr.Warning(f"That was made from {len(pictures) + 1} pictures; this model takes {few}, so the first are here.")
    return show_more(inputs, [str(path) for path in pictures[:room]], settings.defaults)


def _within(slider: gr.Slider, value: float) -> float:
    """The value, or the end of the slider that it is beyond."""
    return min(max(value, slider.minimum), slider.maximum)


def _inputs(backend: Backend, record: Record) -> dict[str, Path]:
    """The inputs that were kept, as `restored` takes them."""
    numbers = range(1, len(record.pictures) + 1)
    keys = ["image" if number == 1 else f"image-{number}" for number in numbers]
    names = {**dict(zip(keys, record.pictures, strict=True)), "audio": record.voice}
    return {key: take(backend.store, record.id, name, backend.folder) for key, name in names.items() if name}


def _pictures(given: dict[str, Path]) -> list[Path]:
    return [path for key, path in given.items() if key.startswith("image")]


def posters(backend: Backend, shown: Sequence[tuple[Example, Record]]) -> list[tuple[str, str]]:
    """Picture and title of each example of the gallery."""
    pictures = (str(take(backend.store, record.id, POSTER, backend.folder)) for _, record in shown)
    titles = (f"{example.title} ({record.settings.mode})" for example, record in shown)
    return list(zip(pictures, titles, strict=True))
