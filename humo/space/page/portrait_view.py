"""The person maker: a row of small drawings for every attribute of a drawn person, as radio buttons.

The rows are laid out once, by `maker_html`. What changes with the person is one value (`maker_value`): which buttons
are pressed, and one picture that holds all small drawings, so that each shows this very person with one thing changed.
The browser puts both in place without making the buttons anew: whoever moves along them by keyboard keeps their place.
Needs no torch. Ours.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from humo.portrait import ATTRIBUTES, GUESSES, Portrait, draw_portrait
from humo.portrait.caption import TITLES
from humo.space.page.html import data_uri

TILE, DRAWN = 60, 96
"""Pixels of a small drawing, and of the whole drawing that it is cut from."""
OPEN = ""
"""Value of a guess that is left open."""
_HEAD, _EYES = (0.15, 0.03, 0.85, 0.73), (0.32, 0.22, 0.68, 0.58)
_BODY, _ALL = (0.22, 0.44, 0.78, 1.0), (0.0, 0.0, 1.0, 1.0)
_PARTS = {"gender": _ALL, "eye_colour": _EYES, "garment": _BODY, "colour": _BODY, "background": _ALL}
"""What a row shows of the drawing: left, top, right and bottom as shares; the head where nothing is said."""


@dataclass(frozen=True, slots=True)
class Row:
    """The values of an attribute, as buttons."""

    name: str
    """Of the attribute."""
    values: tuple[str, ...]
    """`OPEN` stands at the end where the attribute is a guess."""

    def word(self, value: str) -> str:
        """What stands under a button."""
        return value or "not said"


ROWS = tuple(Row(name, (*ATTRIBUTES[name], *((OPEN,) if name in GUESSES else ()))) for name in ATTRIBUTES)
_COLUMNS = max(len(row.values) for row in ROWS)


def chosen_changes(portrait: Portrait, chosen: object) -> dict[str, str | None]:
    """What the pressed buttons say otherwise than a portrait.

    Args:
        portrait: of the person so far.
        chosen: value of the pressed button by attribute, None where none is, as the browser tells it.

    Returns:
        New value by attribute, as `Portrait.with_changes` takes them.

    Raises:
        ValueError: if there is no such button.
    """
    if not isinstance(chosen, Mapping):
        raise ValueError("the choice of the person cannot be read: press the button again.")
    changes = {}
    for row in ROWS:
        value = chosen.get(row.name)
        if value is not None and value not in row.values:
            raise ValueError(f"{row.name} cannot be {str(value)[:20]!r}: press one of the buttons.")
        if (value or None) != getattr(portrait, row.name):
            changes[row.name] = value or None
    return changes


def maker_html(key: str) -> str:
    """The rows of buttons, without drawings.

    Args:
        key: of the tab, for names that no other tab has.
    """
    rows = "".join(_row_html(key, row, place) for place, row in enumerate(ROWS))
    return f'<div class="humo-maker" style="--columns:{_COLUMNS};--rows:{len(ROWS)}">{rows}</div>'


def _row_html(key: str, row: Row, place: int) -> str:
    tiles = "".join(_tile_html(f"{key}-{row.name}", row, value, place, index) for index, value in enumerate(row.values))
    title = f"<legend>{TITLES[row.name].capitalize()}</legend>"
    return f'<fieldset data-attribute="{row.name}">{title}<div>{tiles}</div></fieldset>'


def _tile_html(name: str, row: Row, value: str, place: int, index: int) -> str:
    where = f"background-position:{_share(index, _COLUMNS)} {_share(place, len(ROWS))}"
    button = f'<input type="radio" name="{name}" value="{html.escape(value, quote=True)}">'
    return f'<label>{button}<i style="{where}"></i><span>{html.escape(row.word(value))}</span></label>'


def _share(index: int, count: int) -> str:
    """CSS place of a tile among all: 0% is the first, 100% the last."""
    return f"{100 * index / (count - 1):.4f}%"


def maker_value(portrait: Portrait) -> dict[str, Any]:
    """Which buttons are pressed, and the picture of all small drawings.

    Args:
        portrait: of the person.
    """
    chosen = {row.name: getattr(portrait, row.name) or (OPEN if OPEN in row.values else None) for row in ROWS}
    return {"chosen": chosen, "tiles": data_uri(draw_tiles(portrait))}


def draw_tiles(portrait: Portrait) -> Image.Image:
    """All small drawings: a row an attribute, a column a value, RGB."""
    sheet = Image.new("RGB", (_COLUMNS * TILE, len(ROWS) * TILE))
    for y, row in enumerate(ROWS):
        left, top, right, bottom = (round(edge * DRAWN) for edge in _PARTS.get(row.name, _HEAD))
        for x, value in enumerate(row.values):
            drawn = draw_portrait(portrait.with_changes(**{row.name: value or None}), DRAWN)
            tile = drawn.crop((left, top, right, bottom)).resize((TILE, TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (x * TILE, y * TILE))
    return sheet


def describe_portrait(portrait: Portrait) -> str:
    """What a visitor should know about the drawing of their photograph: what was guessed, and what was not seen."""
    guessed = [TITLES[name] for name in ATTRIBUTES if name in GUESSES and getattr(portrait, name) is not None]
    unseen = [TITLES[name] for name in ATTRIBUTES if name not in GUESSES and getattr(portrait, name) is None]
    words = "This is who the model will see, drawn from your photograph."
    if portrait.others:
        words += f" Of {portrait.others + 1} faces it is the largest."
    if guessed:
        words += f" Only guessed: {_listed(guessed)}."
    if unseen:
        words += f" Not seen: {_listed(unseen)}."
    return f"{words} Change below what is not right."


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
