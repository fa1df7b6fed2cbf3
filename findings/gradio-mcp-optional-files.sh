#!/usr/bin/env bash
# gradio 6.31.0, its own MCP server (`launch(mcp_server=True)`), asked with the client of mcp 1.30.0 (pydantic 2.12.5):
# a picture that a tool requires (`image: FileData`) reaches the function as a file; the same picture, where the tool may
# do without (`image: FileData | None`), reaches it as the text that the caller sent. And two callers, each with a
# connection of its own, are one session to the function, so that work cannot be told apart by caller. Fails if either
# has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "gradio[mcp]==6.31.0" gradio_client==2.7.2 mcp==1.30.0 pydantic==2.12.5
GRADIO_ANALYTICS_ENABLED=False env/bin/python - <<'PY'
import asyncio
import base64
import io
import json
import sys

import gradio as gr
import httpx
from gradio.data_classes import FileData
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image


def look(request: gr.Request, image: FileData | None = None) -> str:
    """Say what came. Args: image: a picture."""
    kind = type(image).__name__ if not isinstance(image, dict) else "file as a dictionary"
    return json.dumps({"kind": kind, "session": request.session_hash})


def must(image: FileData, request: gr.Request) -> str:
    """Say what came. Args: image: a picture."""
    return look(request, image)


async def ask(url: str, tool: str, picture: str) -> dict[str, str]:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        streamable_http_client(url, http_client=http) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        result = await session.call_tool(tool, {"image": picture})
        return json.loads(result.content[0].text)


async def main(url: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    required, optional = await ask(url, "must", picture), await ask(url, "look", picture)
    print("a required file comes as:", required["kind"])
    print("an optional file comes as:", optional["kind"])
    print("two callers, one session:", required["session"] == optional["session"])
    kinds, same = (required["kind"], optional["kind"]), required["session"] == optional["session"]
    sys.exit(0 if kinds == ("file as a dictionary", "str") and same else "changed")


if __name__ == "__main__":
    with gr.Blocks(analytics_enabled=False) as page:
        gr.api(look)
        gr.api(must)
    _, address, _ = page.launch(mcp_server=True, prevent_thread_lock=True, quiet=True)
    asyncio.run(main(f"{address}gradio_api/mcp/"))
    page.close()
PY
