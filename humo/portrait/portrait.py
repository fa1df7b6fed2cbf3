"""What was read of a person in a picture, in the words of the drawn world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from humo.world import people
from humo.world.attributes import OPTIONS

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{name: OPTIONS[name] for name in ("gender", "skin", "hair_style", "hair_colour", "glasses", "beard")},
    "eye_colour": tuple(people.EYE_COLOURS),
    **{name: OPTIONS[name] for name in ("garment", "colour", "background")},
}
"""Values by attribute, in the order in which a person is described."""
GUESSES = ("gender", "skin", "eye_colour")
"""Attributes that are offered and never asserted: light changes how skin and eyes look, and looks tell no gender."""
PROPORTIONS = tuple(each.name for each in fields(people.Person) if each.default == 1.0)
"""Fields of `humo.world.people.Person` that are numbers near 1."""
_LEAST, _MOST = 0.5, 2.0
"""Proportions beyond are no face."""


class Seen(NamedTuple):
    """What was read of one attribute."""

    value: str | None
    """None where it was not seen."""
    sure: float
    """0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A person as the world can draw them; None for what was not seen.

    Raises:
        ValueError: if a value is not of the world or a number is out of its range.
    """

    gender: str | None = None
    """A guess."""
    skin: str | None = None
    """A guess."""
    hair_style: str | None = None
    hair_colour: str | None = None
    glasses: str | None = None
    """"none" where a face without glasses was seen."""
    beard: str | None = None
    """"none" where a face without a beard was seen."""
    eye_colour: str | None = None
    """A guess."""
    garment: str | None = None
    colour: str | None = None
    """Of the clothes."""
    background: str | None = None
    sure: Mapping[str, float] = field(default_factory=dict)
    """How sure each attribute is that was read, 0 to 1."""
    proportions: Mapping[str, float] = field(default_factory=dict)
    """Some of `PROPORTIONS`, near 1."""
    face: tuple[float, float, float, float] | None = None
    """Box (left, top, right, bottom) in pixels of the upright picture; None where nothing was read from a picture."""
    others: int = 0
    """Further faces in the picture, which were left out."""

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name} is {str(value)[:40]!r}: use {', '.join(allowed)}, or None if it is not seen.")
        _check_numbers("sure", self.sure, tuple(ATTRIBUTES), 0.0, 1.0)
        _check_numbers("proportions", self.proportions, PROPORTIONS, _LEAST, _MOST)
        if self.face is not None and not _is_box(self.face):
            raise ValueError(f"face is {str(self.face)[:80]}: give left, top, right and bottom in pixels, or None.")
        if not isinstance(self.others, int) or self.others < 0:
            raise ValueError(f"others is {str(self.others)[:40]}: give the number of further faces, 0 or more.")

    @property
    def attributes(self) -> dict[str, str]:
        """What was seen, in the order of `ATTRIBUTES`."""
        return {name: value for name in ATTRIBUTES if (value := getattr(self, name)) is not None}

    def with_changes(self, **attributes: str | None) -> Portrait:
        """The same person corrected by somebody who knows: what is given is sure, None is not seen.

        Raises:
            ValueError: if a value is not of the world.
        """
        sure = {name: value for name, value in self.sure.items() if name not in attributes}
        sure |= {name: 1.0 for name, value in attributes.items() if value is not None}
        changes: dict[str, Any] = {**attributes, "sure": sure}
        return replace(self, **changes)

    def to_plain(self) -> dict[str, Any]:
        """The portrait as plain data, for JSON."""
        plain = asdict(self)
        return plain | {"face": None if self.face is None else [float(side) for side in self.face]}

    @classmethod
    def of_plain(cls, plain: object) -> Portrait:
        """The portrait of plain data as `to_plain` writes it; what is left out has its default.

        Raises:
            ValueError: if the data are no portrait.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(plain, Mapping) or not names.issuperset(plain):
            raise ValueError(f"{str(plain)[:80]!r} is no portrait: give an object with {', '.join(sorted(names))}.")
        face = plain.get("face")
        return cls(**{**plain, "face": tuple(face) if isinstance(face, list) else face})


def _check_numbers(what: str, values: object, names: tuple[str, ...], least: float, most: float) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is {str(values)[:40]!r}: give a number from {least} to {most} by name.")
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"{what} has {str(name)[:40]!r}: use {', '.join(names)}.")
        if not _is_number(value) or not least <= value <= most:
            raise ValueError(f"{what} of {name} is {str(value)[:40]}: use {least} to {most}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_box(face: Any) -> bool:
    is_four = isinstance(face, tuple) and len(face) == 4 and all(_is_number(side) for side in face)
    return is_four and face[0] < face[2] and face[1] < face[3]
