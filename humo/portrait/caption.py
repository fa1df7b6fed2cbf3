"""A portrait in words: captions in the grammar that mini learned to read (`humo.world.captions`). Ours."""

from __future__ import annotations

from humo.portrait.portrait import GUESSES, Portrait
from humo.space.vocabulary import add_words, find_words

OUTSIDE = ("garment", "colour", "background")
"""Attributes that a reference picture does not carry into the video."""
TITLES = {
    "gender": "gender",
    "skin": "skin",
    "hair_style": "hair",
    "hair_colour": "hair colour",
    "glasses": "glasses",
    "beard": "beard",
    "eye_colour": "eyes",
    "garment": "clothes",
    "colour": "colour of the clothes",
    "background": "background",
}
_GLASSES = {"round": "round glasses", "square": "square glasses", "sunglasses": "sunglasses"}
_BEARDS = {"beard": "a beard", "moustache": "a moustache"}


def write_caption(portrait: Portrait, action: str = "talks", include_looks: bool = True) -> str:
    """Write the caption of a portrait.

    A reference picture does not carry clothes and background into the video, so they are always said where they were
    seen; the looks, which it carries, only where asked.

    Args:
        portrait: who.
        action: what the person does, such as "talks" or "nods"; "" leaves it out.
        include_looks: whether hair, skin, glasses and beard are said too.

    Returns:
        Lower-case sentence without a full stop.
    """
    who = "a " + (portrait.gender or "person")
    looks = describe_looks(portrait) if include_looks else []
    if looks:
        who += " with " + (", ".join(looks[:-1]) + " and " if len(looks) > 1 else "") + looks[-1]
    return " ".join([", ".join([who, *describe_outside(portrait)]), *([action] if action else [])])


def complete_prompt(prompt: str, portrait: Portrait) -> tuple[str, dict[str, str]]:
    """Write clothes and background of a portrait into a prompt that does not name them.

    Args:
        prompt: in the visitor's words.
        portrait: whose.

    Returns:
        The prompt, and the world's attributes that were added, {name: value}.
    """
    named = find_words(prompt)
    added = {name: getattr(portrait, name) for name in OUTSIDE if name not in named and getattr(portrait, name)}
    for name, value in added.items():
        prompt = add_words(prompt, name, value)
    return prompt, added


def describe_portrait(portrait: Portrait) -> str:
    """What was read, in words, for people: guesses are said as such, and what was not seen is named."""
    seen, guessed = dict(portrait.attributes), []
    for name in GUESSES:
        if name in seen:
            guessed.append(f"{TITLES[name]} {seen.pop(name)}")
    parts = [f"{TITLES[name]} {value}" for name, value in seen.items()]
    if guessed:
        parts.append(f"guessed: {', '.join(guessed)}")
    if missing := [TITLES[name] for name in TITLES if name not in portrait.attributes and not _is_moot(portrait, name)]:
        parts.append(f"not seen: {', '.join(missing)}")
    return "; ".join(parts)


def _is_moot(portrait: Portrait, name: str) -> bool:
    """Whether there is nothing to see: the hair of a bald head has no colour."""
    return name == "hair_colour" and portrait.hair_style == "bald"


def describe_looks(portrait: Portrait) -> list[str]:
    """Hair, skin, glasses and beard, each as far as it was seen: "long red hair", "pale skin", ..."""
    looks = [_hair(portrait), portrait.skin and f"{portrait.skin} skin"]
    return [look for look in (*looks, _GLASSES.get(portrait.glasses), _BEARDS.get(portrait.beard)) if look]


def describe_outside(portrait: Portrait) -> list[str]:
    """Clothes and background, each as far as it was seen: "in a blue shirt", "in front of a grey background"."""
    parts = []
    if portrait.colour or portrait.garment:
        words = " ".join(word for word in (portrait.colour, portrait.garment or "shirt") if word)
        parts.append(f"in {_article(words)} {words}")
    if portrait.background:
        parts.append(f"in front of {_article(portrait.background)} {portrait.background} background")
    return parts


def _hair(portrait: Portrait) -> str | None:
    colour, style = portrait.hair_colour, portrait.hair_style
    if style == "bald":
        return "no hair"
    if style == "bun":
        return f"{colour} hair in a bun" if colour else "hair in a bun"
    return " ".join([*filter(None, (style, colour)), "hair"]) if style or colour else None


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"
