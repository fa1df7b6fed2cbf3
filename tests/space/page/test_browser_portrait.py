"""The person maker in Chromium: a photograph drawn and corrected, a person from nothing, by mouse, keys and thumb.

Run: python -m pytest tests/space/page/test_browser_portrait.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe import violations
from pages import EXAMPLES, PATIENCE, Visit, serve
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from skimage.data import astronaut

from humo.portrait import read_portrait
from humo.space.links.mp4_metadata import read_texts
from humo.wording.vocabulary import find_words

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NASA's portrait of Eileen Collins, in the public domain."""
    path = tmp_path_factory.mktemp("photograph") / "me.jpg"
    Image.fromarray(astronaut()).save(path, quality=90)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with serve(folder, settings={"GRADIO_TEMP_DIR": str(folder)}) as address:
        yield address


def _chosen(page: Page, tab: str) -> dict[str, str]:
    """Value of the pressed button by attribute."""
    return page.locator(f"#buttons-{tab} input:checked").evaluate_all(
        "all => Object.fromEntries(all.map(each => [each.closest('fieldset').dataset.attribute, each.value]))"
    )


def _told(page: Page) -> str:
    return page.locator(".humo-seen:visible figcaption").inner_text()


def _wait_for_other_tiles(page: Page, tab: str, before: str = "") -> str:
    """The drawings on the buttons, once they are there and others than before."""
    tiles = f"document.querySelector('#buttons-{tab} .humo-maker').style.getPropertyValue('--tiles')"
    return page.wait_for_function(f"before => {tiles} !== before && {tiles}", arg=before).json_value()


def test_a_photograph_becomes_a_drawing_is_corrected_and_talks(visit: Visit, photograph: Path, folder: Path) -> None:
    page, read = visit.page, read_portrait(photograph)
    visit.set_steps(2)
    visit.open_tab("Text + Image + Audio")
    page.locator("#audio-TIA input[type=file]").set_input_files(EXAMPLES / "woman.wav")
    page.locator("#audio-TIA").get_by_label("Play", exact=False).first.wait_for()
    page.locator("#image-TIA input[type=file]").set_input_files(photograph)
    expect(page.get_by_text("This is who the model will see")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#image-TIA img")).to_be_visible()
    before = _wait_for_other_tiles(page, "TIA")
    drawn = {name: value for name, value in read.attributes.items() if name in ("hair_style", "glasses", "background")}
    assert drawn.items() <= _chosen(page, "TIA").items() and "Only guessed:" in _told(page)
    text = page.locator("#prompt-TIA textarea")
    assert find_words(text.input_value())["background"] == read.background
    page.locator("#buttons-TIA [data-attribute=glasses] input[value=round]").check()
    page.locator("#buttons-TIA [data-attribute=colour] input[value=purple]").check()
    expect(text).to_have_value(re.compile("round glasses.* purple "))
    _wait_for_other_tiles(page, "TIA", before)
    page.locator("#generate-TIA").click()
    assert visit.video_facts()["sound"]
    with page.expect_download() as download:
        page.locator("#download").click()
    settings = json.loads(read_texts(Path(download.value.path()))["description"])
    assert settings["prompt"] == text.input_value() and settings["mode"] == "TIA" and settings["num_images"] == 1
    uploads = list(folder.rglob("me.jpg"))
    assert uploads
    page.goto("about:blank")
    for _ in range(900):
        if not any(path.exists() for path in uploads):
            break
        page.wait_for_timeout(200)
    assert not any(path.exists() for path in uploads), "the photograph goes with the visit"
    assert visit.complaints == []


def test_a_person_is_made_from_nothing_with_the_keyboard(visit: Visit) -> None:
    page, keys = visit.page, visit.page.keyboard
    page.get_by_role("button", name="No picture at hand?").focus()
    keys.press("Enter")
    buttons = page.locator("#buttons-TI")
    expect(buttons.locator("fieldset").first).to_be_visible()
    _wait_for_other_tiles(page, "TI")
    buttons.get_by_role("radio", name="bald").focus()
    keys.press("ArrowRight")  # the hair is short
    text = page.locator("#prompt-TI textarea")
    expect(text).to_have_value("a person with short hair nods")
    keys.press("ArrowRight")
    expect(text).to_have_value("a person with long hair nods")
    page.wait_for_function("document.activeElement.value === 'long'")  # who moves along the buttons keeps the place
    keys.press("Tab")
    keys.press("Space")
    expect(text).to_have_value("a person with long black hair nods")
    assert _told(page).startswith("This is who the model will see.")
    visit.set_steps(2)
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    assert visit.video_facts()["ready"] == 4
    assert visit.complaints == []


def test_no_face_is_told_and_an_example_is_seen_as_it_is(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page.locator("#image-TI input[type=file]").set_input_files(tmp_path / "noise.png")
    expect(page.get_by_text("Or make the person below.")).to_be_visible(timeout=PATIENCE)
    page.locator("#surprise-TI").click()
    expect(page.get_by_text("This is who the model will see. Change")).to_be_visible()
    expect(page.locator("#buttons-TI input:checked")).to_have_count(10)
    page.locator(".humo-examples:visible button").first.click()
    as_is = page.get_by_label("Show the model the picture itself")
    expect(page.get_by_text("The model sees 128 x 128 pixels")).to_be_visible()
    expect(as_is).to_be_checked()
    as_is.uncheck()
    expect(page.get_by_text("drawn from your photograph")).to_be_visible(timeout=PATIENCE)
    as_is.check()
    expect(page.get_by_text("The model sees 128 x 128 pixels")).to_be_visible()
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_telephone_it_is_reached_and_read(browser: Browser, server: str, photograph: Path, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    visit = Visit(context.new_page(), server).watch()
    page = visit.page
    page.locator("#image-TI input[type=file]").set_input_files(photograph)
    expect(page.get_by_text("drawn from your photograph")).to_be_visible(timeout=PATIENCE)
    page.locator("#buttons-TI [data-attribute=hair_colour] label").last.tap()
    expect(page.locator("#prompt-TI textarea")).to_have_value(re.compile("blue hair"))
    assert _chosen(page, "TI")["hair_colour"] == "blue"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    assert visit.complaints == []
    context.close()
