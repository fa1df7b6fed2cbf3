"""`python -m notebooks.map`: which lesson needs which, as a picture and as a table in the README.

`LESSONS` is where it stands; the first cell of each lesson says the same, and so does the README, and tests compare.
An arrow is drawn only where no longer way leads. The boxes have a colour of their own and the arrows are grey, so that
the picture can be read on white and on black. Ours.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

from notebooks.outline import Outline, read_outline

FOLDER = Path(__file__).parent
BOX, LINE, WORDS = "#f4efe2", "#808080", "#1a1a1a"
"""Colours of boxes, of their rims and the arrows, and of what is written in them."""
_WIDTH, _HEIGHT, _BESIDE, _BELOW, _RIM, _ROW = 196, 84, 20, 34, 8, 17
"""Pixels: of a box, between boxes, around all, and from line to line."""
_BLOCK = re.compile(r"(?<=<!-- map: python -m notebooks\.map -->\n).*?(?=<!-- end of map -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stop:
    """A lesson on the map.

    Attributes:
        title: without its number.
        needs: numbers of the lessons that come before it.
    """

    title: str
    needs: tuple[str, ...] = ()


LESSONS = {
    "01": Stop("A straight line from noise to video"),
    "02": Stop("A video is a long sentence", ("01",)),
    "03": Stop("Hearing", ("02",)),
    "04": Stop("One block, three senses", ("02", "03")),
    "05": Stop("Focus by predicting", ("01", "04")),
    "06": Stop("Steering three conditions", ("01", "04")),
    "07": Stop("Learning in two stages", ("05",)),
    "08": Stop("From a photo and a voice to a film", ("01", "06")),
    "09": Stop("What is known stays", ("01", "02", "05")),
    "10": Stop("Few steps", ("01", "06")),
    "11": Stop("Measuring", ("07",)),
}
"""By number, each after all that it needs."""


# 1. The graph


def before(number: str, lessons: Mapping[str, Stop] = LESSONS) -> set[str]:
    """All lessons that come before one, by way of others too."""
    needs = lessons[number].needs
    return set(needs).union(*(before(each, lessons) for each in needs))


def arrows(lessons: Mapping[str, Stop] = LESSONS) -> list[tuple[str, str]]:
    """Pairs (needed, lesson) without those that follow from others."""
    pairs = []
    for number, stop in lessons.items():
        implied = set().union(*(before(each, lessons) for each in stop.needs))
        pairs += [(each, number) for each in stop.needs if each not in implied]
    return pairs


def _places(lessons: Mapping[str, Stop]) -> dict[str, tuple[float, int]]:
    """Column and row of each box: below all that it needs, in the middle above what it leads to."""
    rows: dict[str, int] = {}
    below: dict[str, list[str]] = {number: [] for number in lessons}
    for number, stop in lessons.items():
        rows[number] = max((rows[each] + 1 for each in stop.needs), default=0)
        if stop.needs:
            below[max(stop.needs, key=lambda each: rows[each])].append(number)
    columns: dict[str, float] = {}
    width = 0

    def place(number: str) -> None:
        nonlocal width
        for each in below[number]:
            place(each)
        columns[number] = fmean(columns[each] for each in below[number]) if below[number] else width
        width += not below[number]

    for number, stop in lessons.items():
        if not stop.needs:
            place(number)
    return {number: (columns[number], rows[number]) for number in lessons}


# 2. The picture


def draw_map(outlines: Mapping[str, Outline], lessons: Mapping[str, Stop] = LESSONS) -> str:
    """The map as SVG.

    Args:
        outlines: of the lessons that there are, by number; they tell minutes.
        lessons: what is drawn.
    """
    places = _places(lessons)
    width = (max(column for column, _ in places.values()) + 1) * (_WIDTH + _BESIDE) - _BESIDE + 2 * _RIM
    height = (max(row for _, row in places.values()) + 1) * (_HEIGHT + _BELOW) - _BELOW + 2 * _RIM
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    names = {"role": "img", "aria-labelledby": "title", "font-family": "sans-serif", "font-size": "14"}
    picture = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **names})
    ElementTree.SubElement(picture, "title", id="title").text = describe(lessons)
    corners = {
        number: (_RIM + column * (_WIDTH + _BESIDE), _RIM + row * (_HEIGHT + _BELOW))
        for number, (column, row) in places.items()
    }
    for one, other in arrows(lessons):
        _arrow(picture, corners[one], corners[other])
    for number, stop in lessons.items():
        _box(picture, corners[number], f"{number} · {stop.title}", _minutes(outlines.get(number)))
    ElementTree.indent(picture)
    return ElementTree.tostring(picture, encoding="unicode") + "\n"


def _arrow(picture: ElementTree.Element, one: tuple[float, float], other: tuple[float, float]) -> None:
    (x, y), (to_x, to_y) = (one[0] + _WIDTH / 2, one[1] + _HEIGHT), (other[0] + _WIDTH / 2, other[1])
    half = (y + to_y) / 2
    way = f"M {x:g} {y:g} C {x:g} {half:g} {to_x:g} {half:g} {to_x:g} {to_y - 7:g}"
    ElementTree.SubElement(picture, "path", {"d": way, "fill": "none", "stroke": LINE, "stroke-width": "2"})
    head = f"M {to_x - 5:g} {to_y - 9:g} h 10 l -5 9 z"
    ElementTree.SubElement(picture, "path", {"d": head, "fill": LINE})


def _box(picture: ElementTree.Element, corner: tuple[float, float], title: str, minutes: str) -> None:
    x, y = corner
    form = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{_WIDTH}", "height": f"{_HEIGHT}", "rx": "8"}
    ElementTree.SubElement(picture, "rect", {**form, "fill": BOX, "stroke": LINE})
    lines = [*textwrap.wrap(title, 22), *([minutes] if minutes else [])]
    top = y + _HEIGHT / 2 - _ROW * (len(lines) - 1) / 2 + 5
    for number, line in enumerate(lines):
        style = {"font-size": "12"} if line == minutes else {"font-weight": "bold"}
        middle = {"x": f"{x + _WIDTH / 2:g}", "y": f"{top + number * _ROW:g}", "text-anchor": "middle", "fill": WORDS}
        ElementTree.SubElement(picture, "text", {**middle, **style}).text = line


def _minutes(outline: Outline | None) -> str:
    if outline is None:
        return ""
    count = len(outline.exercise_minutes)
    return f"{outline.minutes} min; {count} exercise{'s' * (count > 1)}, {sum(outline.exercise_minutes)} min"


# 3. Words


def describe(lessons: Mapping[str, Stop] = LESSONS) -> str:
    """What the picture shows, in words."""
    after: dict[str, list[str]] = {}
    for one, other in arrows(lessons):
        after.setdefault(one, []).append(other)
    ways = "; ".join(f"{one} to {' and '.join(others)}" for one, others in after.items())
    return f"A map of {len(lessons)} lessons. Arrows lead from {ways}."


def words(outlines: Mapping[str, Outline], lessons: Mapping[str, Stop] = LESSONS) -> str:
    """The picture with its description, and all that it says as a table in Markdown."""
    head = ["| lesson | needs | is needed by | exercises |", "|---|---|---|---|"]
    lines = [f"![{describe(lessons)}](map.svg)", "", *head]
    for number, stop in lessons.items():
        after = ", ".join(each for each, other in lessons.items() if number in other.needs)
        cells = (f"{number} · {stop.title}", ", ".join(stop.needs), after, _exercises(outlines.get(number)))
        lines.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _exercises(outline: Outline | None) -> str:
    pairs = () if outline is None else zip(outline.difficulties, outline.exercise_minutes, strict=True)
    return ", ".join(f"{'●' * dots}{'○' * (3 - dots)} {minutes} min" for dots, minutes in pairs)


# 4. Command


def files(folder: Path = FOLDER) -> dict[Path, str]:
    """What the command writes: the picture, and the README with the table.

    Raises:
        ValueError: if the README has no place for it.
    """
    outlines = {each.number: each for each in map(read_outline, sorted(folder.glob("[0-9][0-9]_*.ipynb")))}
    readme = folder / "README.md"
    text, found = _BLOCK.subn(lambda _: words(outlines), readme.read_text(encoding="utf-8"))
    if found != 1:
        raise ValueError("README.md needs one line '<!-- map: python -m notebooks.map -->' and its end.")
    return {folder / "map.svg": draw_map(outlines), readme: text}


def main() -> None:
    """Writes the picture and the table."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
