"""The page, served until its process ends; the model is loaded in the background while the page is already open.

Nothing is fetched from or sent to anywhere else.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path

from starlette.middleware import Middleware

from humo.assets import EXAMPLES
from humo.space.application.building import build_page
from humo.space.compiling import BackgroundCompiler
from humo.space.environment import exit_on_bad_input, find_place, read_compile
from humo.space.jobs.zerogpu import is_zero_gpu
from humo.space.live.routes import live_routes
from humo.space.mcp.routes import has_mcp, mcp_routes
from humo.space.page.theme import CSS, ICON, ICON_LINK, make_theme
from humo.space.request_guard import HANDLERS, MAX_SESSIONS, RequestGuard
from humo.space.state import Backend

logger = logging.getLogger(__name__)
SPARE_THREADS = 40
"""Gradio's own number, for all events but those that follow a job, each of which holds a thread."""


def serve(temporary: Path, host: str | None, port: int | None, model: str, records: Path | None, is_ray: bool) -> None:
    """Serve the page and block; where it cannot start, end the process with a sentence and exit code 2.

    Args:
        temporary: the page's temporary folder, from `humo.space.environment.prepare`.
        host: where it is served; None for what the environment says, see `find_place`.
        port: the same.
        model: mini, 1.7B, 17B or the folder of a saved pipeline.
        records: folder of the shared links; None for the usual one.
        is_ray: the work is done by `humo.space.jobs.ray_serve`.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the temporary folder goes
    gc.freeze()  # what was imported stays: the collector need not look through it again
    with exit_on_bad_input():
        host, port = find_place(host, port)
        backend = Backend.open(temporary, model, records, is_ray)
        if is_zero_gpu():
            backend.serving.model.get()  # the process of each call is a copy of this one: the weights must be here
        if told := backend.admission.limits.missing_proxy():
            logger.warning(told)
        page = build_page(backend)
        quota = backend.admission.manager.quota
        quota.keep()  # the page's own pictures
        quota.watch()
        page.mcp_server = has_mcp()  # told at the start, and to whoever reads the page's config
        most_jobs = backend.admission.manager.max_jobs
        page.queue(max_size=max(64, most_jobs + SPARE_THREADS)).launch(
            max_threads=most_jobs + SPARE_THREADS,
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
            app_kwargs={
                "exception_handlers": HANDLERS,
                "middleware": [Middleware(RequestGuard, quota=quota)],
                "routes": [*mcp_routes(backend), *([] if backend.live is None else live_routes(backend.live))],
            },
            mcp_server=False,  # Gradio's: ours stands at its address (`humo.space.mcp`)
            run_history=False,
            show_error=False,
            ssr_mode=False,
            prevent_thread_lock=True,
        )
    backend.serving.model.start_loading()  # only now, for it would slow the start of the page
    if not is_ray and read_compile(os.environ):
        BackgroundCompiler(backend.serving.source, backend.serving.model, backend.admission.manager).start()
    page.block_thread()
