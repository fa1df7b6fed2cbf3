"""Tables in Markdown. Ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(head: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table, without a line's end after it; a row may be shorter than the head, whose cells may be empty."""
    titles = list(head)
    lines = ["".join(f"| {title} " if title else "| " for title in titles) + "|", "|---" * len(titles) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])
