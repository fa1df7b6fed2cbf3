"""One call of a tool: who calls, what is told on the way, and what comes back. Ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
import gradio as gr
from gradio.context import LocalContext

from humo.space.jobs.job import Job, Phase, Progress
from humo.space.page import html
from humo.space.page.events.generating import QUIET

Tell = Callable[[float, float | None, str], Awaitable[None]]
"""Tells how much is done, of how much (None if unknown), and a few words."""
T = TypeVar("T")
_LEAST = 1e-3
"""What is told of progress must grow, says the protocol, also while only the words change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a tool gives back."""

    text: str
    """For whoever reads it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""
    file: Path | None = None
    """What was made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call; a caller that goes away cancels it, and with it its job."""

    visitor: gr.Request
    """Who calls, with a session of this call's own."""
    folder: Path
    """For files of this call."""
    tell: Tell

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """A function that takes a while, in a thread and in the name of the caller."""

        def work() -> T:
            LocalContext.request.set(self.visitor)  # ZeroGPU reads there whose quota a job takes
            return function(*args)

        return await anyio.to_thread.run_sync(work)  # to its end: a job that has begun must be known, to be stopped

    async def follow(self, start: Callable[[], Job]) -> Any:
        """Start a job, tell its progress and give its result.

        Raises:
            ValueError: in one sentence, if it is not let in, fails or is stopped.
        """
        job = await self.run(start)
        now: Progress | None = None
        told, words = 0.0, ""
        try:
            while now is None or not now.phase.is_over:
                now = await anyio.to_thread.run_sync(partial(job.wait, now, QUIET), abandon_on_cancel=True)
                if not now.phase.is_over and (said := html.words(now)[0]) != words:
                    told, words = max(told + _LEAST, float(now.step)), said
                    await self.tell(round(told, 3), float(now.num_steps) or None, words)
        finally:
            job.stop()
        if now.phase is Phase.DONE:
            return now.result
        raise ValueError(now.error if now.phase is Phase.FAILED else "the video was stopped before it was made.")
