"""Shared links in Chromium: made, opened elsewhere after a power cut, made anew, deleted; and the gallery.

Run: python -m pytest tests/space/links/test_browser_links.py
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pages import EXAMPLES, PATIENCE, Visit, chromium, serve
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.slow

PROMPT = "a woman with red hair, in a blue shirt, nods"


@contextmanager
def _window(browser: Browser, address: str, **options: object) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page = context.new_page()
    visit = Visit(page, address)
    yield visit
    context.close()


def _make(visit: Visit) -> None:
    """A short silent video of `PROMPT`, seed 5, with settings that are not the usual ones."""
    page = visit.page
    page.locator("#prompt-TI textarea").fill(PROMPT)
    page.locator("#image-TI input[type=file]").set_input_files(EXAMPLES / "woman.png")
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 0.2)
    visit.set_steps(3)
    page.get_by_label("A new seed each time").uncheck()
    page.get_by_label("Seed", exact=True).fill("5")
    page.get_by_label("Seed", exact=True).press("Tab")
    page.locator("#generate-TI").click()
    visit.video_facts()


def _share(visit: Visit, keeps_inputs: bool) -> tuple[str, str]:
    """The link of the video that is shown, and the key that deletes it."""
    page = visit.page
    if keeps_inputs:
        page.get_by_label("Keep the picture and the voice").check()
    page.locator("#share").click()
    page.locator("#link a").wait_for()
    return page.locator("#link a").get_attribute("href"), page.locator("#token textarea, #token input").input_value()


def test_a_link_outlives_a_power_cut_and_brings_everything_back(tmp_path: Path) -> None:
    records = tmp_path / "records"
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with (
        serve(folders[0], records, is_killed=True) as address,
        chromium() as browser,
        _window(browser, address) as visit,
    ):
        visit.watch()
        _make(visit)
        link, key = _share(visit, keeps_inputs=True)
        assert link.startswith(f"{address}/?g=") and len(link.partition("?g=")[2]) == 22
        assert visit.complaints == []
    with serve(folders[1], records) as address, chromium() as browser:
        id = link.partition("?g=")[2]
        with _window(browser, address) as visit:
            visit.watch(f"/?g={id}", waits_for="#opened")
            page = visit.page
            facts = visit.video_facts("#opened-video")
            assert facts["ready"] == 4 and facts["moved"] and facts["duration"] == pytest.approx(0.2, abs=0.05)
            expect(page.locator("#opened")).to_contain_text(PROMPT)
            expect(page.locator("#opened .humo-facts")).to_contain_text("text and picture")
            expect(page.locator("#generate-TI")).to_be_hidden()
            assert page.locator("#opened textarea:visible, #opened input:visible").count() == 0, "read-only"
            page.locator("#remix").click()
            expect(page.locator("#prompt-TI textarea")).to_have_value(PROMPT)
            page.locator("#image-TI img").wait_for()
            visit.open_settings()
            expect(page.get_by_label("Seed", exact=True)).to_have_value("5")
            expect(page.get_by_label("number input for Steps")).to_have_value("3")
            expect(page.get_by_label("A new seed each time")).not_to_be_checked()
            page.locator("#generate-TI").click()
            assert visit.video_facts()["ready"] == 4
            assert visit.complaints == []
        for name in ("record.json", "video.mp4"):
            assert (records / id / name).is_file()
            with pytest.raises(urllib.error.HTTPError):  # the store itself is not served
                urllib.request.urlopen(f"{address}/gradio_api/file={records / id / name}", timeout=300)
        with _window(browser, address) as visit:
            visit.watch(f"/?g={id}", waits_for="#opened")
            page = visit.page
            page.get_by_role("button", name="Delete this link").click()
            page.locator("#delete-key textarea, #delete-key input").fill("A" * 22)
            page.locator("#delete-opened").click()
            expect(page.locator(".toast-body")).to_be_visible()
            assert (records / id).is_dir()
            page.locator("#delete-key textarea, #delete-key input").fill(key)
            page.locator("#delete-opened").click()
            expect(page.locator("#opened")).to_contain_text("The link is deleted")
            assert not (records / id).exists()
            page.reload()
            expect(page.locator("#opened [role=alert]")).to_be_visible()


def test_without_the_tick_no_face_is_kept_and_a_refused_clipboard_is_told(visit: Visit) -> None:
    page = visit.page
    _make(visit)
    link, _ = _share(visit, keeps_inputs=False)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#link [role=status]")).to_contain_text("Not copied")
    assert page.evaluate("getSelection().toString()") == link
    page.goto(link)
    expect(page.locator("#opened")).to_contain_text("The picture was not kept with this link")
    page.locator("#close").click()
    expect(page.locator("#generate-TI")).to_be_visible()
    expect(page.locator("#opened")).to_be_hidden()


@pytest.mark.parametrize("id", ["A" * 22, "short", "../../../../etc/passwd", "%2e%2e%2fetc", "x" * 500, "<script>"])
def test_a_link_that_leads_nowhere_is_a_sentence(visit: Visit, id: str) -> None:
    page = visit.page
    page.goto(f"{visit.address}/?g={id}")
    alert = page.locator("#opened [role=alert]")
    expect(alert).to_be_visible()
    assert len(alert.inner_text().split(". ")) == 1 and "/home" not in alert.inner_text()
    page.locator("#close").click()
    expect(page.locator("#generate-TI")).to_be_visible()


def test_the_gallery_opens_at_the_first_click(visit: Visit) -> None:
    page = visit.page
    examples = json.loads((EXAMPLES / "examples.json").read_text())
    visit.open_tab("Gallery")
    pictures = page.locator("#gallery button img")
    expect(pictures).to_have_count(len(examples))
    pictures.nth(len(examples) - 1).click()
    facts = visit.video_facts("#opened-video")
    assert facts["ready"] == 4 and facts["moved"] and facts["sound"]
    expect(page.locator("#opened")).to_contain_text(examples[-1]["prompt"])
    page.locator("#remix").click()
    expect(page.locator(f"#prompt-{examples[-1]['mode']} textarea")).to_have_value(examples[-1]["prompt"])
    page.locator(f"#image-{examples[-1]['mode']} img").wait_for(timeout=PATIENCE)
    assert visit.complaints == []


def test_a_video_gives_its_settings_back(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    _make(visit)
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "video.mp4")
    page.goto(visit.address)
    page.locator("#generate-TI").wait_for()
    visit.open_settings()
    page.get_by_role("button", name="Settings of an earlier video").click()
    page.locator("#restore input[type=file]").set_input_files(tmp_path / "video.mp4")
    expect(page.locator("#prompt-TI textarea")).to_have_value(PROMPT)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("5")
    expect(page.get_by_label("number input for Steps")).to_have_value("3")
    assert visit.complaints == []
