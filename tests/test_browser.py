"""The page in Chromium: every tab from inputs to a playing video, and what goes wrong on the way.

Run: python -m pytest tests/test_browser.py
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "assets" / "examples"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--autoplay-policy=no-user-gesture-required",
]
SECOND = 1000
PATIENCE = 180 * SECOND
"""Milliseconds for a generation on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `python app.py`, with the bundled model, in a process of its own and another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "server.txt"
    with open(log, "w") as file:
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
        environment = {key: value for key, value in os.environ.items() if key != "HUMO_MODEL"}
        process = subprocess.Popen(command, cwd=log.parent, env=environment, stdout=file, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, log)
        yield address
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/config", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer: {log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """An open page and everything it complained about."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> Visit:
        page, own = self.page, (self.address, "data:", "blob:")
        page.on("console", lambda m: self._note(m.type == "error", f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self._note(True, f"page error: {error}"))
        page.on("request", lambda request: self._note(not request.url.startswith(own), f"outside: {request.url}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status}: {answer.url}"))
        page.goto(self.address)
        page.locator("#generate-TI").wait_for()
        return self

    def _note(self, is_complaint: bool, text: str) -> None:
        if is_complaint:
            self.complaints.append(text)

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def set_number(self, label: str, value: float) -> None:
        """Types into the number field of a slider."""
        box, slider = (self.page.get_by_label(f"{part} for {label}") for part in ("number input", "range slider"))
        for _ in range(50):  # a field that has only just appeared may not listen yet
            box.fill(str(value))
            box.press("Enter")
            self.page.wait_for_timeout(100)
            if slider.input_value() == str(value):
                return
        raise AssertionError(f"{label} stays at {slider.input_value()}")

    def set_steps(self, steps: int) -> None:
        if not self.page.get_by_text("A new seed each time").is_visible():
            self.page.get_by_role("button", name="Settings").first.click()
        self.set_number("Steps", steps)


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page(), server).watch()
    yield visit
    context.close()


def _video_facts(page: Page) -> dict:
    """What the player knows once it can play to the end."""
    page.locator("#video video").wait_for(timeout=PATIENCE)
    page.wait_for_function("document.querySelector('#video video').readyState === 4", timeout=20 * SECOND)
    return page.evaluate(
        """async () => {
            const video = document.querySelector('#video video');
            const ready = video.readyState;  // before playing: at the end it falls to 2
            video.currentTime = 0;
            await video.play();
            await new Promise(done => setTimeout(done, 500));
            return {
                ready, duration: video.duration, width: video.videoWidth,
                moved: video.currentTime > 0 || video.ended, muted: video.muted,
                sound: video.webkitAudioDecodedByteCount > 0,
            };
        }"""
    )


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
    facts = _video_facts(page)
    assert facts["ready"] == 4 and facts["duration"] == pytest.approx(1.0, abs=0.05)
    assert facts["moved"] and not facts["sound"]
    seed = page.get_by_label("Seed", exact=True).input_value()
    assert f"seed {seed} " in page.locator(".humo-summary").inner_text(), "the seed is written back"
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == f"humo-ti-{seed}.mp4"
    assert download.value.path().stat().st_size > 1000
    assert visit.complaints == []


@pytest.mark.parametrize(("tab", "key"), [("Text + Audio", "TA"), ("Text + Image + Audio", "TIA")])
def test_example_gives_a_playing_video_with_sound(visit: Visit, tab: str, key: str) -> None:
    page = visit.page
    visit.set_steps(6)
    visit.open_tab(tab)
    page.locator(".humo-examples:visible button").first.click()
    expect(page.locator(f"#prompt-{key} textarea")).not_to_be_empty()
    page.locator(f"#generate-{key}").click()
    expect(page.locator("#stop")).to_be_visible()
    facts = _video_facts(page)
    voice = soundfile.info(EXAMPLES / "woman.wav")
    assert facts["ready"] == 4 and facts["moved"] and facts["sound"] and not facts["muted"]
    assert facts["duration"] == pytest.approx(voice.duration, abs=0.2)
    assert facts["width"] >= 256, "small results are enlarged"
    assert "with your sound" in page.locator(".humo-summary").inner_text()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator(f"#generate-{key}")).to_be_enabled()
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
    pressed = time.monotonic()
    page.locator("#stop").click()
    expect(page.locator("#stage [role=status]")).to_have_text("Stopped", timeout=30 * SECOND)
    assert time.monotonic() - pressed < 20
    with urllib.request.urlopen(f"{visit.address}/config", timeout=5):
        assert time.monotonic() - pressed < 25
    visit.set_steps(2)
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    assert _video_facts(page)["duration"] == pytest.approx(0.2, abs=0.05)
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
    expect(other.page.locator("#stage [role=status]")).to_have_text(
        "Waiting: 1 video is before yours", timeout=10 * SECOND
    )
    page.close()
    assert _video_facts(other.page)["ready"] == 4
    assert visit.complaints == other.complaints == []
    context.close()


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
    _video_facts(page)
    with page.expect_download() as download:
        page.locator("#download").click()
    assert b'"rule": "published_17b", "text": 5' in download.value.path().read_bytes(), "remembered in the video"
    assert visit.complaints == []


def test_bad_files_and_texts_are_sentences_and_the_page_goes_on(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(80))
    page.locator("#image-TI input[type=file]").set_input_files(tmp_path / "torn.png")
    expect(page.get_by_text("Picture torn.png is damaged")).to_be_visible(timeout=10 * SECOND)
    expect(page.locator("#image-TI input[type=file]")).to_be_attached(timeout=10 * SECOND)

    page.locator("#generate-TI").click()
    expect(page.get_by_text("Text + Image needs a picture")).to_be_visible(timeout=10 * SECOND)

    page.locator(".humo-examples:visible button").first.click()
    page.locator("#image-TI img").wait_for()
    page.locator("#prompt-TI textarea").fill("")
    page.locator("#generate-TI").click()
    expect(page.locator("#stage [role=status]")).to_contain_text("Prompt is empty", timeout=PATIENCE)
    expect(page.locator("#generate-TI")).to_be_enabled()

    visit.open_tab("Text + Audio")
    shutil.copy(EXAMPLES / "woman.png", tmp_path / "picture.wav")
    page.locator("#audio-TA input[type=file]").set_input_files(tmp_path / "picture.wav")
    expect(page.get_by_text("picture.wav holds PNG data, not a sound")).to_be_visible(timeout=10 * SECOND)
    expect(page.get_by_text(str(tmp_path))).to_have_count(0)

    visit.open_tab("Text + Image")
    visit.set_steps(2)
    page.locator("#prompt-TI textarea").fill("a man nods")
    visit.set_number("Seconds", 0.2)
    page.locator("#generate-TI").click()
    assert _video_facts(page)["ready"] == 4


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
    visit.open_tab("Text + Image + Audio")
    visit.page.locator(".humo-examples:visible button").first.click()
    visit.page.locator("#image-TIA img").wait_for()
    visit.page.locator("#generate-TIA").click()
    expect(visit.page.locator("#stop")).to_be_in_viewport(timeout=20 * SECOND)
    visit.page.locator("#stop").click()
    expect(visit.page.locator("#stage [role=status]")).to_have_text("Stopped", timeout=60 * SECOND)
    assert visit.complaints == []
    context.close()
