"""A program that calls the page over plain HTTP: what `gradio_client` would mend or refuse on its own side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

import httpx

TIMEOUT = httpx.Timeout(180)
"""Seconds; a generation on a busy machine tells something long before the last are over."""
PLAIN: dict[str, Any] = {"timeout": TIMEOUT, "verify": False, "trust_env": False}
"""For httpx: reading the certificates, of which plain HTTP needs none, takes longer than a call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one call."""

    status: int
    """Of HTTP, to the call itself."""
    event: str = ""
    """The last one: "complete" or "error"; empty if the call was refused at once."""
    text: str = ""
    """All that was said."""

    @classmethod
    def of(cls, told: str) -> Self:
        """Of a call that was let in, from what was said until its end."""
        events = [line.removeprefix("event: ") for line in told.splitlines() if line.startswith("event: ")]
        return cls(200, events[-1] if events else "", told)

    @property
    def data(self) -> Any:
        """The values of the last event."""
        return json.loads(self.text.rsplit("data: ", 1)[1])


def call(address: str, name: str, body: dict[str, Any] | list[Any] | bytes) -> Answer:
    """Call an endpoint and listen until it has ended.

    Args:
        address: of the page.
        name: of the endpoint.
        body: values by parameter; or all values in their order, as the older form of the call has them; or the bytes
            of a request.
    """
    url = f"{address}/gradio_api/call/{'' if isinstance(body, list) else 'v2/'}{name}"
    given = {"data": body} if isinstance(body, list) else body
    content = given if isinstance(given, bytes) else json.dumps(given).encode()
    with httpx.Client(**PLAIN) as client:
        begun = client.post(url, content=content, headers={"content-type": "application/json"})
        if begun.status_code != 200:
            return Answer(begun.status_code, text=begun.text)
        return Answer.of(client.get(f"{url}/{begun.json()['event_id']}").text)


def upload(address: str, name: str, content: bytes) -> dict[str, Any]:
    """Upload a file as the page does.

    Returns:
        What an endpoint takes for it.
    """
    files = {"files": (name, content)}
    answer = httpx.post(f"{address}/gradio_api/upload", files=files, **PLAIN).raise_for_status()
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}
