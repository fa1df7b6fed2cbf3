"""Live in Chromium, whose microphone hears a file: the person speaks along, also after what goes wrong.

Run: python -m pytest tests/space/live/test_browser_live.py
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile
import tiny
from axe import violations
from browser_program import find_chromium
from pages import EXAMPLES, FLAGS, PATIENCE, SECOND, Visit, chromium, heard_by_microphone, process_at, serve
from playwright.sync_api import Browser, BrowserContext, expect

pytestmark = pytest.mark.slow

SPEAK, STOP, PAUSE, STATUS = (f"#player-TA [data-live={name}]" for name in ("start", "stop", "pause", "status"))
CANVAS = "#player-TA canvas"
COUNT_UNDERRUNS = """() => {
    const shown = document.querySelector('#player-TA [data-pieces]');
    const underruns = document.querySelector('#player-TA [data-live=told-underruns]');
    window.underruns = {};
    new MutationObserver(() => { window.underruns[shown.dataset.pieces] ??= Number(underruns.textContent); })
        .observe(shown, {attributeFilter: ['data-pieces']});
}"""
"""Notes from now on how many underruns there were when a piece came, by the number of pieces."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("log"), settings={"HUMO_LIVE_MINUTES": "10"}) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose microphone hears a voice, again and again."""
    voice = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(voice, tiny.said("a blue bird sings in my garden", 0.8), 16_000, subtype="PCM_16")
    with chromium(*heard_by_microphone(voice)) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, permissions=["microphone"])
    yield context
    context.close()


def opened(context: BrowserContext, server: str, tab: str = "Text + Audio", key: str = "TA") -> Visit:
    """The page with the live player of a tab in sight."""
    visit = Visit(context.new_page(), server).watch()
    visit.open_tab(tab)
    visit.page.locator(f"#prompt-{key} textarea").fill("a woman with curly red hair, in a green shirt, talks")
    visit.page.get_by_role("button", name="Speak live").first.click()
    return visit


def told(visit: Visit, name: str) -> str:
    return visit.page.locator(f"#player-TA [data-live=told-{name}]").inner_text()


def number_of_pieces(visit: Visit) -> int:
    return int(visit.page.evaluate("document.querySelector('#player-TA [data-pieces]')?.dataset.pieces ?? '0'"))


def wait_for_pieces(visit: Visit, number: int) -> None:
    visit.page.wait_for_function(
        f"Number(document.querySelector('#player-TA [data-pieces]')?.dataset.pieces ?? 0) >= {number}"
    )


def until(visit: Visit, is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Looks again and again."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        visit.page.wait_for_timeout(60)


def rested_pieces(visit: Visit) -> int:
    """The number of pieces, once none has come for two seconds."""
    for _ in range(30):
        before = number_of_pieces(visit)
        visit.page.wait_for_timeout(2 * SECOND)
        if number_of_pieces(visit) == before:
            return before
    raise AssertionError("pieces still come")


def looks(visit: Visit) -> str:
    return hashlib.sha256(visit.page.evaluate(f"document.querySelector('{CANVAS}').toDataURL()").encode()).hexdigest()


def stopped(visit: Visit) -> None:
    visit.page.locator(STOP).click()
    expect(visit.page.locator(STATUS)).to_have_text("Stopped.")
    expect(visit.page.locator(SPEAK)).to_be_visible()


def test_one_speaks_and_the_person_speaks_along(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    visit.page.locator(SPEAK).focus()
    visit.page.keyboard.press("Enter")
    wait_for_pieces(visit, 4)
    seen: set[str] = set()
    until(visit, lambda: seen.add(looks(visit)) or len(seen) > 5, "it moves")
    assert float(told(visit, "delay").split()[0]) > 1
    assert float(told(visit, "factor")) > 0 and told(visit, "underruns").isdigit() and told(visit, "losses") == "0"
    expect(visit.page.locator(STATUS)).to_have_text("Speak.")
    assert violations(visit.page, "#player-TA") == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390

    visit.page.locator(PAUSE).click()
    expect(visit.page.locator(STATUS)).to_have_text("Paused.")
    before = rested_pieces(visit)  # nothing is heard in a pause
    underruns = int(told(visit, "underruns"))
    visit.page.evaluate(COUNT_UNDERRUNS)
    visit.page.locator(PAUSE).click()
    wait_for_pieces(visit, before + 1)
    first = visit.page.evaluate(f"window.underruns[{before + 1}]")
    assert first == underruns, "a pause is no underrun; a busy machine may be late with the pieces after the first"
    stopped(visit)
    visit.page.wait_for_timeout(SECOND)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.wait_for_timeout(2 * SECOND)
    assert [url for url in asked if "/live/" in url] == [] and visit.complaints == []


def test_a_slow_second_is_caught_up_with_in_pauses(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    visit.page.locator(SPEAK).click()
    wait_for_pieces(visit, 3)
    before = int(told(visit, "underruns"))
    process = process_at(server)
    process.suspend()
    visit.page.wait_for_timeout(3 * SECOND)
    process.resume()
    field = "Number.parseFloat(document.querySelector('#player-TA [data-live=told-{}]').textContent)"
    visit.page.wait_for_function(f"{field.format('underruns')} > {before}")
    visit.page.wait_for_function(f"{field.format('caught_up')} > 0.5")
    assert told(visit, "losses") == "0"
    stopped(visit)
    assert visit.complaints == []


def test_a_lost_connection_is_told_and_found_again(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    visit.page.locator(SPEAK).click()
    wait_for_pieces(visit, 2)
    context.set_offline(True)
    expect(visit.page.locator(STATUS)).to_contain_text("The connection is lost")
    visit.page.wait_for_timeout(4 * SECOND)
    before = number_of_pieces(visit)
    context.set_offline(False)
    wait_for_pieces(visit, before + 3)
    # a busy machine may lose it a second time on the way back
    assert int(told(visit, "losses")) >= 1 and float(told(visit, "left_out").split()[0]) > 0
    stopped(visit)


def test_a_spoken_sentence_goes_the_same_way(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    page = visit.page
    page.locator("#audio-TA input[type=file]").set_input_files(EXAMPLES / "woman.wav")
    page.locator(".humo-heard:visible").wait_for()
    page.get_by_label("The voice above").check()
    page.locator(SPEAK).click()
    expect(page.locator(STATUS)).to_have_text("The voice has spoken.", timeout=PATIENCE)
    assert number_of_pieces(visit) >= 2
    assert visit.complaints == []


LATE_MICROPHONE = """
const given = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
    await new Promise((answer) => { window.allow = answer; });
    window.stream = await given(wanted);
    return window.stream;
};
"""


def test_a_microphone_that_is_allowed_after_stop_is_let_go(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    page = visit.page
    page.evaluate(f"() => {{ {LATE_MICROPHONE} }}")
    page.locator(SPEAK).click()
    page.wait_for_function("window.allow !== undefined")
    stopped(visit)
    page.evaluate("window.allow()")
    page.wait_for_function("window.stream?.getAudioTracks().every((track) => track.readyState === 'ended')")
    expect(page.locator(STATUS)).to_have_text("Stopped.")
    assert visit.complaints == []


HIDDEN = """
const given = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (drawn) => String(drawn).includes('draw(own)') ? 0 : given(drawn);
const made = window.createImageBitmap, strips = [];
window.createImageBitmap = async (given) => { strips.push(await made(given)); return strips.at(-1); };
window.open_strips = () => strips.filter((strip) => strip.width > 0).length;
window.all_strips = () => strips.length;
"""


def test_a_tab_in_which_nothing_is_drawn_keeps_few_pictures_and_ends(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    page = visit.page
    page.locator("#audio-TA input[type=file]").set_input_files(EXAMPLES / "woman.wav")
    page.locator(".humo-heard:visible").wait_for()
    page.get_by_label("The voice above").check()
    page.evaluate(f"() => {{ {HIDDEN} }}")  # as in a hidden tab
    page.locator(SPEAK).click()
    wait_for_pieces(visit, 4)
    page.wait_for_timeout(SECOND)
    assert page.evaluate("window.open_strips() <= 4 && window.all_strips() >= 5")
    expect(page.locator(STATUS)).to_have_text("The voice has spoken.")
    assert page.evaluate("window.open_strips()") <= 1, "the opening is drawn once and goes with its session"
    assert visit.complaints == []


def test_one_at_a_time(context: BrowserContext, browser: Browser, server: str) -> None:
    visit = opened(context, server)
    visit.page.locator(SPEAK).click()
    wait_for_pieces(visit, 1)
    with browser.new_context(permissions=["microphone"]) as others:
        other = opened(others, server)
        other.page.locator(SPEAK).click()
        expect(other.page.locator(STATUS)).to_contain_text("Somebody else is live at the moment")
        visit.page.close()  # without Stop

        def is_live() -> bool:
            other.page.locator(SPEAK).click()
            expect(other.page.locator(STATUS)).to_have_text(re.compile(r"^Speak\.$|^Somebody else"), timeout=PATIENCE)
            return other.page.locator(STATUS).inner_text() == "Speak."

        until(other, is_live, "a page that closes says so: its session ends before it would be missed", seconds=15)
        wait_for_pieces(other, 1)
        stopped(other)
        assert other.complaints == []


def test_a_microphone_that_is_refused(browser: Browser, server: str) -> None:
    with browser.new_context() as context:  # asks, and nobody answers yes
        visit = opened(context, server)
        visit.page.locator(SPEAK).click()
        expect(visit.page.locator(STATUS)).to_contain_text("The microphone was refused")
        expect(visit.page.locator(SPEAK)).to_be_visible()
        assert visit.page.locator("#prompt-TA textarea").input_value().startswith("a woman"), "nothing is lost"
        assert visit.complaints == []


def test_a_silent_microphone(browser: Browser, server: str, tmp_path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(32_000), 16_000)
    flags = [*FLAGS, *heard_by_microphone(tmp_path / "silence.wav")]
    with (
        browser.browser_type.launch(executable_path=find_chromium(), args=flags) as other,
        other.new_context(permissions=["microphone"]) as context,
    ):
        visit = opened(context, server)
        visit.page.locator(SPEAK).click()
        expect(visit.page.locator(STATUS)).to_contain_text("Nothing is heard", timeout=PATIENCE)
        stopped(visit)


def test_what_the_tab_lacks_is_told(context: BrowserContext, server: str) -> None:
    visit = opened(context, server)
    visit.page.locator("#prompt-TA textarea").fill("")
    visit.page.locator(SPEAK).click()
    expect(visit.page.locator(STATUS)).to_contain_text("rompt is empty")
    visit.page.get_by_label("The voice above").check()
    visit.page.locator(SPEAK).click()
    expect(visit.page.locator(STATUS)).to_contain_text("needs a voice")
    assert visit.complaints == []
