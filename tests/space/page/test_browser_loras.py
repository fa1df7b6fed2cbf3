"""LoRAs on the page: chosen by name, told and taken settings of a few-step one, kept with a link, missed by name.

Run: python -m pytest tests/space/page/test_browser_loras.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from axe import violations
from loras import save_lora
from pages import EXAMPLES, PATIENCE, Visit, serve
from playwright.sync_api import Browser, Page, expect

from humo.space.links.settings import read_settings
from humo.system.digests import digest_file

pytestmark = pytest.mark.slow

PROMPT = "a woman in a red shirt talks"


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two, one of them of few steps."""
    folder = tmp_path_factory.mktemp("loras")
    for number, name in enumerate(("face", "quick-4steps"), start=1):
        save_lora(folder / f"{name}.safetensors", tiny.pipeline("mini"), number)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, loras: Path) -> Iterator[str]:
    model = tmp_path_factory.mktemp("model") / "tiny"
    tiny.pipeline("mini").save_pretrained(model)
    settings = {"HUMO_MODEL": str(model), "HUMO_LORAS": str(loras)}
    with serve(tmp_path_factory.mktemp("page"), settings=settings) as address:
        yield address


def _choose(page: Page, name: str) -> None:
    page.locator("#loras input").click()
    page.get_by_role("option", name=name).click()
    page.locator("#loras input").blur()  # it opens again when it is entered
    expect(page.get_by_role("option")).to_have_count(0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_loras_are_chosen_used_kept_and_restored(
    browser: Browser, server: str, loras: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    visit = Visit(context.new_page(), server).watch()
    page = visit.page
    page.locator("#prompt-TI textarea").fill(PROMPT)
    page.locator("#image-TI input[type=file]").set_input_files(EXAMPLES / "woman.png")
    visit.set_number("Seconds", 0.2)
    visit.open_settings()
    page.get_by_role("button", name="LoRAs").click()
    _choose(page, "face")
    expect(page.locator("#lora-take")).to_be_hidden()
    _choose(page, "quick-4steps")
    expect(page.locator("#lora-note")).to_contain_text("quick-4steps looks like a few-step LoRA: 4 steps are enough")
    page.locator("#lora-take").click()
    expect(page.get_by_label("number input for Steps")).to_have_value("4")
    visit.set_number("Their weight", 0.5)
    assert violations(page) == [] and page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#generate-TI").click()
    assert visit.video_facts()["ready"] == 4
    with page.expect_download() as download:
        page.locator("#download").click()
    settings = read_settings(download.value.path())
    told = [(each.name, each.weight, each.sha256) for each in settings.loras]
    assert told == [(name, 0.5, digest_file(loras / f"{name}.safetensors")) for name in ("face", "quick-4steps")]
    assert (settings.num_inference_steps, settings.guidance["rule"]) == (4, "constant")
    assert [settings.guidance[name] for name in ("text", "image", "audio")] == [1, 1, 3]
    page.locator("#share").click()
    link = page.locator("#link a")
    link.wait_for(timeout=PATIENCE)

    other = Visit(context.new_page(), server).watch(link.get_attribute("href").removeprefix(server), "#opened")
    page = other.page
    expect(page.locator("#opened .humo-facts")).to_contain_text("face × 0.5, quick-4steps × 0.5")
    page.get_by_role("button", name="Remix").click()
    expect(page.locator("#prompt-TI textarea")).to_have_value(PROMPT)
    other.open_settings()
    page.get_by_role("button", name="LoRAs").click()
    expect(page.locator("#loras")).to_contain_text("face")
    expect(page.locator("#loras")).to_contain_text("quick-4steps")
    expect(page.get_by_label("number input for Their weight")).to_have_value("0.5")
    context.close()
    assert visit.complaints == [] and other.complaints == []
