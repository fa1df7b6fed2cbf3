"""Pictures of known colours in every kind that people have: each is read as it is, or refused with the true reason.

Run: python -m pytest tests/abuse/test_images.py
"""

from __future__ import annotations

from collections import Counter

import images
import numpy as np
import photographs
import pytest
import strangers
import what_is_read
from patches import COLOURS, Shown, difference, fault, patchwork, saved

MODULES = {"images": images, "photographs": photographs, "strangers": strangers}
READ = ("PNG", "JPEG", "WebP", "GIF", "BMP", "AVIF", "HEIC")
"""Kinds that are read, whatever the version of Pillow."""


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Shown]]:
    return {name: list(module.shown()) for name, module in MODULES.items()}


@pytest.mark.slow
def test_the_corpus_is_large_and_each_picture_is_another(corpus: dict[str, list[Shown]]) -> None:
    every = [shown for part in corpus.values() for shown in part]
    assert len({(shown.kind, shown.name) for shown in every}) == len({shown.content for shown in every}) == len(every)
    read = Counter(shown.kind for shown in every if shown.colours is not None)
    assert sum(read.values()) >= 120 and set(READ) <= set(read), read


@pytest.mark.parametrize("part", MODULES)
def test_colours_are_read_as_they_are_or_the_true_reason_is_told(corpus: dict[str, list[Shown]], part: str) -> None:
    faults = [fault(shown, difference(shown)) for shown in corpus[part]]
    assert not any(faults), "\n".join(filter(None, faults))


@pytest.mark.slow
def test_the_readme_tells_what_is_read() -> None:
    readme = what_is_read.README.read_text()
    assert what_is_read.written(readme, what_is_read.table()) == readme, "run python tests/abuse/what_is_read.py"


def test_wrong_colours_would_be_found() -> None:
    right = Shown("PNG", "right", saved(patchwork(), "PNG"), COLOURS)
    assert fault(right, difference(right)) is None
    for wrong in (COLOURS[::-1], COLOURS[:, ::-1], np.rot90(COLOURS), np.clip(COLOURS + 2.0, 0, 255)):
        other = Shown("PNG", "wrong", right.content, wrong)
        assert "beside the truth" in fault(other, difference(other))
    refused = Shown("PNG", "refused", right.content, None, says=strangers.HUGE)
    assert "should be refused" in fault(refused, difference(refused))
    torn = Shown("PNG", "torn", right.content[:80], COLOURS)
    assert "damaged" in fault(torn, difference(torn))
