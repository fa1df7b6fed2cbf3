"""What a quality of a thing says in the world's terms: "dark" of skin, of hair, of glasses. Ours."""

from __future__ import annotations

from humo.wording.colours import nearest
from humo.world.captions import SYNONYMS
from humo.world.people import BACKGROUNDS, COLOURS, EYE_COLOURS, HAIR_COLOURS, SKINS


def _said(names: dict[str, str]) -> dict[str, str]:
    return {word: value for key, value in names.items() for word in SYNONYMS.get(key, (key,))}


OWN = {
    "clothes": _said({name: name for name in COLOURS}),
    "wall": _said({name: name for name in BACKGROUNDS}),
    "hair": _said({f"{name} hair": name for name in HAIR_COLOURS}),
    "skin": _said({("brown skin" if name == "brown" else name): name for name in SKINS}),
    "eyes": {name: name for name in EYE_COLOURS},
}
"""Mini's own words for colours, by the thing they are said of."""
_ATTRIBUTE = {"clothes": "colour", "wall": "background", "hair": "hair_colour", "eyes": "eye_colour"}
_SKIN_SHADES = {
    "light brown": "tan", "dark brown": "dark", "brown": "brown", "caramel": "tan", "chocolate": "dark",
    "chocolate brown": "dark", "ebony": "dark", "ivory": "pale", "bronze": "tan", "peach": "pale", "beige": "pale",
    "cream": "pale", "pink": "pale", "copper": "tan", "cinnamon": "brown", "mahogany": "dark", "honey": "tan",
    "coffee": "brown", "mocha": "brown", "gold": "tan", "deep": "dark", "medium": "tan", "light olive": "tan",
}  # fmt: skip
"""Further words for skin, to what they come nearest to."""
_PEOPLE = {"black": "dark", "white": "pale", "brown": "brown", "tan": "tan", "dark": "dark", "olive": "tan"}
"""Colours that are said of people and mean their skin."""
_TONES = {
    "hair": {"dark": ("black", False), "light": ("blond", True)},
    "skin": {"dark": ("dark", False), "light": ("pale", False), "deep": ("dark", True)},
    "clothes": {"dark": ("black", True), "light": ("white", True)},
    "wall": {"dark": ("grey", True), "light": ("white", True)},
    "eyes": {"dark": ("brown", True), "light": ("blue", True)},
}
"""By thing and tone: value, and whether it is only the nearest."""

Said = tuple[str, str, bool]
"""Attribute, value, whether it is only the nearest that mini draws."""


def say(quality: str, value: str, part: str, is_near: bool) -> Said | None:
    """What a quality of a thing says.

    Args:
        quality: colour, tone, shape, pattern, age, hair_colour, skin or style.
        value: in English; for hair_colour, skin, style, shape and pattern the world's own.
        part: person, hair, skin, eyes, clothes, wall, glasses or beard; empty for none.
        is_near: whether the table calls it the nearest.

    Returns:
        None where the world has no such thing.
    """
    teller = _TELLERS.get(quality)
    return teller(value, part, is_near) if teller else None


def _colour(value: str, part: str, is_near: bool) -> Said | None:
    if part == "skin":
        if value in OWN["skin"]:
            return "skin", OWN["skin"][value], is_near and " " in value and value not in SYNONYMS["dark"]
        return ("skin", _SKIN_SHADES[value], True) if value in _SKIN_SHADES else None
    if part == "person":
        return ("skin", _PEOPLE[value], False) if value in _PEOPLE else None
    if part == "beard":  # drawn in the colour of the hair
        said = _colour(value, "hair", True)
        return said and (said[0], said[1], True)
    if part not in _ATTRIBUTE:
        return None
    if value in OWN[part]:
        return _ATTRIBUTE[part], OWN[part][value], False
    found = nearest(value, _ATTRIBUTE[part])
    return (_ATTRIBUTE[part], found, True) if found else None


def _tone(value: str, part: str, is_near: bool) -> Said | None:
    if part == "glasses" and value == "dark":
        return "glasses", "sunglasses", False
    if part == "person" and value in ("dark", "light"):
        return "skin", {"dark": "dark", "light": "pale"}[value], False
    if value not in _TONES.get(part, {}):
        return None
    drawn, is_nearest = _TONES[part][value]
    return _ATTRIBUTE.get(part, "skin"), drawn, is_nearest


def _hair_colour(value: str, part: str, is_near: bool) -> Said | None:
    last = value.split()[-1]
    if part in ("", "person", "hair") and last in HAIR_COLOURS:
        return "hair_colour", last, is_near
    return _colour(value, part, is_near)


def _skin(value: str, part: str, is_near: bool) -> Said | None:
    if part in ("", "person", "skin"):
        return "skin", value, is_near
    return _tone({"pale": "light", "dark": "dark"}.get(value, ""), part, is_near)


def _style(value: str, part: str, is_near: bool) -> Said | None:
    is_hair = part in ("hair", "") or (part == "person" and value in ("curly", "spiky"))
    return ("hair_style", value, is_near) if is_hair and (part or value in ("curly", "spiky")) else None


def _shape(value: str, part: str, is_near: bool) -> Said | None:
    return ("glasses", value, is_near) if part == "glasses" else None


def _pattern(value: str, part: str, is_near: bool) -> Said | None:
    return ("pattern", value, is_near) if part in ("wall", "") else None


def _age(value: str, part: str, is_near: bool) -> Said | None:
    return ("hair_colour", "grey", True) if part in ("person", "") else None


_TELLERS = {
    "colour": _colour, "tone": _tone, "hair_colour": _hair_colour, "skin": _skin, "style": _style, "shape": _shape,
    "pattern": _pattern, "age": _age,
}  # fmt: skip
