"""A program in JavaScript that calls the page with Gradio's own client, `@gradio/client`.

The page's bundle holds that client, so neither node nor npm is needed: Chromium is let at it and runs the program.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import PATIENCE
from playwright.sync_api import Browser, Route

_PROGRAM = """async ([name, values, picture]) => {
    const page = await window.GradioClient.connect(location.href);
    const image = await (await fetch(picture)).blob();
    const [video, told] = (await page.predict(name, { ...values, image })).data[0];
    const answer = await fetch(video.url);
    const size = (await answer.arrayBuffer()).byteLength;
    return { video, told, status: answer.status, type: answer.headers.get("content-type"), size };
}"""


def call_by_javascript(
    browser: Browser, address: str, name: str, values: Mapping[str, Any], picture: Path
) -> dict[str, Any]:
    """Call an endpoint, and fetch the video from the URL that comes back.

    Args:
        browser: runs the program.
        address: of the page, without a slash at the end.
        name: of the endpoint, as "/text_image".
        values: by parameter.
        picture: a PNG, which the client uploads for the parameter `image`.

    Returns:
        `video` and `told` as the endpoint answers; `status`, content `type` and `size` of what lies at the video's URL.
    """
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.route("**/assets/index-*.js", _show_client)
    page.goto(f"{address}/")
    page.wait_for_function("() => Boolean(window.GradioClient)")
    data = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    got = page.evaluate(_PROGRAM, [name, dict(values), data])
    context.close()
    return got


def _show_client(route: Route) -> None:
    """Serves the page's scripts; the one with the client has one statement more, which names it for all."""
    answer = route.fetch()
    script = answer.text()
    if "static async connect(" in script:
        (name,) = set(re.findall(r"[{,]Client:([\w$]+)[,}]", script))
        script += f"\nwindow.GradioClient = {name};"
    route.fulfill(response=answer, body=script)
