"""A portrait in words: captions in the grammar that mini learned to read (`humo.world.captions`). Ours."""

from __future__ import annotations

from humo.portrait.portrait import GUESSES, Portrait
from humo.wording.caption import write
from humo.wording.vocabulary import add_words, find_words

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
    looks = portrait.attributes.items()
    sentence = write({name: value for name, value in looks if include_looks or name in ("gender", *OUTSIDE)})
    if not action:
        return sentence
    return f"{sentence}, {action}" if "," in sentence else f"{sentence} {action}"


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
