"""The schedule, drawn live: the same weights as those that are used, in words, and never an exception."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from humo.explain.schedules import schedule
from humo.guidance import RULES, make_rule
from humo.space.page.curves import describe, schedule_svg

MINI = {"rule": "paper", "text": 2.5, "image": 2.5, "audio": 2.5, "early": [4.5, 3.5, 1.0], "switch": 900.0}


def tree(drawn: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawn)


def bars(drawn: str) -> dict[str, list[tuple[float, float]]]:
    """Branch: start and rise of each of its bars, in pixels, downwards."""
    found = {}
    for path in tree(drawn).iter("path"):
        if path.get("class") == "bar":
            name = path.get("fill").rsplit("-", 1)[1].rstrip(")")
            found[name] = [
                (float(y), float(rise)) for y, rise in re.findall(r"M\S+ (\S+?)h\S+?v(\S+?)h", path.get("d"))
            ]
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True), (False, False)])
def test_every_rule_is_drawn(rule: str, given: tuple[bool, bool]) -> None:
    drawn = schedule_svg({"rule": rule}, 8, 5.0, *given)
    shown = schedule(make_rule({"rule": rule}), 8, 5.0, *given)
    heights = bars(drawn)
    assert tuple(heights) == shown.branches
    for name, weights in zip(shown.branches, shown.weights.T, strict=True):
        rises, weights = np.array([rise for _, rise in heights[name]]), weights[weights != 0]
        np.testing.assert_allclose(rises / rises[0], weights / weights[0], atol=0.05)
        assert (np.sign(rises) == -np.sign(weights)).all()


def test_bars_of_a_step_stand_on_each_other() -> None:
    heights = bars(schedule_svg(MINI, 16, 6.0))
    start, rise = heights["TIA"][0]
    assert heights["TI"][0][0] == pytest.approx(start + rise, abs=0.15)
    assert heights["null"][0][0] == start  # the first below zero stands where the first above does


@pytest.mark.parametrize(
    ("guidance", "steps", "shift", "given", "words"),
    [
        ({"rule": "published_17b"}, 8, 5.0, (True, True), "One step lies before the switch at timestep 980, 7 after"),
        ({"rule": "published_17b"}, 50, 5.0, (True, True), "150 passes of the network. 5 steps lie before the switch"),
        ({"rule": "published_17b"}, 30, 5.0, (False, True), "on both sides of the switch they are the same here"),
        (MINI | {"switch": 1000.0}, 8, 6.0, (True, True), "at timestep 1000 comes before the first step"),
        (MINI | {"switch": 10.0}, 8, 6.0, (True, True), "at timestep 10 comes after the last step"),
        (
            {"rule": "constant"},
            1,
            5.0,
            (True, True),
            "1 step, 4 passes of the network. Every step has the same weights.",
        ),
        ({"rule": "paper", "text": {"ramp": "linear", "early": 5, "late": 1}}, 9, 5.0, (True, True), "at 8 of 9 steps"),
        (
            {"rule": "constant", "text": {"ramp": "step", "early": 5, "late": 1, "switch": 900}},
            8,
            5.0,
            (True, True),
            "before the change of the weights",
        ),
        (
            MINI | {"until": 600.0},
            16,
            6.0,
            (True, True),
            "before the switch at timestep 900, 6 between it and the end of guidance at timestep 600, 3 after that.",
        ),
        (
            {"rule": "constant", "until": 600.0},
            16,
            6.0,
            (True, False),
            "13 steps lie before the end of guidance at timestep 600, 3 after it.",
        ),
    ],
)
def test_the_words_say_what_is_drawn(guidance: dict, steps: int, shift: float, given: tuple, words: str) -> None:
    assert words in describe(schedule(make_rule(guidance), steps, shift, *given), make_rule(guidance))
    drawn = tree(schedule_svg(guidance, steps, shift, *given))
    assert words in drawn.find("svg").get("aria-label") and words in drawn.find("figcaption").text
    assert drawn.find("svg").get("role") == "img"


def test_the_switch_is_marked_where_it_matters() -> None:
    assert "switch at 900" in schedule_svg(MINI, 16, 6.0)
    assert "switch at" not in schedule_svg({"rule": "published_17b"}, 16, 6.0, has_image=False)
    assert 'text-anchor="end">switch at 300' in schedule_svg(MINI | {"switch": 300.0}, 16, 6.0)
    both = schedule_svg(MINI | {"until": 600.0}, 16, 6.0)
    assert "switch at 900" in both and "until 600" in both
    assert "until" not in schedule_svg(MINI | {"until": 0.0}, 16, 6.0)


@pytest.mark.parametrize(
    ("guidance", "steps", "shift", "words"),
    [
        ({"rule": "<b>x</b>"}, 8, 5.0, "&lt;b&gt;"),
        ({}, 8, 5.0, "is unknown"),
        (MINI, 0, 5.0, "choose 1 to 200"),
        (MINI, 10_000, 5.0, "choose 1 to 200"),
        (MINI, 8, 0.0, "Shift must be above 0"),
        (MINI | {"text": float("nan")}, 8, 5.0, "it must be a number"),
        (MINI | {"text": None}, 8, 5.0, "it must be a number"),
        (MINI | {"text": float("inf")}, 8, 5.0, "it must be a number"),
    ],
)
def test_the_impossible_is_a_sentence(guidance: dict, steps: int, shift: float, words: str) -> None:
    told = schedule_svg(guidance, steps, shift)
    assert words in told and told.startswith("<p ") and "<svg" not in told


def test_two_drawings_do_not_share_their_patterns() -> None:
    first, second = (set(re.findall(r'id="([^"]+)"', schedule_svg(MINI, 8, 6.0))) for _ in range(2))
    assert first and not first & second


def test_drawing_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from humo.space.page.curves import schedule_svg; schedule_svg({'rule': 'paper'}, 8);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'gradio')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
