"""A program that speaks MCP with a page: the client of the `mcp` package, over HTTP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from raw_api import PLAIN

PATH = "/gradio_api/mcp/"
T = TypeVar("T")
Steps = list[tuple[float, float | None, str | None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What came back for one call."""

    result: types.CallToolResult
    steps: Steps
    """What was told on the way: how much of how much, and words."""

    @property
    def text(self) -> str:
        """Of the first part of the answer."""
        first = self.result.content[0]
        assert isinstance(first, types.TextContent)
        return first.text

    @property
    def data(self) -> dict[str, Any]:
        """What programs read."""
        assert not self.result.isError and self.result.structuredContent is not None, self.text
        return self.result.structuredContent

    @property
    def refusal(self) -> str:
        """The sentence of a refusal."""
        assert self.result.isError and len(self.result.content) == 1, self.result
        return self.text


@asynccontextmanager
async def session_with(address: str) -> AsyncIterator[ClientSession]:
    """A session that has been opened."""
    async with (
        httpx.AsyncClient(**PLAIN) as client,
        streamable_http_client(address + PATH, http_client=client) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


async def call_in(session: ClientSession, name: str, on_step: Callable[[], None] | None = None, **given: Any) -> Told:
    """Call a tool in a session; `on_step` is told that something was told."""
    steps: Steps = []

    async def tell(done: float, total: float | None, words: str | None) -> None:
        steps.append((done, total, words))
        if on_step is not None:
            on_step()

    return Told(await session.call_tool(name, given, progress_callback=tell), steps)


def call_tool(address: str, name: str, **given: Any) -> Told:
    """Call a tool in a session of its own."""

    async def run() -> Told:
        async with session_with(address) as session:
            return await call_in(session, name, **given)

    return _apart(run())


def list_tools(address: str) -> dict[str, types.Tool]:
    """The tools by name."""

    async def run() -> list[types.Tool]:
        async with session_with(address) as session:
            return (await session.list_tools()).tools

    return {tool.name: tool for tool in _apart(run())}


def _apart(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it, in a thread of its own: beside a browser the test's own has a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def data_url(content: bytes, kind: str) -> str:
    """A file as it is carried in a call."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
