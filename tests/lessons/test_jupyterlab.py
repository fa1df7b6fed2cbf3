"""A lesson in JupyterLab, as a learner has it: all cells run in Chromium, and what can be moved moves the picture."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import pytest
from pages import PATIENCE, ROOT, chromium, wait_for
from playwright.sync_api import Page, expect
from ports import free_port

pytestmark = pytest.mark.slow

CELLS = [
    "from PIL import Image\nfrom notebooks.lesson import check, explore, quiz",
    "quiz('How many?', ['one', 'two'], 1, 'There are two.')",
    "def draw(side):\n    return Image.new('RGB', (side, 8))\n\n\n"
    "explore(draw, {'side': 8}, 'a black square of eight pixels', side=[8, 16])",
    "def double(number):\n    ...\n\n\n"
    "def test(function):\n    assert function(3) == 6, 'three should become six.'\n\n\n"
    "check(double, test, 'Add it to itself.')",
]
"""A lesson in little."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the small lesson in a JupyterLab of its own, with no settings but the bundled ones."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}  # else it asks for a kernel
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    nbformat.write(notebook, folder / "small.ipynb")
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(folder / name.lower()) for name in (*names, "JUPYTERLAB_WORKSPACES_DIR", "MPLCONFIGDIR")}
    environment = {**os.environ, **own, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    log = folder / "server.txt"
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/api", process, log)
        yield f"http://127.0.0.1:{port}/lab/tree/small.ipynb"
    finally:
        process.terminate()
        process.wait(300)


def run_all(page: Page) -> None:
    """Runs all cells by the menu, once the kernel answers: JupyterLab drops what is asked of it before."""
    idle = page.get_by_role("contentinfo").get_by_role("button", name="Python 3 (ipykernel) | Idle")
    idle.wait_for(timeout=PATIENCE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_a_lesson_answers_in_jupyterlab(lab: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(lab)
        page.locator(".jp-Notebook .jp-Cell").nth(len(CELLS) - 1).wait_for()
        run_all(page)
        outputs = page.locator(".jp-OutputArea-output")
        expect(outputs.get_by_text("… not attempted yet")).to_be_visible(timeout=PATIENCE)

        page.get_by_label("A. one").check()
        expect(page.get_by_role("status")).to_have_text("Not quite: B. There are two.", timeout=PATIENCE)
        page.get_by_label("B. two").check()
        expect(page.get_by_role("status")).to_have_text("Right. There are two.", timeout=PATIENCE)

        picture = page.locator(".widget-html img")
        before = picture.get_attribute("src")
        page.get_by_role("slider").focus()
        page.keyboard.press("ArrowRight")
        now = "a black square of eight pixels Now shown: side 16."
        expect(picture).to_have_attribute("alt", now, timeout=PATIENCE)
        assert picture.get_attribute("src") != before

        editor = page.locator(".jp-Cell").last.locator(".cm-content")
        for body, said in (
            ("number", "✗ three should become six. Hint: Add it to itself."),
            ("2 * number", "✓ correct"),
        ):
            editor.click()
            page.keyboard.press("Control+a")
            page.keyboard.insert_text(CELLS[-1].replace("...", f"return {body}"))
            page.keyboard.press("Control+Enter")
            expect(outputs.get_by_text(said)).to_be_visible(timeout=PATIENCE)
