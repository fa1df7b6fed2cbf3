"""A person in a photograph, read in the words of the drawn world, drawn in its way and described in its captions.

mini knows drawn people only: a photograph makes dark smears. So a photograph is read first, drawn as the world draws
people, and the drawing is what mini sees. All of this is ours. The names below are imported when they are first used:
reading needs OpenCV, and what draws needs numba.
May import wording, world and media.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humo.portrait.caption import write_caption as write_caption
    from humo.portrait.drawing import draw_portrait as draw_portrait
    from humo.portrait.drawn import is_drawing as is_drawing
    from humo.portrait.portrait import ATTRIBUTES as ATTRIBUTES
    from humo.portrait.portrait import GUESSES as GUESSES
    from humo.portrait.portrait import Portrait as Portrait
    from humo.portrait.reading import read_portrait as read_portrait

_HOMES = {
    "ATTRIBUTES": "portrait",
    "GUESSES": "portrait",
    "Portrait": "portrait",
    "draw_portrait": "drawing",
    "is_drawing": "drawn",
    "read_portrait": "reading",
    "write_caption": "caption",
}

__all__ = ["ATTRIBUTES", "GUESSES", "Portrait", "draw_portrait", "is_drawing", "read_portrait", "write_caption"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'humo.portrait' has no attribute {name!r}")
    return getattr(import_module(f"humo.portrait.{_HOMES[name]}"), name)
