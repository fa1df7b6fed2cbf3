"""The address of the MCP server: light, for the page starts with it; the rest comes at the first request. Ours."""

from __future__ import annotations

import os
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from humo.space.environment import read_root
from humo.space.mcp.address import PATH
from humo.space.state import Backend
from humo.system.imports import quick_imports

if TYPE_CHECKING:
    from humo.space.mcp.server import McpServer

_ABOUT = """This is an MCP server: it offers the page's functions as tools to programs that speak the Model Context \
Protocol (streamable HTTP). Give such a program this very address.
"""


def has_mcp() -> bool:
    """Whether the package `mcp` is there, without which the page serves all else."""
    return find_spec("mcp") is not None


def mcp_routes(backend: Backend) -> list[BaseRoute]:
    """Routes of the server, for the app that serves the page; none without the package.

    Args:
        backend: model, jobs and limits.
    """
    endpoint = _Endpoint(backend)
    return [Route(path, endpoint) for path in (PATH, f"{PATH}/")] if has_mcp() else []


class _Endpoint:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            server = await anyio.to_thread.run_sync(lambda: self._server)
            await server.handle(scope, receive, send)
        else:
            await _other(Request(scope))(scope, receive, send)

    @cached_property
    def _server(self) -> McpServer:
        with quick_imports():
            from humo.space.mcp.server import McpServer

        return McpServer(self._backend, read_root(os.environ))


def _other(request: Request) -> Response:
    """What is no call: a browser is told what this is, a client that there is no other stream and no session."""
    if request.method == "GET" and "text/event-stream" not in request.headers.get("accept", ""):
        return PlainTextResponse(_ABOUT)
    return JSONResponse({"detail": "Calls are sent by POST."}, 405, {"Allow": "GET, POST"})
