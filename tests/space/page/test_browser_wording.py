"""What the small model reads of a text, shown while one writes: in Chromium, light and dark, narrow and wide.

Run: python -m pytest tests/space/page/test_browser_wording.py
"""

from __future__ import annotations

import pytest
from axe import violations
from pages import PATIENCE, Visit
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.slow

TEXT = "an elderly gentleman in a navy suit, in the rain <b>"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_word_is_told_while_one_writes(browser: Browser, server: str, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    visit = Visit(context.new_page(), server).watch()
    page = visit.page
    shown = page.locator("#reading-TI")
    page.locator("#prompt-TI textarea").press_sequentially(TEXT)
    expect(shown.locator(".is-read")).to_have_text(["gentleman"])
    expect(shown.locator(".is-replaced")).to_have_text(["elderly", "navy", "suit"])
    expect(shown.locator("del")).to_have_text(["rain", "b"])
    expect(shown.locator("p").first).to_have_text(TEXT)
    told = shown.locator("[role=status]")
    expect(told).to_contain_text("navy")
    expect(told).to_contain_text("drawn as blue")
    expect(told).to_contain_text("Nearest: a background in one colour")
    expect(told).to_contain_text("The model reads: a man with grey hair, in a blue shirt")
    assert violations(page, "#reading-TI") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lines = shown.locator(".is-replaced").first.evaluate("each => getComputedStyle(each).textDecorationStyle")
    assert lines == "dashed", "replaced words differ from read ones by more than a colour"
    page.locator("#prompt-TI textarea").fill("")
    expect(shown.locator(".humo-reading")).to_have_count(0)
    assert visit.complaints == []
    context.close()


def test_another_language_makes_a_video_whose_notes_tell(visit: Visit) -> None:
    page = visit.page
    visit.set_steps(2)
    page.locator("#prompt-TI textarea").fill("Frau mit lockigem Haar im gelben Kleid tanzt")
    expect(page.locator("#reading-TI del")).to_have_text(["tanzt"])
    page.locator(".humo-examples:visible button").first.click()
    expect(page.locator("#reading-TI [role=status]")).to_have_text("The model reads all of it.")
    page.locator("#prompt-TI textarea").fill("Frau mit lockigem Haar im gelben Kleid tanzt")
    page.locator("#generate-TI").click()
    expect(page.locator(".humo-summary")).to_contain_text("This model cannot draw: tanzt.", timeout=PATIENCE)
    expect(page.locator(".humo-summary")).to_contain_text("The model reads: a woman with curly hair, in a yellow dress")
    assert visit.complaints == []
