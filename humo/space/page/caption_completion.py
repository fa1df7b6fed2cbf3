"""The visitor's text made to agree with the drawn person: what a reference picture does not carry must be said.

mini's references were trained across clothes and backgrounds, so those reach the video through the text alone. An empty
text becomes a whole caption; in one of the visitor's own only what is missing is added, and what a button of the person
maker contradicts is changed. What was written here before and not touched since is written anew. Ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from humo.portrait import ATTRIBUTES, Portrait, write_caption
from humo.portrait.caption import OUTSIDE
from humo.wording import understand
from humo.wording.caption import write
from humo.wording.vocabulary import BUN, NO_HAIR, add_words, remove_words
from humo.wording.words import read_words

_WORDS = {
    ("hair_style", "bun"): BUN,
    ("hair_style", "bald"): NO_HAIR,
    ("glasses", "round"): "round glasses",
    ("glasses", "square"): "square glasses",
}
"""Values whose word is another."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A text and what of it was written here."""

    text: str = ""
    is_whole: bool = False
    """Whether all of it was."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Value by attribute."""


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
        The prompt, which names the person's clothes and background as far as they are known. Into a text that is not
        English no English is mixed: it stays, or becomes a whole caption where a button contradicts it.
    """
    if not prompt.strip() or (before.is_whole and prompt == before.text):
        text = write_caption(portrait, action)
        return Completed(text, True, {name: v for name, v in understand(text).attributes.items() if name in ATTRIBUTES})
    said = understand(prompt).attributes
    names = [name for name in changed or (*OUTSIDE, *before.values) if _is_to_say(name, said, before, changed)]
    wanted = {name: getattr(portrait, name) for name in dict.fromkeys(names)}
    wanted = {name: value for name, value in wanted.items() if value != said.get(name)}
    if not wanted or not _is_english(prompt):
        is_missing = changed is not None and wanted
        text = write({**said, **{name: value or "none" for name, value in wanted.items()}}) if is_missing else prompt
        return Completed(text, values=before.values)
    for name, value in wanted.items():
        prompt = _with_value(prompt, name, value)
    return Completed(prompt, values={**before.values, **{name: value for name, value in wanted.items() if value}})


def _is_to_say(name: str, said: Mapping[str, str], before: Completed, changed: tuple[str, ...] | None) -> bool:
    if name not in said:
        return name in OUTSIDE
    return changed is not None or said[name] == before.values.get(name)  # else it is the visitor's own word


def _with_value(prompt: str, name: str, value: str | None) -> str:
    if value in (None, "none"):
        return remove_words(prompt, name)
    return add_words(prompt, name, _WORDS.get((name, value), value))


def _is_english(prompt: str) -> bool:
    return read_words(prompt)[0].language == "en"
