"""The lines of a list as plain data: JSON objects, or rows of a table. Ours."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20
"""Of a list."""
_DELIMITERS = ",;\t"


class LineError(ValueError):
    """What is wrong with a line: a sentence's end, whose subject is the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list.

    Attributes:
        number: as an editor counts, from 1.
        fields: by name; None where the line cannot be read.
        error: why not, a sentence's end; "" if it can.
    """

    number: int
    fields: dict[str, Any] | None
    error: str = ""


def read_lines(path: Path) -> list[Line]:
    """Read a list.

    Args:
        path: ends in .jsonl or .csv.

    Returns:
        Its lines in order, without empty ones.

    Raises:
        ValueError: if it is no such file, not UTF-8, too large, or has no line.
    """
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise ValueError(f"The list {path.name} must end in .jsonl or .csv.")
    if not path.is_file():
        raise ValueError(f"The list {path} does not exist: check the path.")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"The list {path.name} has more than {MOST_BYTES >> 20} MiB: split it.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"The list {path.name} is not UTF-8: save it as UTF-8 text.") from None
    lines = list(_of_json(text) if path.suffix.lower() == ".jsonl" else _of_table(text, path.name))
    if not lines:
        raise ValueError(f"The list {path.name} has no line: write one video a line.")
    return lines


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        LineError: if it is none, or has a name twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except _Repeated as error:
        raise LineError(f"has {error.args[0]!r} twice: keep one of them.") from None
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError, a thousand brackets the other
        raise LineError("is no JSON: write one object in braces, with double quotes.") from None
    if not isinstance(found, dict):
        raise LineError("is JSON but no object: write one in braces.")
    return found


class _Repeated(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names occur once; which of two values was meant nobody can know."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(name)
        found[name] = value
    return found


def _of_json(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield Line(number, parse_object(line))
        except LineError as error:
            yield Line(number, None, str(error))


def _of_table(text: str, name: str) -> Iterator[Line]:
    """Rows by the names in the first line; empty cells are left out."""
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    names: list[str] = []
    number = 1
    try:
        for row in rows:
            if not names:
                names = [cell.strip() for cell in row]
                _check_names(names, name)
            elif any(cell.strip() for cell in row):
                yield _of_row(number, names, row)
            number = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f"The list {name} is no table from line {number} on ({error}): mend its quotes.") from None


def _of_row(number: int, names: list[str], row: list[str]) -> Line:
    if len(row) > len(names):
        return Line(number, None, f"has {len(row)} cells but the first line names {len(names)}: mend it.")
    return Line(number, {name: cell.strip() for name, cell in zip(names, row, strict=False) if cell.strip()})


def _check_names(names: list[str], name: str) -> None:
    if repeated := next((each for each in names if names.count(each) > 1), None):
        raise ValueError(f"The list {name} names {repeated!r} twice in its first line: keep one of them.")
