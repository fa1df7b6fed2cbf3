"""Where a phrase goes in a sentence about a person: articles, commas, "with" and "and".

A sentence is taken as phrases whose places are known, in the order of `Slot`, with anything else between them. Only
what is asked for is written; everything else stays as it is. Ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class Slot(IntEnum):
    """Kinds of phrases, in the order in which they follow one another."""

    FRAMING = 0
    PERSON = 1
    TRAIT = 2
    CLOTHES = 3
    BACKGROUND = 4
    MOTION = 5
    SPEECH = 6
    POSITION = 7


class Known(NamedTuple):
    """A phrase of the sentence."""

    slot: Slot
    start: int
    """First character, with the words that join it to the sentence."""
    end: int
    """After its last character."""


_ARTICLE = re.compile(r"\b(a|an)(\s+)$", re.IGNORECASE)
_AND = re.compile(r",?\s+and\s*$", re.IGNORECASE)
_WITH = re.compile(r"\s+(?:with|who has)\s+", re.IGNORECASE)
_JOINED_BEHIND = re.compile(r"(?:,\s*(?:and\s+)?|\s+and\s+)$", re.IGNORECASE)
_LIST_GOES_ON = re.compile(r"(?:,?\s+and|,)\s+(?!(?:in|before|against|wearing|dressed|who|with)\b)", re.IGNORECASE)
_LEAD = re.compile(r"\s+(?:with|who has|wearing|in)\s*$", re.IGNORECASE)
_OPENING = re.compile(r"(?:an?|the)\b", re.IGNORECASE)


def article(phrase: str) -> str:
    """The phrase behind "a" or "an"."""
    return f"{'an' if phrase[:1].lower() in 'aeiou' else 'a'} {phrase}"


def splice(text: str, start: int, end: int, new: str) -> str:
    """Put `new` in the place of text[start:end]; an article before it, and a capital at the beginning, follow suit."""
    before, after = text[:start], text[end:]
    if found := _ARTICLE.search(before):
        fitting = article(new + after.lstrip()).split()[0]
        before = before[: found.start()] + (fitting.capitalize() if found[1][0] == "A" else fitting) + found[2]
    if start == 0 and text[:1].isupper():
        new = new[:1].upper() + new[1:]
    return before + new + after


def insert(text: str, known: Sequence[Known], slot: Slot, new: str, lead: str = "") -> str:
    """Add a phrase.

    Args:
        text: the sentence.
        known: its phrases, in any order.
        slot: of the new phrase.
        new: the phrase, with its article.
        lead: what joins it to the sentence, such as "in".

    Returns:
        The sentence with the phrase after all that come before it and before all that come after it.
    """
    body = text.rstrip(" .,;!?")
    end = text[len(body) :].strip()
    if slot is Slot.FRAMING:
        return _framed(body, known, new) + end
    if slot is Slot.TRAIT and (longer := _with_trait(body, known, new)):
        return longer + end
    place = _place(body, known, slot)
    left, right = body[:place].rstrip(" ,"), body[place:].lstrip(" ,")
    gap = body[len(left) : len(body) - len(right)]
    return _joined(left, right, gap, known, slot, f"{lead} {new}".strip()) + end


def drop(text: str, start: int, end: int) -> str:
    """Take text[start:end], a phrase with or without its article, and what joined it to the sentence out of it."""
    before, after = _ARTICLE.sub("", text[:start]), text[end:]
    if _JOINED_BEHIND.search(before):
        return _JOINED_BEHIND.sub("", before) + after
    if follows := _LIST_GOES_ON.match(after):
        return before + after[follows.end() :]
    return _LEAD.sub("", before) + after


def _framed(body: str, known: Sequence[Known], new: str) -> str:
    """The framing comes first: "close-up of a woman"."""
    starts_with_person = any(phrase.slot is Slot.PERSON and phrase.start == 0 for phrase in known)
    if body[:1].isupper():
        new = new[0].upper() + new[1:]
    if _OPENING.match(body):
        body = body[0].lower() + body[1:]
    elif not starts_with_person:
        return f"{new}, {body}"
    return f"{new} of {body}"


def _with_trait(body: str, known: Sequence[Known], new: str) -> str | None:
    """Traits form one list behind "with"; None if there is neither a trait nor a person to join."""
    traits = [phrase for phrase in known if phrase.slot is Slot.TRAIT]
    persons = [phrase for phrase in known if phrase.slot is Slot.PERSON]
    if traits:
        last = max(traits, key=lambda phrase: phrase.end)
        before, own, after = body[: last.start], body[last.start : last.end], body[last.end :]
        if re.match(r"\s+and\b", after):
            return f"{before}{own}, {new}{after}"
        return f"{_AND.sub(', ', before)}{own} and {new}{after}"
    if not persons:
        return None
    before, after = body[: persons[0].end], body[persons[0].end :]
    if joint := _WITH.match(after):
        clause = after[joint.end() :].split(",")[0]
        return f"{before}{joint[0]}{new}{', ' if ' and ' in clause else ' and '}{after[joint.end() :]}"
    return f"{before} with {new}{after}"


def _place(body: str, known: Sequence[Known], slot: Slot) -> int:
    """Where a phrase of a slot begins."""
    before = max((phrase.end for phrase in known if phrase.slot <= slot), default=0)
    after = min((phrase.start for phrase in known if phrase.slot > slot and phrase.start >= before), default=len(body))
    if slot >= Slot.MOTION or before == 0:  # an action follows what the visitor has written of the looks
        return after
    if re.match(r"\s+(?:and|or)\b", body[before:]):  # a list goes on: stay out of it
        comma = body.find(",", before, after)
        return after if comma < 0 else comma
    return before


def _joined(left: str, right: str, gap: str, known: Sequence[Known], slot: Slot, new: str) -> str:
    """Left, new and right with what belongs between them."""
    ends = {phrase.end: phrase.slot for phrase in known}
    starts = {phrase.start - len(left) - len(gap): phrase.slot for phrase in known}
    before, after = ", ", gap if gap.strip() else ", "
    if ends.get(len(left)) is Slot.PERSON:
        before, after = " ", gap
    if slot is Slot.PERSON and starts.get(0) is not None:
        after = " "
    if slot is Slot.SPEECH and ends.get(len(left)) is Slot.MOTION:
        before = " and "
    if slot is Slot.MOTION and starts.get(0) is Slot.SPEECH:
        after = " and "
    return (left + before if left else "") + new + (after + right if right else "")
