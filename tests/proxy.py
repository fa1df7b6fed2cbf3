"""A reverse proxy that serves a page under a path of its own, as nginx, Traefik and others are set up to do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

_OWN = {"host", "connection", "keep-alive", "transfer-encoding", "te", "upgrade"}
"""Headers that are of one connection and go no further."""


class Proxy:
    """Passes on what lies below a path, and nothing else; answers are streamed as they come."""

    def __init__(self, upstream: str, prefix: str, strips: bool, forwards: bool) -> None:
        """Set up.

        Args:
            upstream: address of the page, without a path.
            prefix: as "/humo".
            strips: whether the page is asked without the prefix.
            forwards: tell the page by X-Forwarded-Host who was asked; else the Host is passed on as it came.
        """
        self._upstream, self._prefix, self._strips, self._forwards = upstream, prefix, strips, forwards
        self._client = httpx.AsyncClient(verify=False, trust_env=False, timeout=None)
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])], lifespan=self._live)

    @asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self._client.aclose()

    async def answer(self, request: Request) -> Response:
        """Pass a request on."""
        asked = request.scope["raw_path"].decode()  # as it came: %2F stays %2F
        if not asked.startswith(f"{self._prefix}/"):
            return PlainTextResponse("not of this page", 404)
        url = httpx.URL(self._upstream + (asked.removeprefix(self._prefix) if self._strips else asked))
        headers = {name: value for name, value in request.headers.items() if name not in _OWN}
        host = request.headers["host"]
        told = {"x-forwarded-host": host, "x-forwarded-proto": "http"} if self._forwards else {"host": host}
        passed = self._client.build_request(
            request.method,
            url.copy_with(query=request.scope["query_string"]),
            headers=headers | told,
            content=await request.body(),
        )
        got = await self._client.send(passed, stream=True)
        kept = {name: value for name, value in got.headers.items() if name not in _OWN}
        return StreamingResponse(got.aiter_raw(), got.status_code, kept, background=BackgroundTask(got.aclose))


@contextmanager
def behind_proxy(upstream: str, prefix: str, strips: bool = True, forwards: bool = True) -> Iterator[str]:
    """Address of a page behind a proxy, with its path and without a slash at the end.

    Args:
        upstream, prefix, strips, forwards: as `Proxy` takes them.
    """
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{own.getsockname()[1]}{prefix}"
        proxy = Proxy(upstream, prefix, strips, forwards)
        server = uvicorn.Server(uvicorn.Config(proxy.app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield address
        server.should_exit = True
        thread.join(10)
