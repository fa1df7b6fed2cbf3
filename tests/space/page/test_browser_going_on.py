"""Going on from a video, in Chromium.

Run: python -m pytest tests/space/page/test_browser_going_on.py
"""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from pages import PATIENCE, Visit
from playwright.sync_api import expect

from humo.known.files import read_clip
from humo.space.links.settings import read_settings

pytestmark = pytest.mark.slow


def _download(visit: Visit, path: Path) -> tuple[Path, str]:
    """The video that the page shows, as a file, and its address."""
    address = visit.page.locator("#video video").get_attribute("src")
    path.write_bytes(httpx.get(address, timeout=60).content)
    return path, address


def test_a_quick_look_goes_on_with_other_words(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    expect(page.locator("#go-on-TI")).to_be_hidden()
    page.locator("#prompt-TI textarea").fill("a woman with red hair, in a blue shirt, nods")
    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 0.5)
    page.locator("#quick-TI").click()
    visit.video_facts()
    first, address = _download(visit, tmp_path / "first.mp4")

    page.locator("#prompt-TI textarea").fill("a woman with red hair, in a blue shirt, shakes her head")
    page.locator("#go-on-TI").press("Enter")
    expect(page.locator("#video video")).not_to_have_attribute("src", address, timeout=PATIENCE)
    visit.video_facts()
    both, _ = _download(visit, tmp_path / "both.mp4")
    assert "shakes her head" in read_settings(both).prompt

    before, after = (read_clip(path)[0].astype(int) for path in (first, both))
    assert len(after) >= len(before) + 12, "half a second more"
    kept = np.abs(after[: len(before)] - before).mean()
    assert kept < 3, "it begins with the frames that it goes on from, compressed once more"
    assert np.abs(after[-1] - before[-1]).mean() > kept, "and then it moves"
    assert visit.complaints == []
