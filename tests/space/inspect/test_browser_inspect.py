"""What hangs on a finished video, in Chromium: the look inside, and the comparison of two schedules.

Run: python -m pytest tests/space/inspect/test_browser_inspect.py
"""

from __future__ import annotations

import pytest
from pages import EXAMPLES, PATIENCE, Visit
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def _make(visit: Visit) -> None:
    """A short video of text, picture and voice in four steps."""
    visit.set_steps(4)
    visit.open_tab("Text + Image + Audio")
    page = visit.page
    page.locator("#prompt-TIA textarea").fill("a woman with red hair, in a blue shirt, talks")
    page.locator("#image-TIA input[type=file]").set_input_files(EXAMPLES / "woman.png")
    page.locator("#image-TIA img").wait_for()
    page.locator("#audio-TIA input[type=file]").set_input_files(EXAMPLES / "woman.wav")
    page.locator("#audio-TIA").get_by_label("Play", exact=False).first.wait_for()
    page.locator("#generate-TIA").click()
    visit.video_facts()


def test_the_look_inside_shows_four_views_in_pictures_and_words(visit: Visit) -> None:
    page = visit.page
    expect(page.locator("#inside")).to_be_hidden()
    _make(visit)
    page.locator("#inside").get_by_role("button", name="Look inside").first.click()
    page.locator("#look").click()
    masks = page.locator("#inside-masks")
    masks.locator("img").first.wait_for(timeout=PATIENCE)
    expect(masks.locator(".is-small figure")).to_have_count(4)
    for image in masks.locator(".is-small img").all():
        assert "face is expected" in (image.get_attribute("alt") or "")
    before = masks.locator("p").first.inner_text()
    step = page.get_by_label("number input for Step", exact=True)
    step.fill("1")
    step.press("Enter")
    page.get_by_label("range slider for Step", exact=True).press("ArrowLeft")
    expect(masks.locator("p").first).not_to_have_text(before)
    for name, title, words in (
        ("senses", "What each sense did", "without the voice"),
        ("sound", "Where the voice acts", "audio attention"),
        ("schedule", "How it was guided", "4 steps"),
    ):
        page.get_by_role("tab", name=title, exact=True).click()
        view = page.locator(f"#inside-{name}")
        expect(view).to_contain_text(words)
        expect(view.locator("table")).to_be_attached()
        assert view.locator("img, svg[role=img]").count() > 0
    for image in page.locator("#inside img").all():
        assert len(image.get_attribute("alt") or "") > 10
    assert visit.complaints == []


def test_two_schedules_side_by_side(visit: Visit) -> None:
    page = visit.page
    _make(visit)
    page.get_by_role("button", name="Compare two schedules").click()
    page.locator("#compare-run").click()
    facts = visit.video_facts("#both")
    assert facts["ready"] == 4 and facts["moved"] and facts["sound"]
    assert facts["width"] == pytest.approx(1032, abs=2), "two of 512 and a gap"
    expect(page.locator("#compare")).to_contain_text("Left the constant schedule, right the time-adaptive one")
    page.locator("#generate-TIA").click()
    expect(page.locator("#both video")).to_be_hidden()
    visit.video_facts()
    assert visit.complaints == []
