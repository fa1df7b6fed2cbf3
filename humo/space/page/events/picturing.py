"""The events around the pictures after the first, for models that were taught with several.

They stand in the order in which the model is shown them, without a gap: a picture that is taken out lets the next ones
move up. Where the first is a picture too, and no drawn person, it moves with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr

from humo.media import read_picture
from humo.portrait import is_drawing
from humo.space.jobs.limits import READERS
from humo.space.jobs.request import Defaults
from humo.space.page.events.generating import View
from humo.space.page.previews import seen_html
from humo.space.page.widgets import Inputs, Settings
from humo.space.photographs import Photographs


def on_pictures(inputs: Inputs, settings: Settings, photographs: Photographs) -> Callable[[View, gr.Request], View]:
    """The event of another picture: the others close up, and each is shown as the model sees it.

    Args:
        inputs: of a tab with several pictures.
        settings: what all tabs share.
        photographs: learns of each that goes with the visit.
    """

    def arrange(values: View, request: gr.Request) -> View:
        before = [values[widget] for widget in inputs.ordered()]
        if inputs.maker is not None:  # a model of drawn people: its visitors' photographs go with the visit
            for path in filter(None, before):
                _remember(photographs, request.session_hash, path)
        return _placed(inputs, before, [path for path in before if path], settings.defaults, values[settings.size])

    return arrange


def on_earlier(inputs: Inputs, settings: Settings, place: int) -> Callable[[View], View]:
    """The event of the button that puts a picture before the one before it.

    Args:
        inputs: of a tab with several pictures.
        settings: what all tabs share.
        place: of the picture in `inputs.ordered()`; 1 or more.
    """

    def swap(values: View) -> View:
        before = [values[widget] for widget in inputs.ordered()]
        after = [*before[: place - 1], before[place], before[place - 1], *before[place + 1 :]]
        return _placed(inputs, before, [path for path in after if path], settings.defaults, values[settings.size])

    return swap


def show_more(inputs: Inputs, paths: Sequence[str], defaults: Defaults, size: str | None = None) -> View:
    """Updates that put pictures into the slots after the first.

    Args:
        inputs: of a tab; without slots there is nothing to update.
        paths: of the pictures, no more than there are slots; the others become empty.
        defaults: of the model.
        size: of the video, from its menu; None for the model's own.
    """
    if inputs.more is None:
        return {}
    widgets = inputs.slot_images()
    filled = [*paths, *[None] * (len(widgets) - len(paths))]
    return dict(zip(widgets, filled, strict=True)) | _around(inputs, filled, defaults, size)


def shown(read: Callable[[str], Any], path: str | None, as_html: Callable[[Any], str]) -> Any:
    """The update of a view of an upload, which is hidden where there is none."""
    try:
        return gr.update(visible=False) if path is None else gr.update(value=as_html(read(path)), visible=True)
    except ValueError:  # told by `filling.on_upload`
        return gr.update(visible=False)


def _placed(
    inputs: Inputs, before: Sequence[str | None], paths: Sequence[str], defaults: Defaults, size: str | None
) -> View:
    """Updates that put pictures where they belong; what is there already is left, for a change would come back."""
    after = [*paths, *[None] * (len(before) - len(paths))]
    moved = zip(inputs.ordered(), before, after, strict=True)
    view = {widget: new for widget, old, new in moved if new != old}
    return view | _around(inputs, after[-len(inputs.more.slots) :], defaults, size)


def _around(inputs: Inputs, paths: Sequence[str | None], defaults: Defaults, size: str | None) -> View:
    """Updates of what stands around the slots: one empty slot is there to be filled, each picture is shown as seen."""
    height, width = defaults.read_size(size)
    view: View = {}
    for slot, (previous, path) in zip(inputs.more.slots, pairwise(["", *paths]), strict=True):
        view[slot.column] = gr.update(visible=previous is not None)
        view[slot.seen] = shown(read_picture, path, lambda picture: seen_html(picture, height, width))
        if slot.earlier is not None:
            view[slot.earlier] = gr.update(visible=path is not None)
    return view | ({inputs.more.box: gr.update(open=True)} if any(paths) else {})


def _remember(photographs: Photographs, visit: str | None, path: str) -> None:
    with suppress(ValueError):  # no picture at all: told by `filling.on_upload`
        with READERS:
            is_known = is_drawing(read_picture(Path(path)))
        if not is_known:
            photographs.add(visit, path)
