"""Which lesson needs which: one table, and picture, README and first cells that say the same."""

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from notebooks.grade import published
from notebooks.map import BOX, FOLDER, LESSONS, LINE, WORDS, Stop, arrows, before, describe, draw_map, files, words
from notebooks.outline import Outline, open_problems, read_outline

SVG = {"svg": "http://www.w3.org/2000/svg"}
OUTLINES = [read_outline(path) for path in published().values()]
SMALL = {"01": Stop("One"), "02": Stop("Two & a half", ("01",)), "03": Stop("Three", ("01", "02")), "04": Stop("Four")}
TWO = {"02": Outline("02", "Two & a half", 30, ("01",), (2, 1), (8, 5))}


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda outline: outline.number)
def test_the_first_cell_says_what_the_map_says(outline: Outline):
    stop = LESSONS[outline.number]
    assert (outline.title, outline.needs) == (stop.title, stop.needs)


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda outline: outline.number)
def test_exercises_fit_into_the_time_to_read(outline: Outline):
    assert 0 < sum(outline.exercise_minutes) <= outline.minutes / 1.5


def test_picture_and_readme_are_as_drawn():
    stale = [path.name for path, text in files().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run python -m notebooks.map"


def test_every_need_comes_before():
    numbers = list(LESSONS)
    assert all(numbers.index(each) < numbers.index(number) for number in numbers for each in LESSONS[number].needs)
    assert before("03", SMALL) == {"01", "02"} and before("04", SMALL) == set()


def test_arrows_leave_out_what_follows():
    assert arrows(SMALL) == [("01", "02"), ("02", "03")]
    shown = {number: {one for one, other in arrows() if other == number} for number in LESSONS}
    assert all(shown[number] <= set(stop.needs) for number, stop in LESSONS.items())
    for number in LESSONS:  # nothing is lost
        reached, waiting = set(), [number]
        while waiting:
            fresh = shown[waiting.pop()] - reached
            reached |= fresh
            waiting += fresh
        assert reached == before(number)


def boxes(picture: ElementTree.Element) -> list[tuple[float, ...]]:
    rows = picture.findall("svg:rect", SVG)
    return [tuple(float(row.get(name)) for name in ("x", "y", "width", "height")) for row in rows]


@pytest.mark.parametrize("lessons", [LESSONS, SMALL], ids=["ours", "small"])
def test_the_picture_has_a_box_for_each_and_words_for_all(lessons: dict[str, Stop]):
    picture = ElementTree.fromstring(draw_map(TWO, lessons))
    assert picture.find("svg:title", SVG).text == describe(lessons) and picture.get("role") == "img"
    drawn = boxes(picture)
    assert len(drawn) == len(lessons) and len(picture.findall("svg:path", SVG)) == 2 * len(arrows(lessons))
    width, height = float(picture.get("width")), float(picture.get("height"))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in drawn)
    for index, (x, y, w, h) in enumerate(drawn):
        for left, top, wide, high in drawn[:index]:
            assert x >= left + wide or left >= x + w or y >= top + high or top >= y + h, "two boxes overlap"
    written = " ".join(text.text for text in picture.findall("svg:text", SVG))
    assert all(f"{number} · {stop.title.split()[0]}" in written for number, stop in lessons.items())
    assert "30 min; 2 exercises, 13 min" in written


def luminance(colour: str) -> float:
    """Of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_picture_can_be_read_on_white_and_on_black():
    assert contrast(WORDS, BOX) >= 7
    assert all(contrast(LINE, ground) >= 3 for ground in ("#ffffff", "#0d1117", "#000000"))


def test_the_table_says_what_the_picture_says():
    lines = words(TWO, SMALL).splitlines()
    assert lines[0] == "![A map of 4 lessons. Arrows lead from 01 to 02; 02 to 03.](map.svg)"
    assert lines[4:] == [
        "| 01 · One | – | 02, 03 | – |",
        "| 02 · Two & a half | 01 | 03 | ●●○ 8 min, ●○○ 5 min |",
        "| 03 · Three | 01, 02 | – | – |",
        "| 04 · Four | – | – | – |",
    ]


def test_a_readme_without_a_place_for_the_map_is_named(tmp_path: Path):
    shutil.copy(FOLDER / "01_flow_matching.ipynb", tmp_path)
    (tmp_path / "README.md").write_text("# Lessons\n")
    with pytest.raises(ValueError, match=r"README\.md needs one line"):
        files(tmp_path)


def test_problems_are_read_item_by_item():
    texts = ["## Before\n\n1. no", "## Open problems\n\nSome.\n\n1. one\nmore\n\n2. two", "## Sources\n\n1. no"]
    assert open_problems(texts) == ["one\nmore", "two"] and open_problems(texts[:1]) is None
    paths = {re.sub(r"\W", "", problem[:40]) for path in published().values() for problem in problems_of(path)}
    assert len(paths) == 2 * len(OUTLINES), "two lessons ask the same"


def problems_of(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return open_problems([cell.source for cell in cells if cell.cell_type == "markdown"]) or []
