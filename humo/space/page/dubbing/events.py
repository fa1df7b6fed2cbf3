"""What happens between Show the region or Dub and the answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from humo.dubbing.shape import Part
from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Task
from humo.space.page import html
from humo.space.page.dubbing.tasks import DubClip, FindRegion, Wish
from humo.space.page.dubbing.view import MOST_MARGIN, MOST_SIDE, Dubbing
from humo.space.page.events.generating import Made, View, tell, toasts
from humo.space.page.widgets import QUEUED, QUICK, Parts
from humo.system.ranges import check_number


def connect(page: Parts, admission: Admission) -> None:
    """Connect the events of a dub."""
    dub = page.dubbing
    outputs = [*dub.shown(), *page.starts()]
    dub.take.click(take, page.panel.made, dub.clip, **QUEUED)
    dub.find.click(on_find(page, admission), set(dub.given()), outputs, **QUEUED)
    dub.dub.click(on_dub(page, admission), set(dub.given()), outputs, **QUEUED)
    for widget in dub.given():  # the region that is shown is that of other wishes then
        widget.change(lambda: gr.update(visible=False), None, dub.found, **QUICK)


def take(made: Made | None) -> str:
    """The video that was made last, as the clip to dub."""
    with toasts():
        if made is None:
            raise ValueError("There is no video yet: press Generate first, or upload a clip.")
    return str(made.result.path)


def on_find(page: Parts, admission: Admission) -> Callable[..., Iterator[View]]:
    """The event of Show the region."""
    dub = page.dubbing

    def find(values: View, request: gr.Request) -> Iterator[View]:
        for view, picture in _run(values, page, admission, request, FindRegion):
            if picture is not None:
                view[dub.found] = gr.update(value=picture, visible=True)
            yield view

    return find


def on_dub(page: Parts, admission: Admission) -> Callable[..., Iterator[View]]:
    """The event of Dub."""
    dub = page.dubbing

    def start(values: View, request: gr.Request) -> Iterator[View]:
        def task(wish: Wish) -> Task:
            return DubClip(wish, admission.manager.new_path(f"humo-dub-{wish.seed}"))

        for view, result in _run(values, page, admission, request, task):
            if result is not None:
                view[dub.video] = gr.update(value=str(result.path), visible=True)
                view[dub.words] = gr.update(value=html.paragraphs(result.notes), visible=bool(result.notes))
            yield view

    return start


def read_wish(values: View, dub: Dubbing) -> Wish:
    """What the widgets ask for.

    Raises:
        ValueError: if the clip or the voice is missing, or a number is none of the sliders'.
    """
    if not values[dub.clip]:
        raise ValueError("There is no clip yet: upload one, or take the video above.")
    if not values[dub.audio]:
        raise ValueError("There is no new voice yet: upload a sound, or record one.")
    left, top, right, bottom = (values[side] for side in dub.sides)
    for side in (left, top, right, bottom):
        check_number("a side", side, -MOST_SIDE, MOST_SIDE)
    check_number("margin", values[dub.margin], 0, MOST_MARGIN)
    return Wish(
        clip=Path(values[dub.clip]),
        audio=Path(values[dub.audio]),
        part=Part(values[dub.part]),
        margin=values[dub.margin],
        sides=(left, top, right, bottom),
        hold=bool(values[dub.hold]),
        seed=secrets.randbelow(2**31),
    )


def _run(
    values: View, page: Parts, admission: Admission, request: gr.Request, task: Callable[[Wish], Task]
) -> Iterator[tuple[View, Any]]:
    """A task on what is asked for: updates, and at last its result."""
    with toasts():
        wish = read_wish(values, page.dubbing)
        admission.check_file("clip", wish.clip)
        job = admission.start(request, wish.request, lambda: task(wish))
    yield from tell(job, page.dubbing.status, page.dubbing.stop, page)
