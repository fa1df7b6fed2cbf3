"""Figures as a report keeps them, four digits after the point, and as its tables show them. Ours."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """Plain data with every float rounded, inside of lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def with_interval(figures: dict[str, Any], name: str) -> str:
    """A figure for a table with its interval, if it has one, in brackets; empty where there is none."""
    if name not in figures:
        return ""
    bounds = figures.get(f"{name}_interval")
    return f"{figures[name]:z.2f}" + (f" ({bounds[0]:z.2f}–{bounds[1]:z.2f})" if bounds else "")
