"""Fixtures shared by the tests; the tiny components themselves are in `support/tiny.py`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

# Two tests run at a time: a program that one of them starts computes with one thread too, for where two want a core
# each, they wait for one another by spinning (`humo.system.threads`). Read when torch is imported, below.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from humo.system.threads import limit_threads

if TYPE_CHECKING:
    from pages import Visit
    from playwright.sync_api import Browser

    from humo.pipeline import HuMoPipeline

collect_ignore = [] if find_spec("moviepy") else ["media/test_moviepy.py"]
"""moviepy, an extra, brings an older Pillow than a plain install: `.ci/run` adds it at the end, for these tests."""

os.environ.setdefault("HUMO_COMPILE", "off")  # pages that tests start have other things to do


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked `gpu` where there is none; lets every test draw and round the same, whatever ran before it.

    One thread: with tiny tensors more only wait for one another, and as many as cores are free would make what is
    rounded depend on what else the machine does. A command that a test ran in this process may have left more.
    """
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    limit_threads(1)
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that does not multiply bfloat16: what is compared to the last digits is float32 everywhere.

    Some processors that do sum up as it comes, so that the last bits of a product differ from one time to the next.
    """
    for instructions in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, instructions, lambda: False)


@pytest.fixture(scope="session")
def mini_pipeline() -> HuMoPipeline:
    """A tiny whole pipeline like mini: 1.7B form, own codec, focus head."""
    import tiny

    return tiny.pipeline("mini")


@pytest.fixture(scope="session")
def wan_pipeline() -> HuMoPipeline:
    """A tiny whole pipeline like the 17B: condition channels, Wan's codec, no focus head."""
    import tiny

    return tiny.pipeline("17B")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page with the bundled model, of this test file alone."""
    import pages

    with pages.serve(tmp_path_factory.mktemp("log")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, of this test file alone."""
    import pages

    with pages.chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Visit]:
    """The page in a window of its own."""
    from pages import Visit

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page(), server).watch()
    context.close()
