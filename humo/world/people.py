"""Who is in the picture and where: attributes that captions name, that the drawing shows and that the probes read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

GENDERS = ("woman", "man")
SKINS = {"pale": (250, 222, 202), "tan": (226, 172, 124), "brown": (160, 104, 66), "dark": (94, 60, 42)}
HAIR_STYLES = ("bald", "short", "long", "curly", "bun", "spiky")
HAIR_COLOURS = {
    "black": (34, 30, 36),
    "brown": (104, 62, 34),
    "blond": (236, 200, 96),
    "red": (198, 74, 26),
    "grey": (168, 170, 176),
    "blue": (54, 96, 214),
}
GLASSES = ("none", "round", "square", "sunglasses")
BEARDS = ("none", "beard", "moustache")
EYE_COLOURS = {"brown": (92, 54, 24), "blue": (60, 120, 200), "green": (58, 140, 78)}
GARMENTS = ("t-shirt", "shirt", "hoodie", "turtleneck", "dress")
COLOURS = {
    "red": (206, 44, 48),
    "orange": (240, 138, 36),
    "yellow": (246, 212, 60),
    "green": (58, 152, 76),
    "blue": (48, 96, 200),
    "purple": (128, 68, 170),
    "pink": (244, 142, 178),
    "white": (242, 242, 242),
    "black": (40, 40, 46),
}
BACKGROUNDS = {
    "red": (222, 120, 112),
    "orange": (250, 186, 116),
    "yellow": (250, 230, 150),
    "green": (150, 204, 150),
    "blue": (150, 194, 236),
    "purple": (190, 160, 220),
    "grey": (186, 188, 192),
    "white": (246, 246, 246),
}
PATTERNS = ("plain", "stripes", "dots")
FRAMINGS = {"close-up": 0.3, "medium": 0.25, "wide": 0.2}
POSITIONS = {"left": 0.36, "centre": 0.5, "right": 0.64}
MOTIONS = ("still", "nods", "shakes", "sways")

IDENTITY_ATTRIBUTES = ("gender", "skin", "hair_style", "hair_colour", "glasses", "beard")


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same about a person whatever they wear; the last fields are proportions near 1."""

    gender: str
    skin: str
    hair_style: str
    hair_colour: str
    glasses: str
    beard: str
    eye_colour: str
    face_width: float = 1.0
    face_height: float = 1.0
    eye_distance: float = 1.0
    eye_size: float = 1.0
    mouth_size: float = 1.0
    nose_size: float = 1.0
    brow_size: float = 1.0
    hair_volume: float = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What may change between two pictures of a person: clothes, background, framing, motion."""

    garment: str
    colour: str
    background: str
    pattern: str
    framing: str
    position: str
    motion: str


def _pick(rng: np.random.Generator, options: Iterable[str], weights: Sequence[float] | None = None) -> str:
    names = tuple(options)
    return str(names[rng.choice(len(names), p=weights)])


def sample_person(rng: np.random.Generator) -> Person:
    """Draws a person."""
    gender = _pick(rng, GENDERS)
    woman = gender == "woman"
    styles = (0.02, 0.18, 0.34, 0.18, 0.24, 0.04) if woman else (0.2, 0.32, 0.08, 0.18, 0.02, 0.2)
    proportions = rng.uniform(-1.0, 1.0, 8)
    scale = np.array([0.07, 0.06, 0.08, 0.15, 0.12, 0.2, 0.25, 0.12])
    return Person(
        gender,
        _pick(rng, SKINS),
        _pick(rng, HAIR_STYLES, styles),
        _pick(rng, HAIR_COLOURS),
        _pick(rng, GLASSES, (0.46, 0.18, 0.18, 0.18)),
        "none" if woman else _pick(rng, BEARDS, (0.4, 0.34, 0.26)),
        _pick(rng, EYE_COLOURS),
        *(float(1.0 + value) for value in proportions * scale),
    )


def sample_setting(rng: np.random.Generator) -> Setting:
    """Draws clothes, background, framing and motion."""
    return Setting(
        _pick(rng, GARMENTS),
        _pick(rng, COLOURS),
        _pick(rng, BACKGROUNDS),
        _pick(rng, PATTERNS, (0.5, 0.25, 0.25)),
        _pick(rng, FRAMINGS, (0.3, 0.5, 0.2)),
        _pick(rng, POSITIONS, (0.2, 0.6, 0.2)),
        _pick(rng, MOTIONS, (0.34, 0.22, 0.22, 0.22)),
    )


def _in_tenth(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % 10 == 0


def sample_cast(rng: np.random.Generator, held_out: bool) -> tuple[Person, Setting]:
    """Draws a person and a setting of one split.

    One in ten combinations of identity attributes, and one in ten of garment, colour and background, is held out: in
    the test split both are such, in training neither is. The choice hangs on a hash, the same on every machine.
    """
    while True:
        person, setting = sample_person(rng), sample_setting(rng)
        identity = "/".join(getattr(person, name) for name in IDENTITY_ATTRIBUTES)
        outfit = "/".join((setting.garment, setting.colour, setting.background))
        if _in_tenth("person/" + identity) == _in_tenth("outfit/" + outfit) == held_out:
            return person, setting


def change_clothes(rng: np.random.Generator, setting: Setting) -> Setting:
    """Draws another setting for the reference picture: other clothes and background, cross-paired (paper sec. 3.2)."""
    while True:
        other = sample_setting(rng)
        if other.colour != setting.colour and other.background != setting.background:
            return replace(other, motion="still")
