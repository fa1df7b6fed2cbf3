"""The page for everybody: axe-core in light and dark, narrow and wide; names of pictures; the keyboard alone.

Parts are found by role and label, as a screen reader finds them.

Run: python -m pytest tests/space/page/test_accessibility.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe import violations
from held import HeldFfmpeg
from pages import PATIENCE, SECOND, Visit, serve
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.slow

MODES = ("Text + Image", "Text + Audio", "Text + Image + Audio")
CLOSED = "button.label-wrap:not(.open):visible"
"""Gradio's accordions, which tell only by a class whether they are open."""
PROMPTS = "[id^=prompt-]:visible textarea"
_UNNAMED = """() => [...document.querySelectorAll('img, svg[role=img], video, audio')]
    .filter(part => part.checkVisibility())
    .filter(part => part.tagName === 'IMG' ? !part.hasAttribute('alt')
        : part.tagName === 'svg' && !part.getAttribute('aria-label') && !part.querySelector('title'))
    .map(part => part.outerHTML.slice(0, 200))"""
_FOCUS = """() => {
    const part = document.activeElement;
    if (part === null || part === document.body) return null;
    return {
        name: part.getAttribute('aria-label') || part.innerText || '',
        inside: part.closest('[id]')?.id, role: part.getAttribute('role') || part.tagName.toLowerCase(),
        isExample: part.closest('.humo-examples') !== null, isOutlined: getComputedStyle(part).outlineStyle !== 'none',
    };
}"""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> HeldFfmpeg:
    """The page's ffmpeg."""
    return HeldFfmpeg(tmp_path_factory.mktemp("held"))


@pytest.fixture(scope="module")
def server(held: HeldFfmpeg, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("log"), settings=held.settings) as address:
        yield address


@contextmanager
def _visiting(browser: Browser, address: str, width: int, scheme: str = "light") -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    visit = Visit(context.new_page(), address).watch()
    yield visit
    assert visit.complaints == []
    context.close()


def _open_everything(page: Page) -> None:
    """Opens every accordion in sight, those within others too."""
    for _ in range(20):
        closed = page.locator(CLOSED)
        if closed.count() == 0:
            return
        closed.first.click()
        page.wait_for_timeout(200)
    raise AssertionError(f"still closed: {page.locator(CLOSED).all_inner_texts()}")


def _check(page: Page, width: int) -> None:
    """Nothing serious, every picture named, nothing to scroll sideways."""
    assert violations(page) == []
    assert page.evaluate(_UNNAMED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_check_finds_what_is_wrong(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        '<html lang="en"><title>x</title><main><h1>x</h1><img src="x.png"><div id="part"><button></button></div>'
        '<p style="color:#bbb;background:#fff">pale</p></main></html>'
    )
    found = violations(page)
    assert [each.split(" ")[0] for each in sorted(found)] == ["button-name", "color-contrast", "image-alt"]
    assert all(each.count(": ") >= 3 for each in found)
    assert [each.split(" ")[0] for each in violations(page, "#part")] == ["button-name"]
    assert len(page.evaluate(_UNNAMED)) == 1
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_opened_and_filled_in(browser: Browser, server: str, scheme: str, width: int) -> None:
    with _visiting(browser, server, width, scheme) as visit:
        page = visit.page
        tabs = page.locator("#modes").get_by_role("tab")
        names = [name.strip() for name in tabs.all_inner_texts()]
        assert set(MODES) <= set(names)
        for name in names:
            expect(page.get_by_role("tab", name=name, exact=True)).to_be_visible()
        _check(page, width)
        for name in names:
            visit.open_tab(name)
            page.wait_for_timeout(300)
            _open_everything(page)
            example = page.locator(".humo-examples:visible button").first
            if name in MODES:
                example.click()
                expect(page.locator(PROMPTS)).not_to_be_empty()
                if "Image" in name:
                    page.locator("[id^=image-]:visible img").wait_for()
                if "Audio" in name:
                    page.locator(".humo-heard:visible").wait_for()
                page.wait_for_timeout(SECOND)
            _check(page, width)


def test_a_finished_video_and_all_that_hangs_on_it(browser: Browser, server: str) -> None:
    with _visiting(browser, server, 390) as visit:
        page = visit.page
        visit.set_steps(2)
        visit.set_number("Seconds", 0.4)
        page.locator(".humo-examples:visible button").first.click()
        page.locator("#image-TI img").wait_for()
        visit.set_number("Seconds", 0.4)
        page.get_by_role("button", name="Generate").locator("visible=true").click()
        page.locator("#video video").wait_for(timeout=PATIENCE)
        expect(page.get_by_role("button", name="Download the video")).to_be_visible(timeout=PATIENCE)
        _open_everything(page)
        page.get_by_role("button", name="Share").click()
        page.locator("#link").get_by_role("link").wait_for(timeout=PATIENCE)
        page.get_by_role("button", name="Look inside this").click()
        views = page.locator("#inside").get_by_role("tab")
        views.first.wait_for(timeout=PATIENCE)
        for view in views.all():
            view.click()
            page.wait_for_timeout(300)
            for is_dark in (True, False):
                page.evaluate("isDark => document.body.classList.toggle('dark', isDark)", is_dark)
                page.wait_for_timeout(300)
                _check(page, 390)


def _tab_to(page: Page, what: str, limit: int = 150, **wanted: object) -> None:
    """Presses Tab until the focus is on a part; each stop on the way must be seen."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        focus = page.evaluate(_FOCUS)
        if focus is None:  # the end of the page, or gradio's list that closes
            continue
        assert focus["isOutlined"], f"the focus cannot be seen on {focus}"
        if all(str(focus[key]).strip().startswith(str(value)) for key, value in wanted.items()):
            return
    raise AssertionError(f"no Tab leads to {what}")


def test_a_video_is_made_with_the_keyboard_alone(browser: Browser, server: str, held: HeldFfmpeg) -> None:
    with _visiting(browser, server, 1280) as visit:
        page = visit.page
        keys = page.keyboard
        _tab_to(page, "the settings", name="Settings")
        keys.press("Enter")
        page.get_by_label("number input for Steps").wait_for()
        _tab_to(page, "the steps", name="number input for Steps")
        keys.press("Control+A")
        keys.type("2")
        keys.press("Enter")
        _tab_to(page, "a tab", role="tab", name="Text + Image + Audio")
        keys.press("Enter")
        expect(page.get_by_role("tab", name="Text + Image + Audio")).to_have_attribute("aria-selected", "true")
        _tab_to(page, "an example", isExample=True)
        keys.press("Space")
        text = page.locator(PROMPTS)
        expect(text).not_to_be_empty()
        _tab_to(page, "the text", role="textarea", inside="prompt-TIA")
        keys.press("Control+A")
        keys.type("a man nods")
        _tab_to(page, "the words", name="Words")
        keys.press("Enter")
        page.wait_for_timeout(500)
        _tab_to(page, "a word", name="woman")
        keys.press("Space")
        expect(text).to_have_value("a woman nods")
        _tab_to(page, "the next row of words", limit=1, name="short")
        keys.press("ArrowRight")
        keys.press("Space")
        expect(text).to_have_value("a woman with long hair nods")
        page.locator(".humo-heard:visible").wait_for()  # the voice is read, and will not be read again
        held.hold()  # no video is finished before Stop is reached
        _tab_to(page, "Generate", name="Generate")
        keys.press("Enter")
        page.locator("#stop").wait_for()
        _tab_to(page, "Stop", name="Stop")
        held.release()
        page.locator("#video video").wait_for(timeout=PATIENCE)
        _tab_to(page, "Download", name="Download the video")
        with page.expect_download() as download:
            keys.press("Enter")
        assert download.value.suggested_filename.endswith(".mp4")
        page.wait_for_timeout(SECOND)
