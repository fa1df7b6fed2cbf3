"""The page under a path of its own behind a reverse proxy: every link, file and call carries the path.

Run: python -m pytest tests/space/test_proxy.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from javascript_client import call_by_javascript
from mcp_client import call_tool
from pages import EXAMPLES, Visit, serve
from PIL import Image
from playwright.sync_api import Browser
from proxy import behind_proxy
from raw_api import PLAIN, TIMEOUT, call, upload

from humo.media import kind_of
from humo.space.environment import read_root
from humo.space.page.events.sharing import page_address
from humo.space.request_guard import CLOSED, MAX_BODY

pytestmark = pytest.mark.slow

ROOT = "/humo"
QUICK = {"prompt": "a woman with red hair nods", "seconds": 0.2, "steps": 2, "seed": 3}
_ADDRESSES = """() => [...document.querySelectorAll("a, img, video, audio, script, link[rel=icon]")]
    .map(each => each.currentSrc || each.src || each.href).filter(each => each && !/^(data|blob):/.test(each))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page itself, which knows its path from GRADIO_ROOT_PATH."""
    with serve(tmp_path_factory.mktemp("log"), settings={"GRADIO_ROOT_PATH": f"{ROOT}/"}) as address:
        yield address


@pytest.fixture(scope="module")
def stripped(server: str) -> Iterator[str]:
    """Backend nginx with `location /humo/ { proxy_pass http://page/; }` and the usual headers."""
    with behind_proxy(server, ROOT) as address:
        yield address


@pytest.fixture(scope="module")
def whole(server: str) -> Iterator[str]:
    """Backend one that leaves the path in what it asks for, and passes on the Host alone."""
    with behind_proxy(server, ROOT, strips=False, forwards=False) as address:
        yield address


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture larger than any request but an upload may be."""
    face = np.asarray(Image.open(EXAMPLES / "woman.png").convert("RGB").resize((800, 800)), np.int16)
    noise = np.random.default_rng(0).integers(-20, 21, face.shape)
    path = tmp_path_factory.mktemp("picture") / "noisy.png"
    Image.fromarray((face + noise).clip(0, 255).astype(np.uint8)).save(path)
    assert path.stat().st_size > MAX_BODY
    return path


@pytest.mark.parametrize("proxy", ["stripped", "whole"])
def test_a_visitor_uploads_generates_shares_and_opens_the_link(
    request: pytest.FixtureRequest, browser: Browser, proxy: str, noisy: Path
) -> None:
    address = request.getfixturevalue(proxy)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page(), address).watch("/")
    page = visit.page
    page.locator("#prompt-TI textarea").fill(QUICK["prompt"])
    page.locator("#image-TI input[type=file]").set_input_files(noisy)
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 0.2)
    page.locator("#quick-TI").click()
    assert visit.video_facts()["ready"] == 4
    page.locator("#share").click()
    page.locator("#link a").wait_for()
    link = page.locator("#link a").get_attribute("href")
    assert link.startswith(f"{address}/?g=")
    visit.open_tab("Gallery")
    page.locator("#gallery button img").first.wait_for()
    found = page.evaluate(_ADDRESSES)
    assert len(found) > 5 and all(each.startswith(f"{address}/") for each in found), found
    page.goto(link)
    assert visit.video_facts("#opened-video")["ready"] == 4
    context.close()
    assert visit.complaints == []


def test_programs_get_the_videos_url(stripped: str, whole: str, tmp_path: Path) -> None:
    picture = EXAMPLES / "woman.png"
    for address in (stripped, whole):
        answer = call(address, "text_image", {**QUICK, "image": upload(address, picture.name, picture.read_bytes())})
        video, _ = answer.data[0]
        assert video["url"].startswith(f"{address}/"), video
        got = httpx.get(video["url"], **PLAIN).raise_for_status()
        assert len(got.content) == video["size"] and got.headers["content-type"] == video["mime_type"] == "video/mp4"
    client = Client(
        stripped,
        verbose=False,
        download_files=str(tmp_path),
        analytics_enabled=False,
        httpx_kwargs={"timeout": TIMEOUT},
    )
    video, told = client.predict(**QUICK, image=handle_file(picture), api_name="/text_image")
    client.close()
    assert kind_of(Path(video)) == "MP4" and Path(video).is_relative_to(tmp_path) and told["mode"] == "TI"


def test_assistants_get_the_address_of_what_was_made(stripped: str, whole: str) -> None:
    for address in (stripped, whole):
        file = call_tool(address, "speak", text="Hello.").data["file"]
        assert file["url"].startswith(f"{address}/"), file
        assert len(httpx.get(file["url"], **PLAIN).raise_for_status().content) == file["size"]


def test_the_javascript_client_gets_the_videos_url(stripped: str, browser: Browser) -> None:
    got = call_by_javascript(browser, stripped, "/text_image", QUICK, EXAMPLES / "woman.png")
    assert got["video"]["url"].startswith(f"{stripped}/") and got["told"]["mode"] == "TI"
    assert (got["status"], got["type"], got["size"]) == (200, "video/mp4", got["video"]["size"])


def test_what_is_closed_is_closed_under_the_path_too(server: str) -> None:
    with httpx.Client(**PLAIN, base_url=server) as client:
        for path in CLOSED:
            for asked in (path, ROOT + path):
                answer = client.get(f"{asked}x?session_hash=x")
                assert answer.status_code == 404 and "There is nothing at this address" in answer.text, asked
        assert client.get(f"{ROOT}/config").status_code == 200


@pytest.mark.parametrize(
    ("headers", "root", "address"),
    [
        ({"origin": "https://a.b"}, "", "https://a.b"),
        ({"origin": "https://a.b", "host": "127.0.0.1:7860"}, "/humo", "https://a.b/humo"),
        ({"origin": "https://a.b"}, "https://c.d/humo", "https://c.d/humo"),
        ({"origin": "null", "host": "a.b:80"}, "/humo", "http://a.b:80/humo"),
        ({"host": "page", "x-forwarded-host": "a.b, c", "x-forwarded-proto": "https"}, "/humo", "https://a.b/humo"),
    ],
)
def test_a_links_address_is_the_visitors_own(headers: dict[str, str], root: str, address: str) -> None:
    assert page_address(gr.Request(headers=headers), root) == address


@pytest.mark.parametrize(
    ("given", "root"), [("", ""), ("/", ""), ("/a/b/", "/a/b"), ("https://a.b:1/c/", "https://a.b:1/c")]
)
def test_the_path_has_no_slash_at_its_end(given: str, root: str) -> None:
    assert read_root({"GRADIO_ROOT_PATH": given}) == root


@pytest.mark.parametrize("given", ["humo", "//evil.com", "/a b", "/a?b", "/a#b", "ftp://a.b/c", "https://", "/a\nb"])
def test_a_path_that_is_none_is_a_sentence(given: str) -> None:
    with pytest.raises(ValueError, match=r"^GRADIO_ROOT_PATH is '.*': give the path under which"):
        read_root({"GRADIO_ROOT_PATH": given})
