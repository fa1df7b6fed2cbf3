"""The protocol: tools listed and called by the `mcp` package, each request whole in itself. Ours.

Gradio (6.31) has an MCP server too. It calls the page over HTTP in one session for all callers, of whom the page grants
each one job at a time, and under its own address, by which the page counts; it hands files that may be left out to the
function as bare text, and tells no step. So the tools are offered here, to the same address, over the same functions.
"""

from __future__ import annotations

import logging
import mimetypes
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.route_utils import get_root_url
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from humo.space.mcp.address import MAX_CALL
from humo.space.mcp.call import Answer, Call
from humo.space.mcp.making import video_tools
from humo.space.mcp.reading import reading_tools
from humo.space.mcp.tool import Tool
from humo.space.page import html
from humo.space.state import Backend

logger = logging.getLogger(__name__)
LINKS_SINCE = "2025-06-18"
"""Version of the protocol from which on an answer may hold links."""
_BROKEN = "Something went wrong on the server, its log says what: please try again."


class McpServer:
    """Answers requests of the protocol; no state is kept between two of them."""

    def __init__(self, backend: Backend, root: str) -> None:
        """Set up.

        Args:
            backend: model, jobs and limits.
            root: path or address under which a proxy serves the page, "" for none.
        """
        self._folder, self._root = backend.folder, root
        self._tools = {tool.name: tool for tool in (*video_tools(backend), *reading_tools(backend))}
        self._server: Server[Any, Request] = Server("HuMo, compact", instructions=self._instructions())
        self._server.list_tools()(self._list)
        self._server.call_tool(validate_input=False)(self._call)  # our own sentences say more

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a POST; whatever it began ends with it."""
        manager = StreamableHTTPSessionManager(self._server, stateless=True, max_request_body_size=MAX_CALL)
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    def _instructions(self) -> str:
        speaking = " What is to be said, `speak` first." if "speak" in self._tools else ""
        return f"Talking videos of people from a text, a picture and a voice. Files come back as addresses.{speaking}"

    async def _list(self) -> list[types.Tool]:
        return [_described(tool) for tool in self._tools.values()]

    async def _call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            if name not in self._tools:
                raise ValueError(f"there is no tool {name[:40]!r}: there are {', '.join(self._tools)}.")
            with tempfile.TemporaryDirectory(prefix="call-", dir=self._folder) as folder:
                request = self._server.request_context.request
                assert request is not None  # every request came over HTTP
                visitor = gr.Request(request, session_hash=secrets.token_urlsafe(16))
                call = Call(visitor=visitor, folder=Path(folder), tell=self._tell)
                return self._told(await self._tools[name](call, arguments), request)
        except ValueError as error:
            return _refused(str(error))
        except Exception:  # must reach the caller as a sentence, and the log in full
            logger.exception("a tool failed")
            return _refused(_BROKEN)

    async def _tell(self, done: float, total: float | None, words: str) -> None:
        context = self._server.request_context
        if context.meta is not None and (token := context.meta.progressToken) is not None:
            await context.session.send_progress_notification(
                token, done, total, words, related_request_id=str(context.request_id)
            )

    def _told(self, answer: Answer, request: Request) -> types.CallToolResult:
        """An answer, its file as an address that anybody can fetch who can reach the page."""
        data, lines, content = dict(answer.data), [answer.text], list[types.ContentBlock]()
        if answer.file is not None:
            root = get_root_url(request, request.scope["path"].rstrip("/"), self._root)
            link = _link(answer.file, root)
            lines.append(str(link.uri))
            data["file"] = {"url": str(link.uri), "mime_type": link.mimeType, "size": link.size}
            if request.headers.get("mcp-protocol-version", "") >= LINKS_SINCE:
                content.append(link)
        said = types.TextContent(type="text", text="\n".join(lines))
        return types.CallToolResult(content=[said, *content], structuredContent=data)


def _described(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        readOnlyHint=not tool.makes, destructiveHint=False, idempotentHint=not tool.makes, openWorldHint=False
    )
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.description, inputSchema=tool.schema, annotations=hints
    )


def _link(file: Path, root: str) -> types.ResourceLink:
    kind, _ = mimetypes.guess_type(file.name)
    uri = f"{root}/gradio_api/file={quote(str(file))}"
    told = {"type": "resource_link", "name": file.name, "uri": uri, "mimeType": kind, "size": file.stat().st_size}
    return types.ResourceLink.model_validate(told)


def _refused(sentence: str) -> types.CallToolResult:
    said = types.TextContent(type="text", text=html.sentence(sentence))
    return types.CallToolResult(content=[said], isError=True)
