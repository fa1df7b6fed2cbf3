"""What a word can mean for a picture: a part of a person, a quality of a part, or a fact of its own.

The tables under `languages/` name meanings by keys in the world's own terms. `gender:woman` is a person and says that
she is a woman; `hair+hair_style:long` is hair and says that it is long; `colour:red` is a quality and needs something
that is red. A mark at the end tells how it is meant: `~` is only the nearest thing that mini draws, `?` is said by the
way and gives in to any other word; `!` at the beginning is a fact about the person ("bearded") and no part of them.
Ours.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTS = {
    "person": "person", "gender": "person", "hair": "hair", "skin": "skin", "eyes": "eyes", "wall": "wall",
    "garment": "clothes", "glasses": "glasses", "beard": "beard",
}  # fmt: skip
"""Part that a key is, by its attribute or name."""
_QUALITIES = ("colour", "tone", "shape", "pattern", "age", "hair_colour")
_STYLES = ("short", "long", "curly", "spiky")
_FACTS = ("motion", "speech", "position", "framing", "distractor")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word of a table stands for."""

    role: str
    """ "part", "quality", "fact", "pronoun", "function" or "unknown"."""
    name: str
    """Of a part: person, hair, ...; of a quality: colour, tone, style, ...; of a function: as in the tables."""
    value: str = ""
    """Of a quality, in English."""
    says: tuple[tuple[str, str], ...] = ()
    """(attribute, value) that it states by itself."""
    hints: tuple[tuple[str, str], ...] = ()
    """The same, said by the way."""
    is_near: bool = False
    """Whether it is only the nearest that mini draws."""


UNKNOWN = Meaning("unknown", "")
"""Of a word that nobody knows."""


def function(kind: str) -> Meaning:
    """Of a word that joins others."""
    return Meaning("function", kind)


def read_key(key: str) -> Meaning:
    """The meaning that a table's key names.

    Raises:
        ValueError: if it names nothing of the world.
    """
    is_near, is_fact = key.endswith("~"), key.startswith("!")
    part, quality, says, hints = "", None, [], []
    for each in key.removeprefix("!").removesuffix("~").split("+"):
        name, _, value = each.removesuffix("?").partition(":")
        if name == "pronoun":
            return Meaning("pronoun", "weak" if each.endswith("?") else "person", says=(("gender", value),))
        if each.endswith("?"):
            hints.append((name, value))
        elif name in PARTS and not (value == "none" or (name == "skin" and value)):
            part = PARTS[name]
            if value:
                says.append((name, value))
        elif name == "hair_style" and value == "bun":
            part = part or "hair"
            says.append((name, value))
        elif name in _QUALITIES or (name == "skin" and value) or (name == "hair_style" and value in _STYLES):
            quality = ("style" if name == "hair_style" else name, value)
        elif name in _FACTS or value in ("none", "bald"):
            says.append((name, value))
        else:
            raise ValueError(f"{key!r} is no meaning: see humo.wording.language.meanings.")
    if quality and part:
        says.append(("hair_style" if quality[0] == "style" else quality[0], quality[1]))
    rest = tuple(says), tuple(hints), is_near
    if is_fact:
        return Meaning("fact", part, "", rest[0] or ((part, ""),), *rest[1:])
    if part:
        return Meaning("part", part, "", *rest)
    return Meaning("quality", quality[0], quality[1], *rest) if quality else Meaning("fact", says[0][0], "", *rest)
