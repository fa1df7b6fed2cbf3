"""What each attribute of a person and a setting can be: what captions name and probes read."""

from __future__ import annotations

from humo.world import people

OPTIONS: dict[str, tuple[str, ...]] = {
    "gender": people.GENDERS,
    "skin": tuple(people.SKINS),
    "hair_style": people.HAIR_STYLES,
    "hair_colour": tuple(people.HAIR_COLOURS),
    "glasses": people.GLASSES,
    "beard": people.BEARDS,
    "garment": people.GARMENTS,
    "colour": tuple(people.COLOURS),
    "background": tuple(people.BACKGROUNDS),
    "pattern": people.PATTERNS,
    "framing": tuple(people.FRAMINGS),
    "position": tuple(people.POSITIONS),
    "motion": people.MOTIONS,
}
"""Values by attribute."""
