"""Fixtures shared by the tests; the tiny components themselves are in `tiny.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

torch.set_num_threads(1)  # tiny tensors: more threads only wait for one another


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked `gpu` where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


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
