"""A reverse proxy that serves a page under a path of its own, as nginx, Traefik and others are set up to do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import uvicorn
from ports import free_port
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
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        """Pass a request on."""
        asked = request.scope["raw_path"].decode()  # as it came: %2F stays %2F
        if asked == "/favicon.ico":  # which browsers look for at the root, before they have read a page
            return Response(status_code=204)
        if not asked.startswith(f"{self._prefix}/"):
            return PlainTextResponse("There is another page here.", 404)
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
    """Address of a page behind a proxy in a process of its own, with its path and without a slash at the end.

    Args:
        upstream, prefix, strips, forwards: as `Proxy` takes them.
    """
    port = free_port()
    command = [sys.executable, __file__, str(port), upstream, prefix, *["strips"] * strips, *["forwards"] * forwards]
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}{prefix}"
        assert process.poll() is None
    finally:
        process.kill()  # it would wait for the pages that still listen
        process.wait(300)


if __name__ == "__main__":
    own_port, page, path, *wishes = sys.argv[1:]
    uvicorn.run(Proxy(page, path, "strips" in wishes, "forwards" in wishes).app, port=int(own_port), log_level="error")
