"""The events of the views that hang on a finished video: the look inside, and the comparison of two schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from humo.space.inspect.compare import Comparison, compare
from humo.space.inspect.look_inside import Inside, look_inside
from humo.space.inspect.look_inside_view import masks_view, schedule_view, senses_view, sound_view, to_html
from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Moment, Task
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import expected_seconds
from humo.space.page import html, texts
from humo.space.page.events.generating import Made, View, tell, toasts
from humo.space.page.widgets import Comparing, Looking, Parts

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline


@dataclass(frozen=True, slots=True)
class LookInside:
    """A task of `humo.space.jobs.job`: the video once more, watched."""

    request: VideoRequest

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Inside:
        """Make it and keep what the network did."""
        return look_inside(pipe, self.request, lambda *part: report(Moment(*part)))

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU: a pass of the network more at each step, several at three, and decoding."""
        return 3.5 * expected_seconds(pipe, self.request)


@dataclass(frozen=True, slots=True)
class Compare:
    """A task of `humo.space.jobs.job`: a request under two rules of guidance."""

    request: VideoRequest
    path: Path

    def run(self, pipe: HuMoPipeline, report: Callable[[Moment], None]) -> Comparison:
        """Make both."""
        return compare(pipe, self.request, self.path, lambda *part: report(Moment(*part)))

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Expected time on a GPU."""
        return 2 * expected_seconds(pipe, self.request)


def on_look_inside(page: Parts, admission: Admission) -> Callable[..., Iterator[View]]:
    """The event of Look inside."""

    def look(made: Made | None, request: gr.Request) -> Iterator[View]:
        for view, inside in _run(made, LookInside, page.views, page, admission, request):
            yield view if inside is None else {**view, **_opened(page.views, inside)}

    return look


def on_compare(page: Parts, admission: Admission) -> Callable[..., Iterator[View]]:
    """The event of Compare."""
    comparing = page.other

    def start(made: Made | None, request: gr.Request) -> Iterator[View]:
        def task(asked: VideoRequest) -> Task:
            return Compare(asked, admission.manager.new_path(f"humo-two-schedules-{asked.seed}"))

        for view, both in _run(made, task, comparing, page, admission, request):
            if both is not None:
                view |= {
                    comparing.video: gr.update(value=str(both.path), visible=True),
                    comparing.words: gr.update(value=html.paragraphs(both.words), visible=True),
                    comparing.compare: gr.update(visible=False),
                }
            yield view

    return start


def on_turn(views: Looking) -> Callable[[Inside | None, int, int], list[str]]:
    """The event of the sliders: the pictures at another step and frame."""

    def turn(inside: Inside | None, step: int, frame: int) -> list[str]:
        if inside is None:
            return [""] * len(texts.VIEWS)
        return list(_pictures(inside, step - 1, frame - 1).values())

    return turn


def cleared(views: Looking, comparing: Comparing) -> View:
    """Updates for a new video, into which nobody has looked yet."""
    hidden = (views.status, views.shown, comparing.status, comparing.video, comparing.words)
    return {
        **{widget: gr.update(visible=False) for widget in hidden},
        views.look: gr.update(visible=True),
        comparing.compare: gr.update(visible=True),
        views.inside: None,
    }


def _run(
    made: Made | None,
    task: Callable[[VideoRequest], Task],
    place: Looking | Comparing,
    page: Parts,
    admission: Admission,
    request: gr.Request,
) -> Iterator[tuple[View, Any]]:
    """A task on the video that is shown: updates, and at last its result."""
    with toasts():
        if made is None:
            raise ValueError("There is no video yet: press Generate first.")
        asked = made.repeated()
        job = admission.start(request, asked, lambda: task(asked))
    yield from tell(job, place.status, place.stop, page)


def _opened(views: Looking, inside: Inside) -> View:
    frame = len(inside.frame_numbers) // 2
    step = _nearest(inside.steps, inside.looks[len(inside.looks) // 2].step)
    shown = _pictures(inside, step, frame)
    return {
        views.inside: inside,
        views.look: gr.update(visible=False),
        views.shown: gr.update(visible=True),
        views.step: gr.update(maximum=len(inside.steps), value=step + 1),
        views.frame: gr.update(maximum=len(inside.frame_numbers), value=frame + 1),
        **{views.pictures[name]: value for name, value in shown.items()},
    }


def _pictures(inside: Inside, step: int, frame: int) -> dict[str, str]:
    """HTML of each view; of the steps at which the senses were asked the nearest one is shown."""
    near = _nearest([look.step for look in inside.looks], inside.steps[step])
    drawn = {
        "masks": masks_view(inside, step, frame),
        "senses": senses_view(inside, near, frame),
        "sound": sound_view(inside, near, frame),
        "schedule": schedule_view(inside),
    }
    return {name: to_html(drawn[name]) for name in texts.VIEWS}


def _nearest(steps: Sequence[int], wanted: int) -> int:
    """Index of the step that is nearest to another."""
    return min(range(len(steps)), key=lambda index: abs(steps[index] - wanted))
