"""Visitors without a browser: each has a tab of the page of its own, and speaks to the server as the page does."""

from __future__ import annotations

import html
import json
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from humo.space.links.settings import VideoSettings, read_settings

PATIENCE = 150.0
"""Seconds without a word after which a visitor is lost."""
LINK = re.compile(r"\?g=([\w-]{22})")


class Refused(Exception):  # noqa: N818 (an answer, not an error)
    """The server said no, in a sentence."""


class Lost(Exception):  # noqa: N818 (an outcome)
    """The server said nothing that a visitor could understand."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the page."""

    index: int
    inputs: tuple[str, ...]
    """Names of the widgets that it reads."""
    outputs: tuple[str, ...]
    """Names of the widgets that it changes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What /config tells of the page."""

    events: Mapping[str, Event]
    """By what sets them off: "share.click", or "load" of the page. Of several the first."""
    values: Mapping[str, Any]
    """What the widgets hold at first, by name."""

    @classmethod
    def of(cls, config: dict[str, Any]) -> Self:
        """Read it."""
        parts = {part["id"]: part["props"] for part in config["components"]}
        names = {id: props.get("elem_id") or props.get("label") or str(id) for id, props in parts.items()}
        events: dict[str, Event] = {}
        for each in config["dependencies"]:
            event = Event(each["id"], *(tuple(names[id] for id in each[way]) for way in ("inputs", "outputs")))
            for id, what in each["targets"]:
                events.setdefault(f"{names[id]}.{what}" if id in names else what, event)
        return cls(events, {names[id]: props.get("value") for id, props in parts.items()})


class Tab:
    """A tab of the page: one session, one address."""

    def __init__(self, client: httpx.AsyncClient, layout: Layout, address: str) -> None:
        """Open it; nothing is asked yet.

        Args:
            client: speaks to the server.
            layout: of the page.
            address: that a proxy would name the visitor by.
        """
        self._client, self._layout = client, layout
        self._headers = {"x-forwarded-for": address}
        self._session = secrets.token_hex(8)

    async def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """A file of the visitor's."""
        answer = await self._asked("POST", "/gradio_api/upload", files={"files": (name, content)})
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def press(self, name: str, values: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Start an event of the queue, and what it changes on the way, by widget.

        Raises:
            Refused: as the server says.
            Lost: if it says nothing, or nothing clear.
        """
        event = self._layout.events[name]
        body = self._body(event, values) | {"simple_format": True}
        await self._asked("POST", "/gradio_api/queue/join", json=body)
        ended = False
        async for message in self._told(f"/gradio_api/queue/data?session_hash={self._session}"):
            output = message.get("output") or {}
            ended = message["msg"] == "process_completed"
            if message["msg"] == "unexpected_error" or (ended and not message["success"]):
                raise _refusal(output.get("error") or message.get("message"))
            if output.get("data"):
                yield dict(zip(event.outputs, output["data"], strict=False))
            if ended:
                break
        if not ended:
            raise Lost("the stream ended before the event")

    async def load(self, query: str) -> dict[str, Any]:
        """What opening the page changes, by widget."""
        event = self._layout.events["load"]
        answer = await self._asked("POST", f"/gradio_api/run/predict?{query}", json=self._body(event, {}))
        return dict(zip(event.outputs, answer.json()["data"], strict=False))

    async def call(self, endpoint: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Call the page as a program does: the video and its settings.

        Raises:
            Refused: as the server says.
            Lost: if it says nothing, or nothing clear.
        """
        path = f"/gradio_api/call/v2/{endpoint}"
        begun = await self._asked("POST", path, json=dict(values))
        kind = ""
        async with self._client.stream("GET", f"{path}/{begun.json()['event_id']}", headers=self._headers) as answer:
            async for line in answer.aiter_lines():
                kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
                if line.startswith("data: ") and kind == "complete":
                    return tuple(json.loads(line.removeprefix("data: "))[0])
                if line.startswith("data: ") and kind == "error":
                    raise _refusal(json.loads(line.removeprefix("data: ")).get("error"))
        raise Lost("the stream ended before the call")

    async def settings_of(self, video: Any) -> VideoSettings:
        """What a video that the server gave says of itself, downloaded as a browser would."""
        path = video.get("value", video)["path"] if isinstance(video, dict) else None
        path = path or (video["value"]["video"]["path"])
        answer = await self._asked("GET", f"/gradio_api/file={path}")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "video.mp4"
            copy.write_bytes(answer.content)
            return read_settings(copy)

    def _body(self, event: Event, values: Mapping[str, Any]) -> dict[str, Any]:
        data = [values.get(name, self._layout.values.get(name)) for name in event.inputs]
        return {"data": data, "fn_index": event.index, "session_hash": self._session}

    async def _asked(self, method: str, path: str, **content: Any) -> httpx.Response:
        answer = await self._client.request(method, path, headers=self._headers, **content)
        if answer.status_code != 200:
            raise _refusal(_detail(answer))
        return answer

    async def _told(self, path: str) -> AsyncIterator[dict[str, Any]]:
        async with self._client.stream("GET", path, headers=self._headers) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


def is_sentence(said: object) -> bool:
    """Whether a refusal is one clear sentence."""
    is_text = isinstance(said, str) and len(said) > 20
    return is_text and re.fullmatch(r"[A-Z0-9][^.\n]*(\.\S[^.\n]*)*\.", said) is not None


def link_in(widget: Any) -> str:
    """The id of the link that the page shows."""
    found = LINK.search(html.unescape(json.dumps(widget)))
    if found is None:
        raise Lost(f"no link in {widget}")
    return found[1]


def _refusal(said: object) -> Exception:
    return Refused(said) if is_sentence(said) else Lost(f"no sentence: {said!r}")


def _detail(answer: httpx.Response) -> object:
    try:
        told = answer.json()
    except ValueError:
        return answer.text
    return told.get("detail", told.get("error")) if isinstance(told, dict) else told
