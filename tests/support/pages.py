"""The page in a process of its own and Chromium to look at it: what the tests in a browser share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from browser_program import find_chromium
from other_user import as_stranger
from playwright.sync_api import Browser, Page, expect, sync_playwright
from ports import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "assets" / "examples"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--autoplay-policy=no-user-gesture-required",
]
SECOND = 1000
PATIENCE = 180 * SECOND
"""Milliseconds for a generation on a busy machine."""
expect.set_options(timeout=60 * SECOND)  # for what else a page does there


_FACTS = """async (player) => {
    const video = document.querySelector(`${player} video`);
    const ready = video.readyState;  // before playing: at the end it falls to 2
    video.currentTime = 0;
    await video.play();
    const hasMoved = () => video.currentTime > 0 || video.ended;
    for (let count = 0; count < 600 && !hasMoved(); count++) await new Promise(done => setTimeout(done, 100));
    const moved = hasMoved();  // a short video that loops may stand at 0 again
    await new Promise(done => setTimeout(done, 500));
    return {
        ready, duration: video.duration, width: video.videoWidth,
        moved, muted: video.muted,
        sound: video.webkitAudioDecodedByteCount > 0,
    };
}"""


@contextmanager
def serve(
    folder: Path,
    records: Path | None = None,
    is_killed: bool = False,
    is_attacked: bool = False,
    settings: Mapping[str, str] | None = None,
    stranger: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable, str(ROOT / "app.py")),
) -> Iterator[str]:
    """Address of `python app.py`, with the bundled model, in a process of its own and another folder.

    Args:
        folder: where it runs and its log stays; existing.
        records: folder of the shared links; by default one in `folder`.
        is_killed: end it at once and without a word, as a power cut would; it may also be dead by then.
        is_attacked: what Gradio itself refuses leaves a traceback in the log, which is else a failure.
        settings: variables of its environment.
        stranger: all variables, and it runs as another user (`other_user`).
        program: what starts the page.
    """
    port = free_port()
    log = folder / "server.txt"
    with open(log, "w") as file:
        command = [*program, "--port", str(port)]
        environment = {key: value for key, value in os.environ.items() if key != "HUMO_MODEL"}
        environment |= {"HUMO_RECORDS": str(records or folder / "records"), **(settings or {})}
        if stranger is not None:
            command, environment = as_stranger(*command), stranger
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/config", process, log)
        yield address
        assert is_killed or process.poll() is None, log.read_text()
    finally:
        process.kill() if is_killed else process.terminate()
        process.wait(300)
    assert is_attacked or "Traceback" not in log.read_text(), log.read_text()


def process_at(address: str) -> psutil.Process:
    """The process that `serve` started for an address."""
    port = address.rpartition(":")[2]
    return next(child for child in psutil.Process().children() if port in child.cmdline())


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Waits until there is an answer from a server that is starting."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer: {log.read_text()}")


def heard_by_microphone(sound: Path) -> list[str]:
    """Flags of a Chromium whose microphone hears a WAV, again and again; a context still has to permit that."""
    return ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={sound}"]


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Chromium, without a window.

    Args:
        flags: beside the usual ones.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS, *flags])
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page and everything it complained about."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def watch(self, path: str = "", waits_for: str = "#generate-TI") -> Visit:
        """Opens the page and listens to it.

        Args:
            path: after the address, as `/?g=...`.
            waits_for: what is there once the page can be used.
        """
        page, own = self.page, (self.address, "data:", "blob:")
        page.on("console", lambda m: self._note(m.type == "error", f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: self._note(True, f"page error: {error}"))
        page.on("request", lambda request: self._note(not request.url.startswith(own), f"outside: {request.url}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status}: {answer.url}"))
        page.set_default_timeout(PATIENCE)
        page.goto(self.address + path)
        page.locator(waits_for).wait_for()
        return self

    def _note(self, is_complaint: bool, text: str) -> None:
        if is_complaint:
            self.complaints.append(text)

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def set_number(self, label: str, value: float) -> None:
        """Types into the number field of a slider."""
        box, slider = (self.page.get_by_label(f"{part} for {label}") for part in ("number input", "range slider"))
        for _ in range(600):  # a field that has only just appeared may not listen yet
            box.fill(str(value))
            box.press("Enter")
            self.page.wait_for_timeout(100)
            if slider.input_value() == str(value):
                return
        raise AssertionError(f"{label} stays at {slider.input_value()}")

    def video_facts(self, player: str = "#video") -> dict:
        """What a player knows once it can play to the end, and whether it does."""
        self.page.locator(f"{player} video").wait_for(timeout=PATIENCE)
        self.page.wait_for_function(f"document.querySelector('{player} video').readyState === 4", timeout=PATIENCE)
        return self.page.evaluate(_FACTS, player)

    def set_steps(self, steps: int) -> None:
        self.open_settings()
        self.set_number("Steps", steps)

    def open_settings(self) -> None:
        """Opens the settings, if they are closed."""
        shown = self.page.get_by_text("A new seed each time")
        for _ in range(30):  # a button that has only just appeared may not listen yet
            if shown.is_visible():
                return
            self.page.get_by_role("button", name="Settings").first.click()
            self.page.wait_for_timeout(1000)
        raise AssertionError("The settings stay closed.")
