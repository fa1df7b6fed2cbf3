"""Another voice for a clip, in Chromium.

Run: python -m pytest tests/space/page/test_browser_dubbing.py
"""

from __future__ import annotations

import pytest
from pages import EXAMPLES, PATIENCE, Visit
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def test_a_video_that_was_made_gets_another_voice(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Give a clip another voice").click()
    page.locator("#dub-run").click()
    expect(page.get_by_text("There is no clip yet: upload one")).to_be_visible()
    visit.set_steps(4)
    visit.open_tab("Text + Audio")
    page.locator("#prompt-TA textarea").fill("a woman with red hair, in a blue shirt, talks")
    page.locator("#audio-TA input[type=file]").set_input_files(EXAMPLES / "woman.wav")
    page.locator("#audio-TA").get_by_label("Play", exact=False).first.wait_for()
    page.locator("#generate-TA").click()
    visit.video_facts()
    page.locator("#dub-take").click()
    page.locator("#dub-clip video").wait_for()
    page.locator("#dub-audio input[type=file]").set_input_files(EXAMPLES / "man.wav")
    page.locator("#dub-audio").get_by_label("Play", exact=False).first.wait_for()
    page.locator("#dub-find").click()
    page.locator("#dub-found img").wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="What is made anew").click()
    page.get_by_label("Whole face").check()
    expect(page.locator("#dub-found")).to_be_hidden()
    expect(page.locator("#dub-run")).to_be_enabled()
    page.locator("#dub-run").press("Enter")
    facts = visit.video_facts("#dub-video")
    assert facts["ready"] == 4 and facts["moved"] and facts["sound"] and facts["width"] == 512
    expect(page.locator("#generate-TA")).to_be_enabled()
