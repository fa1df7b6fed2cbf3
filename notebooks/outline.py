"""What a lesson says of itself: title, minutes, exercises, open problems; read from its text. Ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

EXERCISE = re.compile(
    r"^#{2,3} Exercise\b.*\n\n?\*Difficulty (●○○|●●○|●●●) · about ([1-9]\d*) minutes\*$", re.MULTILINE
)
"""A heading of an exercise, and directly under it how hard it is and how long it takes."""
_NEEDED = re.compile(r"\blessons? (\d\d(?:(?:,| and|, and) \d\d)*)")
_SECTION = re.compile(r"^## Open problems$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a lesson says of itself.

    Attributes:
        number: two digits.
        title: without the number.
        minutes: to read, exercises included.
        needs: numbers of the lessons that the first cell names after "You need".
        difficulties: filled dots of each exercise, 1 to 3.
        exercise_minutes: of each exercise.
    """

    number: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    difficulties: tuple[int, ...]
    exercise_minutes: tuple[int, ...]


def read_outline(path: Path) -> Outline:
    """Reads a lesson.

    Raises:
        ValueError: if its first cell does not begin as those of its neighbours.
    """
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    title = re.match(r"# (\d\d) · (.+)", texts[0])
    time = re.search(r"\*\*Time\*\* (\d+) minutes to read.*?\*\*You need\*\* (.*)", texts[0])
    if title is None or time is None:
        raise ValueError(f"{path.name} must begin with '# NN · title' and say '**Time** … **You need** …'.")
    found = [match for text in texts for match in EXERCISE.finditer(text)]
    return Outline(
        number=title[1],
        title=title[2].strip(),
        minutes=int(time[1]),
        needs=tuple(sorted({number for list_ in _NEEDED.findall(time[2]) for number in re.findall(r"\d\d", list_)})),
        difficulties=tuple(match[1].count("●") for match in found),
        exercise_minutes=tuple(int(match[2]) for match in found),
    )


def open_problems(texts: Sequence[str]) -> list[str] | None:
    """The numbered items of the section "Open problems", without their numbers; None if there is no such section.

    Args:
        texts: of the Markdown cells.
    """
    section = _SECTION.search("\n\n".join(texts))
    return None if section is None else [match[2].strip() for match in _ITEM.finditer(section[1])]
