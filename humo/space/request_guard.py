"""What Gradio would do for anybody, or refuse without a word, is refused in a sentence here.

Gradio tells visitors nothing of its own exceptions (`show_error=False`): whoever names a file of the server reads
"null", whoever forgets a value "Internal Server Error". It also fetches addresses for visitors, draws icons of any
size, and reads bodies of any length into memory, which one request is enough for to end a server. Ours.

`Page` answers for the events, `RequestGuard` stands before all routes, `HANDLERS` put what the routes raise into words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import gradio as gr
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from humo.space.jobs.limits import Limits
from humo.space.mcp.address import MAX_CALL
from humo.space.mcp.address import PATH as MCP
from humo.space.page.events.generating import as_toast
from humo.space.temporary import DiskQuota

logger = logging.getLogger(__name__)
MAX_BODY = 1 << 20
"""Bytes of a request that uploads nothing; the page's own have some thousand."""
MAX_UPLOAD = Limits().file_bytes + MAX_BODY
"""Bytes of one that does: a file and what stands around it."""
MAX_SESSIONS = 1_000
"""Tabs and calls whose state is kept, 0.3 MB each; Gradio would keep 10,000."""
CLOSED = (
    "/pwa_icon",  # a picture of any size that is asked for
    "/monitoring",
    "/gradio_api/file=http",  # fetches addresses
    "/gradio_api/file/http",
    "/gradio_api/proxy=",
    "/gradio_api/process_recording",  # runs ffmpeg on what comes, playlists too
    "/gradio_api/dev/",
    "/gradio_api/deep_link",  # writes a file each time
)
"""Beginnings of Gradio's addresses that this page has no use for, in small letters."""
_FOREIGN = "A file given here was not uploaded here, or a value is of another kind than is asked for: give your own."
_FETCHED = "An address is given where a file is asked for, and nothing is fetched here: upload the file itself."
_BY_NAME = "give them all, null for what is left out, or by their names to /gradio_api/call/v2."
_BROKEN = "Something went wrong on the server, its log says what: please try again."
_NOTHING = "There is nothing at this address: /gradio_api/info lists what can be called."
_NO_JSON = "The request is no JSON object of what is asked for: /gradio_api/info lists it all."
_LACKING = "The request lacks a value, or has one too many: /gradio_api/info lists them all."
_FULL = "Too many are waiting here already: please try again in a minute."
_BARE = {
    "Not Found": _NOTHING,
    "Method Not Allowed": "This address takes no such request: /gradio_api/info lists what can be called.",
    "There was an error parsing the body": _NO_JSON,
}
"""What frameworks say: in a sentence."""


class Page(gr.Blocks):
    """Gradio's page, which fetches nothing for a visitor and ends an event with a sentence whatever happens."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Read what a visitor sent; Gradio's, with sentences."""
        if any(path.lower().startswith(("http:", "https:")) for path in _paths(inputs)):
            raise as_toast(ValueError(_FETCHED))
        asked = len(block_fn.inputs)
        if len(inputs) != asked:
            raise as_toast(ValueError(f"{len(inputs)} values are given and {asked} are asked for: {_BY_NAME}"))
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            logger.info("refused: %r", error)
            raise as_toast(ValueError(_FOREIGN)) from None

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Carry out an event, or its next part; Gradio's, with a sentence for what nobody foresaw."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            logger.exception("an event failed")
            raise as_toast(ValueError(_BROKEN)) from error


class RequestGuard:
    """ASGI middleware before Gradio: closes addresses, bounds bodies, and makes room for uploads."""

    def __init__(self, app: ASGIApp, quota: DiskQuota) -> None:
        """Set up.

        Args:
            app: what lies behind.
            quota: where uploads go.
        """
        self._app, self._quota = app, quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or refuse it."""
        refusal = None
        if scope["type"] == "http":
            request = Request(scope)
            refusal = _refusal(request)
            if refusal is None and _is_upload(request):
                await asyncio.to_thread(self._quota.make, int(request.headers["content-length"]))
        try:
            await (refusal or self._app)(scope, receive, send)
        except RuntimeError as error:  # events that nobody knows: Gradio says so and breaks the answer off
            if not isinstance(error.__cause__, HTTPException):
                raise
            await send({"type": "http.response.body", "body": b""})


def _refusal(request: Request) -> Response | None:
    """The answer to a request that is not let in."""
    if _path(request).lower().startswith(CLOSED):
        return _answer(404, _NOTHING)
    if request.method != "POST":
        return None
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or "transfer-encoding" in request.headers:
        return _answer(411, "The request does not say how long it is: send it whole, with its Content-Length.")
    is_call = _path(request).rstrip("/") == MCP
    most = MAX_UPLOAD if _is_upload(request) else MAX_CALL if is_call else MAX_BODY
    if int(length[:20]) > most:
        return _answer(413, f"The request is too large: at most {most >> 20} MiB are taken here.")
    return None


def _is_upload(request: Request) -> bool:
    return request.method == "POST" and _path(request) == "/gradio_api/upload"


def _path(request: Request) -> str:
    """What is asked for, without the path of the page itself, which some proxies leave before it."""
    path, root = request.url.path, request.scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _paths(values: Any) -> Iterator[str]:
    """Every "path" in what a visitor sent, however deep; JSON parsers bound the depth."""
    if isinstance(values, dict):
        path = values.get("path")
        if isinstance(path, str):
            yield path
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _paths(value)


def _answer(status: int, words: str) -> JSONResponse:
    return JSONResponse({"detail": words}, status)


def _said(status: int, words: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        logger.info("refused: %s %r", request.url.path, error)
        return _answer(status, words)

    return answer


async def _known(request: Request, error: HTTPException) -> Response:
    """Refusals of the routes, those without a sentence put into one."""
    is_full = error.status_code == 503
    detail = _FULL if is_full else _BARE.get(str(error.detail), error.detail)
    return await http_exception_handler(request, HTTPException(error.status_code, detail, error.headers))


HANDLERS: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
    HTTPException: _known,
    RequestValidationError: _said(422, _NO_JSON),
    KeyError: _said(404, _NOTHING),  # an endpoint, event or session of no such name
    FnIndexInferError: _said(404, _NOTHING),
    TypeError: _said(422, _LACKING),
    Exception: _said(500, _BROKEN),
}
"""For FastAPI: what answers an exception of the routes, by its class."""
