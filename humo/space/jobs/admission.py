"""The one way to a job, for the page and for programs: what is asked for is checked, who asks is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import gradio as gr

from humo.space.jobs.job import Job, Task
from humo.space.jobs.limits import Gate, Hourly, Limits, client_of
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import VideoRequest


class Admission:
    """Starts the jobs that are within the limits."""

    def __init__(self, manager: JobManager, limits: Limits, uploads: Sequence[Path]) -> None:
        """Set up with nobody counted.

        Args:
            manager: does the jobs.
            limits: of a request and of a client.
            uploads: folders in one of which every file of a request must lie.
        """
        self.manager, self.limits = manager, limits
        self._gate, self._uploads = Gate(limits), uploads
        self._links = Hourly(limits.links_per_hour, "links")

    def start(self, visitor: gr.Request, asked: VideoRequest, task: Callable[[], Task], is_look: bool = False) -> Job:
        """Start a job for a visitor.

        Args:
            visitor: who asks.
            asked: what the task is about.
            task: makes it, once it is allowed.
            is_look: a quick look, which is no video of the hour.

        Raises:
            ValueError: in one sentence, if the request or the visitor is over a limit, or the job manager is full; a
                quick look of the visitor's then goes on.
        """
        self.check(asked)
        session = visitor.session_hash
        replaced = self.manager.look_of(session)
        return self._gate.start(
            self._client(visitor), lambda: self.manager.start(session, task()), replaced, is_look=is_look
        )

    def check(self, asked: VideoRequest) -> None:
        """Refuse a request that is over the limits.

        Raises:
            ValueError: in one sentence.
        """
        self.limits.check(asked, self._uploads)

    def check_file(self, what: str, path: Path) -> None:
        """Refuse a file that was not uploaded or made here, or is too large.

        Raises:
            ValueError: in one sentence, without the folder of the file.
        """
        self.limits.check_file(what, path, self._uploads)

    def link_granted(self, visitor: gr.Request) -> AbstractContextManager[None]:
        """Count a visitor for a link that is made inside, if it is not refused.

        Raises:
            ValueError: in one sentence, on entering, if it is one too many.
        """
        return self._links.granted(self._client(visitor))

    def granted(self, visitor: gr.Request) -> AbstractContextManager[None]:
        """Count a visitor for a live session that is begun inside, as for a video, if it is not refused.

        Raises:
            ValueError: in one sentence, on entering, if the visitor asked too often within the hour.
        """
        return self._gate.granted(self._client(visitor))

    def _client(self, visitor: gr.Request) -> str:
        peer = visitor.client.host if visitor.client else None
        return client_of(peer, visitor.headers.get("x-forwarded-for"), self.limits.trusted_proxies)
