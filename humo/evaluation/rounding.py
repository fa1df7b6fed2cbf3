"""Figures as a report keeps them: four digits after the point. Ours."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """Plain data with every float rounded, inside of lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
