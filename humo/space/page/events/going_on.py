"""The event of Go on: the video that was made last goes on with what its tab says now, in one unbroken take. Ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import gradio as gr

from humo.space.jobs.request import KeptVideo, VideoRequest
from humo.space.page.events.generating import Made, View, carry, new_task, toasts
from humo.space.page.widgets import Inputs, Parts, read_request
from humo.space.state import Backend
from humo.timing import FPS, round_down

MOST_SECONDS = 60.0
"""Of a video that is gone on from: all of it is read and written anew each time."""


def on_go_on(
    inputs: Inputs, page: Parts, cleared: View, backend: Backend
) -> Callable[[View, gr.Request], Iterator[View]]:
    """The event of a tab's Go on.

    Args:
        inputs: of the tab, whose text, picture and voice the next seconds follow.
        page: where the longer video appears.
        cleared: updates that take away what hangs on the last video.
        backend: starts the job.
    """
    admission = backend.admission

    def go_on(values: View, request: gr.Request) -> Iterator[View]:
        with toasts():
            made = values[page.panel.made]
            first, name = read_request({**values, page.settings.is_random: True}, inputs, page.settings)
            ask = follow_up(made, first, backend.serving.defaults.max_frames)
            notes = tell_shorter(first, ask)
            job = admission.start(
                request, ask, lambda: new_task(ask, name, admission.manager, notes), is_look=ask.is_fast
            )
        for _, view in carry(job, ask, page, cleared):
            yield view

    return go_on


def follow_up(made: Made | None, ask: VideoRequest, longest: int | None = None) -> VideoRequest:
    """The request for what follows a video: as long as the tab says, or as the model can beside the known frames.

    Args:
        made: what is gone on from; as it was made, by the fast form or not, it goes on.
        ask: what the tab says.
        longest: frames that the model makes at once, known ones included; None for any number.

    Raises:
        ValueError: if there is no video, it is too long, was not kept, or has another size.
    """
    from humo.requests.continuing import OVERLAP  # with PyTorch, which the page's start does not wait for

    if made is None:
        raise ValueError("There is no video to go on from yet: press Generate or Quick look first.")
    if made.result.seconds > MOST_SECONDS:
        raise ValueError(
            f"The video lasts {made.result.seconds:.0f} s and goes on up to {MOST_SECONDS:.0f} s: save it and begin "
            "another one."
        )
    if made.result.kept is None:
        raise ValueError("This video is too large to be kept for going on: use continue_from in Python.")
    is_fast, num_frames = made.request.is_fast, ask.num_frames
    if num_frames is not None:
        num_frames += OVERLAP - 1
        num_frames = num_frames if longest is None else min(num_frames, round_down(longest))
    return replace(
        ask,
        continue_from=KeptVideo(made.result.kept),
        is_fast=is_fast,
        num_inference_steps=None if is_fast else ask.num_inference_steps,
        num_frames=num_frames,
    )


def tell_shorter(ask: VideoRequest, following: VideoRequest) -> tuple[str, ...]:
    """What a video's notes say where less follows than the tab says.

    Args:
        ask: what the tab says.
        following: what `follow_up` made of it.

    Returns:
        One sentence, or none.
    """
    known = following.num_known
    if ask.num_frames is None or following.num_frames is None or following.num_frames >= ask.num_frames + known - 1:
        return ()
    return (
        f"What is new lasts {(following.num_frames - known) / FPS:.2f} s, less than was asked for: this model makes "
        f"{following.num_frames} frames at once, and {known} of them are the end of the video before.",
    )
