"""What happens between Generate and the video: the job is started, its progress shown, its end told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from humo.space.jobs.admission import Admission
from humo.space.jobs.job import Job, Phase, Progress
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import VideoRequest
from humo.space.jobs.task import MakeVideo, Result
from humo.space.page import html, texts
from humo.space.page.widgets import Inputs, Panel, Parts, Settings, read_request
from humo.space.state import Backend

View = dict[Any, Any]
"""Values or updates by widget."""
QUIET = 0.5
"""Seconds between two looks at a job at the most: the clock moves on, and a closed tab is noticed here."""
WAITING = 2.0
"""The same while it waits: no clock runs, and every look at ten waiting jobs takes time from the one at work."""
TELLING = 1 / 20
"""Share of a job's time that telling may take: gradio makes every output of an event anew, at each view, in Python."""
MAX_PAUSE = 1.0
"""Seconds between two views of a phase at the most, where telling takes long."""


@dataclass(frozen=True, slots=True, eq=False)  # by identity: gradio hashes a state whose change it tells
class Made:
    """The video that a visitor sees, with what made it."""

    request: VideoRequest
    result: Result

    def repeated(self) -> VideoRequest:
        """The request that makes the same video again; of one that goes on, its last part."""
        goes_on = self.request.continue_from is not None
        num_frames = self.request.num_frames if goes_on else self.result.num_frames
        return replace(self.request, seed=self.result.seed, num_frames=num_frames)


def as_toast(error: Exception) -> gr.Error:
    """The sentence of an error, for the page."""
    return gr.Error(html.sentence(str(error)), print_exception=False)


@contextmanager
def toasts() -> Iterator[None]:
    """What is refused inside becomes a toast with the same sentence."""
    try:
        yield
    except ValueError as error:
        raise as_toast(error) from None


def follow(job: Job) -> Iterator[Progress]:
    """A job's moments until it is over; the job stops if nobody follows any more.

    A new phase is told at once. Within one, moments are left out as long as the last one takes more than `TELLING`.

    Raises:
        gr.Error: at the end, with the job's sentence, if it failed.
    """
    try:
        progress, pause = None, 0.0
        while progress is None or not progress.phase.is_over:
            is_waiting = progress is not None and progress.phase is Phase.QUEUED
            progress = job.wait(progress, WAITING if is_waiting else QUIET, pause)
            began = time.monotonic()
            yield progress
            pause = min((time.monotonic() - began) / TELLING, MAX_PAUSE)
    finally:
        job.stop()  # only sets a flag: gradio may close this generator on its event loop
    if progress.phase is Phase.FAILED:
        raise as_toast(ValueError(progress.error))


def on_generate(
    inputs: Inputs, page: Parts, cleared: View, backend: Backend, is_fast: bool
) -> Callable[[View, gr.Request], Iterator[View]]:
    """The event of a tab's Generate button, or of that for a quick look.

    Args:
        inputs: of the tab.
        page: where the video appears; its buttons rest while the job runs.
        cleared: updates that take away what hangs on the last video.
        backend: starts the job, and learns how long it takes.
        is_fast: for a quick look.
    """
    admission = backend.admission

    def make(values: View, request: gr.Request) -> Iterator[View]:
        with toasts():
            ask, name = read_request(values, inputs, page.settings, is_fast)
            job = admission.start(request, ask, lambda: new_task(ask, name, admission.manager), is_look=is_fast)
        for progress, view in carry(job, ask, page, cleared):
            is_alone = not progress.num_others  # a batch tells of no single one
            if progress.phase is Phase.DONE and not is_fast and is_alone:
                backend.serving.learn(progress.result, progress.elapsed - progress.loading)
            yield view

    return make


def new_task(ask: VideoRequest, name: str, manager: JobManager, notes: tuple[str, ...] = ()) -> MakeVideo:
    """The task of a video that can be gone on from.

    Args:
        ask: what to make.
        name: of its file, without an ending.
        manager: gives it a place.
        notes: with which those of the result begin, in sentences.
    """
    path = manager.new_path(name)
    return MakeVideo(ask, path, path.with_suffix(".npz"), notes)


def carry(job: Job, ask: VideoRequest, page: Parts, cleared: View) -> Iterator[tuple[Progress, View]]:
    """The views of a video's job from its beginning to its end; what starts jobs rests meanwhile."""
    starts = page.starts()
    yield job.progress, {**cleared, **_first_view(job, ask, page.settings, page.panel), **rest(starts)}
    for progress in follow(job):
        view = _view(progress, ask, page)
        if progress.phase.is_over:
            view |= rest(starts, False)
        yield progress, view


def on_live(
    inputs: Inputs, page: Parts, cleared: View, admission: Admission
) -> Callable[[View, gr.Request], Iterator[View]]:
    """The event of every change of a tab while it is live: a quick look takes the place of the last video.

    The seed stays, so that what changes in the video is what was changed. What is not there yet, or not allowed, is no
    mistake while somebody types: the last video stays, also where a look fails. LoRAs are left out, and what stands
    under the video says so.

    Args:
        inputs: of the tab.
        page: where the video appears.
        cleared: updates that take away what hangs on the last video.
        admission: starts the jobs.
    """

    def look(values: View, request: gr.Request) -> Iterator[View]:
        yield {page.panel.stage: gr.skip()}  # an event without a word would empty all its outputs
        try:
            ask, name = read_request({**values, page.settings.is_random: False}, inputs, page.settings, is_fast=True)
            notes = [texts.WITHOUT_LORAS] * bool(ask.loras)
            ask = replace(ask, loras=())
            job = admission.start(request, ask, lambda: new_task(ask, name, admission.manager), is_look=True)
        except ValueError:
            return
        with suppress(gr.Error):  # of a job that failed
            for progress in follow(job):
                if progress.phase is Phase.DONE:
                    yield {**cleared, **_view(progress, ask, page, notes)}

    return look


def rest(buttons: Sequence[gr.Button], is_resting: bool = True) -> View:
    """Updates that let buttons rest, or wake them."""
    return {button: gr.update(interactive=not is_resting) for button in buttons}


def tell(job: Job, status: gr.HTML, stop: gr.Button, page: Parts) -> Iterator[tuple[View, Any]]:
    """The views of a job whose progress and Stop stand in a place of their own, and at last its result."""
    starts = page.starts()
    first = {status: gr.update(value=html.progress(job.progress), visible=True), stop: gr.update(visible=True)}
    yield first | rest(starts), None
    for progress in follow(job):
        view: View = {status: gr.update(value=html.progress(progress), visible=progress.phase is not Phase.DONE)}
        if progress.phase.is_over:
            view |= {stop: gr.update(visible=False)} | rest(starts, False)
        yield view, progress.result


def on_stop(manager: JobManager) -> Callable[[gr.Request], None]:
    """The event of Stop."""

    def stop(request: gr.Request) -> None:
        manager.stop(request.session_hash)

    return stop


def _first_view(job: Job, ask: VideoRequest, settings: Settings, panel: Panel) -> View:
    return {
        panel.video: gr.update(value=None, visible=False),
        panel.summary: gr.update(visible=False),
        panel.download: gr.update(visible=False),
        panel.stop: gr.update(visible=True),
        panel.stage: gr.update(value=html.stage(job.progress), visible=True),
        panel.made: None,
        settings.seed: ask.seed,
    }


def _view(progress: Progress, ask: VideoRequest, page: Parts, notes: Sequence[str] = ()) -> View:
    """What a moment shows; `notes` join those of the result under the finished video."""
    panel = page.panel
    view: View = {panel.stage: html.stage(progress)}
    if progress.phase.is_over:
        view[panel.stop] = gr.update(visible=False)
    if progress.phase is Phase.DONE:
        path = str(progress.result.path)
        told = replace(progress.result, notes=(*progress.result.notes, *notes))
        view |= {
            panel.stage: gr.update(visible=False),
            panel.video: gr.update(value=path, visible=True),
            panel.summary: gr.update(value=html.summary(told, progress.elapsed), visible=True),
            panel.download: gr.update(value=path, visible=True),
            panel.made: Made(ask, progress.result),
        } | dict.fromkeys(page.groups(), gr.update(visible=True))
    return view
