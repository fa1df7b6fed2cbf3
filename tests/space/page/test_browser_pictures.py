"""Several pictures and a shifted sound in Chromium, with a small model that takes three, and what its programs may ask.

Run: python -m pytest tests/space/page/test_browser_pictures.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import tiny
from axe import violations
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pages import EXAMPLES, PATIENCE, Visit, serve
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from raw_api import TIMEOUT

from humo.space.links.settings import read_settings

pytestmark = pytest.mark.slow

PROMPT = "a woman in a red shirt talks"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coat, a dog and a voice."""
    folder = tmp_path_factory.mktemp("files")
    Image.new("RGB", (60, 100), (170, 40, 60)).save(folder / "coat.png")
    Image.new("RGB", (200, 120), (120, 90, 60)).save(folder / "dog.png")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(80))
    soundfile.write(folder / "voice.wav", *tiny.voice(0.36))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, model = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("model") / "tiny"
    tiny.pipeline("mini", max_references=3).save_pretrained(model)
    with serve(folder, settings={"HUMO_MODEL": str(model)}, is_attacked=True) as address:
        yield address


def _image(page: Page, number: int = 1) -> Locator:
    return page.locator("#image-TIA" if number == 1 else f"#image-TIA-{number}")


def _put(page: Page, path: Path, number: int = 1) -> None:
    _image(page, number).locator("input[type=file]").set_input_files(path)


def _expect(page: Page, *names: str) -> None:
    """The pictures in their places, by the names of their files."""
    for number, name in enumerate(names, start=1):
        expect(_image(page, number).locator("img")).to_have_attribute("src", re.compile(f"/{re.escape(name)}$"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pictures_are_added_ordered_removed_kept_and_restored(
    browser: Browser, server: str, files: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    visit = Visit(context.new_page(), server).watch()
    page = visit.page
    visit.open_tab("Text + Image + Audio")
    page.locator("#prompt-TIA textarea").fill(PROMPT)
    page.locator("#audio-TIA input[type=file]").set_input_files(files / "voice.wav")
    _put(page, EXAMPLES / "woman.png")
    page.get_by_role("button", name="More pictures").locator("visible=true").click()
    expect(_image(page, 3)).to_have_count(0)
    _put(page, files / "coat.png", 2)
    _put(page, files / "dog.png", 3)
    _expect(page, "woman.png", "coat.png", "dog.png")
    page.locator("#earlier-TIA-3").click()
    _expect(page, "woman.png", "dog.png", "coat.png")
    page.locator("#earlier-TIA-2").click()
    _expect(page, "dog.png", "woman.png", "coat.png")
    _image(page).get_by_label("Remove Image").click()
    _expect(page, "woman.png", "coat.png")
    expect(_image(page, 3).locator("img")).to_have_count(0)
    _put(page, files / "torn.png", 3)
    expect(page.get_by_text("Picture torn.png is damaged")).to_be_visible()
    expect(_image(page, 3).locator("input[type=file]")).to_be_attached()
    _put(page, files / "dog.png", 3)
    _expect(page, "woman.png", "coat.png", "dog.png")
    assert violations(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= width

    visit.open_settings()
    visit.set_number("Shift of the mouth", -80)
    page.locator("#generate-TIA").click()
    assert visit.video_facts()["sound"]
    expect(page.locator(".humo-summary")).to_contain_text("The mouth moves 80 ms earlier than the sound is played.")
    with page.expect_download() as download:
        page.locator("#download").click()
    settings = read_settings(download.value.path())
    assert (settings.num_images, settings.audio_shift) == (3, -80)
    page.get_by_label("Keep the picture and the voice").check()
    page.locator("#share").click()
    link = page.locator("#link a")
    link.wait_for(timeout=PATIENCE)

    other = Visit(context.new_page(), server).watch(link.get_attribute("href").removeprefix(server), "#opened")
    page = other.page
    expect(page.locator("#opened-others img")).to_have_count(2)
    expect(page.locator("#opened .humo-facts")).to_contain_text("text, 3 pictures and voice")
    expect(page.locator("#opened .humo-facts")).to_contain_text("-80 ms")
    assert violations(page, "#opened") == [] and page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#remix").click()
    _expect(page, "picture-1.webp", "picture-2.webp", "picture-3.webp")
    other.open_settings()
    expect(page.get_by_label("number input for Shift of the mouth")).to_have_value("-80")
    page.locator("#generate-TIA").click()
    other.video_facts()
    expect(page.locator(".humo-summary")).to_contain_text("80 ms earlier")
    page.locator(".humo-examples:visible button").first.click()
    expect(_image(page, 2).locator("img")).to_have_count(0)
    # gradio's player draws no wave of so short a sound, but plays it
    assert {*visit.complaints, *other.complaints} <= {"error: Waveform load error: MediaError"}
    context.close()


def test_programs_give_several_pictures_and_a_shift(server: str, files: Path, tmp_path: Path) -> None:
    client = Client(
        server, verbose=False, download_files=str(tmp_path), analytics_enabled=False, httpx_kwargs={"timeout": TIMEOUT}
    )
    coat, dog, voice = (handle_file(files / name) for name in ("coat.png", "dog.png", "voice.wav"))
    asked = {"prompt": PROMPT, "image": coat, "audio": voice, "seed": 3, "api_name": "/text_image_audio"}
    video, told = client.predict(**asked, more_images=[dog, coat], audio_shift=120)
    path = Path(video.get("video", video) if isinstance(video, dict) else video)
    assert read_settings(path).num_images == told["num_images"] == 3
    assert read_settings(path).audio_shift == told["audio_shift"] == 120
    for wrong, words in (
        ({"more_images": [dog] * 3}, "this model takes at most 3"),
        ({"more_images": [dog] * 4}, "5 pictures are given but at most 4 are allowed"),
        ({"more_images": "dog.png"}, "More_images is 'dog.png': give a list"),
        ({"more_images": [5]}, "More_images is no uploaded file"),
        ({"audio_shift": 201}, "whole number of milliseconds from -200 to 200"),
        ({"audio_shift": "80"}, "whole number of milliseconds from -200 to 200"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict(**asked, **wrong)
    with pytest.raises(AppError, match="there is no sound to shift"):
        client.predict(prompt=PROMPT, audio_shift=80, seconds=0.2, api_name="/generate")
    with pytest.raises(AppError, match="More_images are given without image"):
        client.predict(prompt=PROMPT, more_images=[dog], seconds=0.2, api_name="/generate")
    client.close()
