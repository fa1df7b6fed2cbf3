"""One thing that was looked at, as a line and as plain data; and how a look never ends in a traceback. Ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How a thing is."""

    OK = "ok"
    """It works."""
    NOTE = "note"
    """Something that is not needed is lacking, or is worth knowing."""
    FAILS = "FAILS"
    """What needs it will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    mark: Mark
    told: str
    """What was found."""
    remedy: str = ""
    """What to do; empty where there is nothing to do."""

    def line(self, width: int) -> str:
        """The finding as text, names padded to a width."""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.mark:<5}  {self.name:<{width}}  {self.told}{remedy}"


def ok(name: str, told: str) -> Finding:
    """A thing that works."""
    return Finding(name, Mark.OK, told)


def note(name: str, told: str, remedy: str = "") -> Finding:
    """A thing that is not needed, or worth knowing."""
    return Finding(name, Mark.NOTE, told, remedy)


def fails(name: str, told: str, remedy: str = "") -> Finding:
    """A thing without which something will not work."""
    return Finding(name, Mark.FAILS, told, remedy)


def told_by(error: BaseException) -> tuple[str, str]:
    """What an error says as what was found, and what to do.

    Args:
        error: a sentence of ours, "what is: what to do", or anybody's.

    Returns:
        Both parts; the second is empty where the sentence has none.
    """
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(".") if lines else type(error).__name__
    if not isinstance(error, ValueError | OSError):
        return f"{type(error).__name__}: {text}" if lines else text, ""
    told, _, remedy = text.partition(": ")
    return told, remedy


def looked_at(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a look finds, as far as it comes; what stops it is a finding too.

    Args:
        name: of what is looked at.
        look: gives findings; may raise anything.
    """
    try:
        yield from look()
    except Exception as error:  # whatever it is, the report goes on
        yield fails(name, *told_by(error))
