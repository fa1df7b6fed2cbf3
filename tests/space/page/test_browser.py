"""The page in Chromium: every tab from inputs to a playing video, and what goes wrong on the way.

Run: python -m pytest tests/space/page/test_browser.py
"""

from __future__ import annotations

import re
import shutil
import time
import urllib.request
from pathlib import Path

import pytest
import soundfile
from pages import EXAMPLES, PATIENCE, SECOND, Visit
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.slow


def _follow_progress(page: Page) -> list[tuple[int, int]]:
    """(step, of all) of every moment that the page shows, until the video is there."""
    shown: list[tuple[int, int]] = []
    deadline = time.monotonic() + PATIENCE / SECOND
    while time.monotonic() < deadline and not page.locator("#video video").is_visible():
        texts = page.locator("#stage [role=status]").all_text_contents()
        match = re.fullmatch(r"Step (\d+) of (\d+)", texts[0]) if texts else None
        if match and (int(match[1]), int(match[2])) not in shown[-1:]:
            shown.append((int(match[1]), int(match[2])))
        page.wait_for_timeout(30)
    return shown


def test_text_and_image_from_upload_to_a_playing_silent_video(visit: Visit) -> None:
    page = visit.page
    visit.set_steps(8)
    page.locator("#prompt-TI textarea").fill("a woman with red hair, in a blue shirt, nods")
    page.locator("#image-TI input[type=file]").set_input_files(EXAMPLES / "woman.png")
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 1)
    page.locator("#generate-TI").click()
    shown = _follow_progress(page)
    assert shown == sorted(shown) and all(of == 8 for _, of in shown)
    facts = visit.video_facts()
    assert facts["ready"] == 4 and facts["duration"] == pytest.approx(1.0, abs=0.05)
    assert facts["moved"] and not facts["sound"]
    seed = page.get_by_label("Seed", exact=True).input_value()
    assert f"seed {seed} " in page.locator(".humo-summary").inner_text(), "the seed is written back"
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == f"humo-ti-{seed}.mp4"
    assert download.value.path().stat().st_size > 1000
    assert visit.complaints == []


@pytest.mark.parametrize("is_example", [False, True], ids=["uploads", "example"])
@pytest.mark.parametrize(("tab", "key"), [("Text + Audio", "TA"), ("Text + Image + Audio", "TIA")])
def test_a_voice_gives_a_playing_video_with_sound(visit: Visit, tab: str, key: str, is_example: bool) -> None:
    page = visit.page
    visit.set_steps(6)
    visit.open_tab(tab)
    if is_example:
        page.locator(".humo-examples:visible button").first.click()
        expect(page.locator(f"#prompt-{key} textarea")).not_to_be_empty()
    else:
        page.locator(f"#prompt-{key} textarea").fill("a woman with red hair talks")
        if "I" in key:
            page.locator(f"#image-{key} input[type=file]").set_input_files(EXAMPLES / "woman.png")
            page.locator(f"#image-{key} img").wait_for()
        page.locator(f"#audio-{key} input[type=file]").set_input_files(EXAMPLES / "woman.wav")
        page.locator(f"#audio-{key} canvas, #audio-{key} audio, #audio-{key} wave").first.wait_for(state="attached")
    page.locator(f"#generate-{key}").click()
    facts = visit.video_facts()
    voice = soundfile.info(EXAMPLES / "woman.wav")
    assert facts["ready"] == 4 and facts["moved"] and facts["sound"] and not facts["muted"]
    assert facts["duration"] == pytest.approx(voice.duration, abs=0.2)
    assert facts["width"] >= 256, "small results are enlarged"
    assert "with your sound" in page.locator(".humo-summary").inner_text()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator(f"#generate-{key}")).to_be_enabled()
    assert visit.complaints == []


def test_a_typed_sentence_becomes_a_voice(visit: Visit) -> None:
    page = visit.page
    visit.open_tab("Text + Audio")
    page.locator("#speaking-TA").get_by_role("button", name="Or type what they should say").click()
    speaker = page.locator("#speaking-TA").get_by_label("Speaker")
    expect(speaker).to_have_value("American English, natural woman")
    page.locator("#say-TA textarea").fill("привет, hello")
    page.locator("#speak-TA").click()
    expect(page.get_by_text("reads English and cannot say 'п'")).to_be_visible()
    page.locator("#say-TA textarea").fill("Good morning everybody.")
    page.locator("#speak-TA").click()
    expect(page.locator("#audio-TA").get_by_text("0:01").first).to_be_visible()
    assert visit.complaints == []


def test_stop_ends_soon_and_generate_works_again(visit: Visit) -> None:
    page = visit.page
    visit.set_steps(50)
    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 4)
    page.locator("#generate-TI").click()
    page.locator("#stage img").wait_for(timeout=PATIENCE)
    status = page.locator("#stage [role=status]")
    early = status.inner_text()
    assert re.fullmatch(r"Step \d+ of 50", early)
    expect(page.locator("#stage progress")).to_be_visible()
    expect(status).not_to_have_text(early, timeout=PATIENCE)
    assert int(status.inner_text().split()[1]) > int(early.split()[1])
    page.locator("#stop").click()
    expect(status).to_have_text("Stopped", timeout=PATIENCE)
    expect(page.locator("#stage .humo-detail")).to_have_text(re.compile(r"^after step ([1-4]\d|\d) of 50$"))
    with urllib.request.urlopen(f"{visit.address}/config", timeout=60):
        pass
    visit.set_steps(2)
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    assert visit.video_facts()["duration"] == pytest.approx(0.2, abs=0.05)
    assert visit.complaints == []


def test_two_visitors_take_turns_and_a_closed_tab_frees_the_device(visit: Visit, browser: Browser) -> None:
    page = visit.page
    visit.set_steps(50)
    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 10)
    page.locator("#generate-TI").click()
    expect(page.locator("#stop")).to_be_visible()
    context = browser.new_context()
    other = Visit(context.new_page(), visit.address).watch()
    other.set_steps(2)
    assert other.page.locator("#prompt-TI textarea").input_value() == "", "visitors do not see each other's values"
    other.page.locator(".humo-examples:visible button").first.click()
    other.page.locator("#image-TI img").wait_for()
    other.set_number("Seconds", 0.2)
    other.page.locator("#generate-TI").click()
    expect(other.page.locator("#stage [role=status]")).to_have_text("Waiting: 1 video is before yours")
    page.close()
    assert other.video_facts()["ready"] == 4
    assert visit.complaints == other.complaints == []
    context.close()


def test_the_schedule_is_that_of_the_open_tab(visit: Visit) -> None:
    visit.open_settings()
    visit.page.get_by_role("button", name="How strongly each input is followed").click()
    curve = visit.page.locator("#curve")
    expect(curve).to_contain_text("TI: text + picture")
    visit.open_tab("Text + Audio")
    expect(curve).to_contain_text("TA: text + voice")
    expect(curve).not_to_contain_text("picture")
    visit.open_tab("Text + Image")
    expect(curve).not_to_contain_text("voice")
    assert visit.complaints == []


def test_rule_of_guidance_brings_its_scales(visit: Visit) -> None:
    page = visit.page
    visit.set_steps(2)
    visit.set_number("Seconds", 0.2)
    page.get_by_role("button", name="How strongly each input is followed").click()
    picture, text = (page.get_by_label(f"number input for {label}") for label in ("Picture", "Text"))
    expect(picture).to_be_visible()
    page.get_by_label("Guidance rule").click()
    page.get_by_role("option", name="published_17b").click()
    expect(picture).to_be_hidden(timeout=PATIENCE)  # the model is being loaded at the same time
    expect(text).to_have_value("5")
    expect(page.locator("#rule-note")).to_have_text("This rule has no scale for the picture.")
    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    visit.video_facts()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert b'"rule": "published_17b", "text": 5' in download.value.path().read_bytes(), "remembered in the video"
    assert visit.complaints == []


def test_bad_files_and_texts_are_sentences_and_the_page_goes_on(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(80))
    page.locator("#image-TI input[type=file]").set_input_files(tmp_path / "torn.png")
    expect(page.get_by_text("Picture torn.png is damaged")).to_be_visible()
    expect(page.locator("#image-TI input[type=file]")).to_be_attached()

    page.locator("#generate-TI").click()
    expect(page.get_by_text("Text + Image needs a picture")).to_be_visible()

    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    page.locator("#prompt-TI textarea").fill("")
    page.locator("#generate-TI").click()
    expect(page.get_by_text("Prompt is empty")).to_be_visible()
    expect(page.locator("#generate-TI")).to_be_enabled()

    visit.open_tab("Text + Audio")
    shutil.copy(EXAMPLES / "woman.png", tmp_path / "picture.wav")
    page.locator("#audio-TA input[type=file]").set_input_files(tmp_path / "picture.wav")
    expect(page.get_by_text("picture.wav holds PNG data, not a sound")).to_be_visible()
    expect(page.get_by_text(str(tmp_path))).to_have_count(0)

    visit.open_tab("Text + Image")
    visit.set_steps(2)
    page.locator("#prompt-TI textarea").fill("a man nods")
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    assert visit.video_facts()["ready"] == 4


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_and_all_tabs_show(browser: Browser, server: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    visit = Visit(context.new_page(), server).watch()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    for tab in ("Text + Image", "Text + Audio", "Text + Image + Audio"):
        expect(visit.page.get_by_role("tab", name=tab, exact=True)).to_be_visible()
    assert visit.complaints == []
    context.close()


def test_on_a_telephone_the_result_comes_into_view(browser: Browser, server: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visit = Visit(context.new_page(), server).watch()
    visit.set_steps(50)
    visit.open_tab("Text + Image + Audio")
    visit.page.locator(".humo-examples:visible button").first.click()
    visit.page.locator("#image-TIA img").wait_for()
    visit.page.locator("#generate-TIA").click()
    expect(visit.page.locator("#stop")).to_be_in_viewport()
    visit.page.locator("#stop").dispatch_event("click")  # at once, before the video is done
    expect(visit.page.locator("#stage [role=status]")).to_have_text("Stopped", timeout=PATIENCE)
    assert visit.complaints == []
    context.close()
