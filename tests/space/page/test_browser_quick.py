"""Quick looks in Chromium: the fast form on request, and live at every change.

Run: python -m pytest tests/space/page/test_browser_quick.py
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from pages import EXAMPLES, PATIENCE, SECOND, Visit
from playwright.sync_api import expect

from humo.space.links.settings import read_settings

pytestmark = pytest.mark.slow


def _shown(visit: Visit) -> bytes:
    """The video that the page shows."""
    return httpx.get(visit.page.locator("#video video").get_attribute("src"), timeout=60).content


@contextmanager
def _another(visit: Visit) -> Iterator[None]:
    """What is done inside brings another video."""
    before = visit.page.locator("#video video").get_attribute("src")
    yield
    expect(visit.page.locator("#video video")).not_to_have_attribute("src", before, timeout=PATIENCE)


def test_a_quick_look_and_then_one_at_every_change(visit: Visit, tmp_path) -> None:
    page = visit.page
    page.locator("#prompt-TI textarea").fill("a woman with red hair nods")
    page.locator("#image-TI input[type=file]").set_input_files(EXAMPLES / "woman.png")
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 0.2)
    page.locator("#quick-TI").click()
    visit.video_facts()
    (tmp_path / "quick.mp4").write_bytes(_shown(visit))
    first = read_settings(tmp_path / "quick.mp4")
    assert first.model.endswith("-fast"), json.dumps(str(first))

    with _another(visit):
        page.locator("#live-TI").get_by_role("checkbox").check()
    with _another(visit):
        page.locator("#prompt-TI textarea").fill("a man with black hair nods")
    for _ in range(PATIENCE // SECOND):  # the look before may have come only now
        page.wait_for_timeout(SECOND)
        (tmp_path / "live.mp4").write_bytes(_shown(visit))
        last = read_settings(tmp_path / "live.mp4")
        if last.prompt == "a man with black hair nods":
            break
    assert last.prompt == "a man with black hair nods" and last.seed == first.seed, "only the words have changed"

    page.locator("#live-TI").get_by_role("checkbox").uncheck()
    digest = hashlib.sha256(_shown(visit)).hexdigest()
    page.wait_for_timeout(SECOND)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    with page.expect_request(lambda request: request.method == "POST"):
        page.locator("#prompt-TI textarea").fill("a man")
    page.wait_for_timeout(2 * SECOND)
    assert hashlib.sha256(_shown(visit)).hexdigest() == digest, "nothing happens by itself any more"
    looks = [url for url in sent if "/queue/" in url]
    assert looks == [] and len(sent) == 1, "and nothing is sent but the text, whose reading is shown"
    assert visit.complaints == []


def test_generate_takes_the_place_of_a_quick_look(visit: Visit, tmp_path) -> None:
    page = visit.page
    visit.set_steps(2)
    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    page.locator("#live-TI").get_by_role("checkbox").check()
    visit.set_number("Seconds", 2)
    page.locator("#generate-TI").click()
    for _ in range(PATIENCE // SECOND):  # the look may have come before it
        (tmp_path / "shown.mp4").write_bytes(_shown(visit))
        model = read_settings(tmp_path / "shown.mp4").model
        if not model.endswith("-fast"):
            break
        page.wait_for_timeout(SECOND)
    assert model and not model.endswith("-fast"), "the video of full quality stays"
    expect(page.locator("#generate-TI")).to_be_enabled(timeout=PATIENCE)
    assert page.locator(".toast-wrap").get_by_text("still being made").count() == 0
    assert visit.complaints == []
