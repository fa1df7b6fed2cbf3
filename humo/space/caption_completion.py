"""The visitor's text made to agree with the drawn person: what a reference picture does not carry must be said.

mini's references were trained across clothes and backgrounds, so those reach the video through the text alone. An empty
text becomes a whole caption; in one of the visitor's own only what is missing is added, and what a button of the person
maker contradicts is changed. What was written here before and not touched since is written anew. Ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from humo.portrait import ATTRIBUTES, Portrait, write_caption
from humo.space.vocabulary import BUN, NO_HAIR, add_words, find_words, remove_words

OUTSIDE = ("garment", "colour", "background")
"""Attributes that only the text carries."""
_WORDS = {
    ("hair_style", "bun"): BUN,
    ("hair_style", "bald"): NO_HAIR,
    ("glasses", "round"): "round glasses",
    ("glasses", "square"): "square glasses",
}
"""Values whose word is another."""
_NEVER_SAID = ("eye_colour",)


@dataclass(frozen=True, slots=True)
class Completed:
    """A text and what of it was written here."""

    text: str = ""
    is_whole: bool = False
    """Whether all of it was."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Word by attribute."""


def complete_prompt(
    prompt: str, portrait: Portrait, before: Completed, action: str, changed: tuple[str, ...] | None = None
) -> Completed:
    """Write into a prompt what the drawn person needs said.

    Args:
        prompt: as the visitor has left it; may be empty.
        portrait: of the person.
        before: what was written into it for an earlier person.
        action: what somebody does of whom nothing is said, such as "talks".
        changed: attributes that the visitor has just chosen; None for a new person.

    Returns:
        The prompt, which names the person's clothes and background as far as they are known.
    """
    if not prompt.strip() or (before.is_whole and prompt == before.text):
        text = write_caption(portrait, action)
        return Completed(text, True, {name: word for name, word in find_words(text).items() if name in ATTRIBUTES})
    words = dict(before.words)
    for name in dict.fromkeys((*OUTSIDE, *words)) if changed is None else changed:
        value, found = getattr(portrait, name), find_words(prompt).get(name)
        if name in _NEVER_SAID or (found is None and name not in OUTSIDE):
            continue
        if changed is None and found not in (None, words.get(name)):
            continue  # the visitor's own word
        if value in (None, "none"):
            prompt = remove_words(prompt, name)
            words.pop(name, None)
        elif _word(name, value) != found:
            prompt = add_words(prompt, name, _word(name, value))
            words[name] = _word(name, value)
    return Completed(prompt, words=words)


def _word(name: str, value: str) -> str:
    return _WORDS.get((name, value), value)
