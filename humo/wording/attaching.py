"""Which thing a quality belongs to: whose "red" it is.

A quality belongs to the noun of its own phrase, the one after it or before it as the language has it; without one, to
what a list goes on to ("long and curly hair") or what the sentence spoke of last ("her hair is short and grey"). Ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from humo.wording.words import Word

CLOTHES = -1
"""Clothes that are not named: "a woman in black"."""
WALL = -3
"""The background, where its pattern is all that is named: "purple dots behind her"."""
ALONE = -2
"""No thing at all; what the quality says must be clear by itself."""

_BETWEEN = ("and", "or", "be", "thin", "", "have", "not", "behind")
"""What may stand between a thing and what is said of it later: "the wall behind him is green"."""


def find_part(words: Sequence[Word], at: int, puts_after: bool) -> int | None:
    """Index of the word that a quality belongs to.

    Args:
        words: of the text.
        at: index of the quality.
        puts_after: whether the language puts qualities after nouns.

    Returns:
        Index, `CLOTHES` or `ALONE`; None where it belongs to something that is not known.
    """
    if words[at].name == "pattern":
        return _part_of_pattern(words, at, puts_after)
    return _look(words, at, puts_after, depth=0)


def _look(words: Sequence[Word], at: int, puts_after: bool, depth: int) -> int | None:
    first, second = (-1, 1) if puts_after else (1, -1)
    near = _in_phrase(words, at, first)
    if near is not None and words[near].role == "part":
        return near
    other = _in_phrase(words, at, second)
    if other is not None and words[other].role == "part" and (puts_after or other == at - 1 or near is None):
        return other
    if (pattern := _pattern_in_phrase(words, at)) is not None:
        found = _part_of_pattern(words, pattern, puts_after)
        return WALL if found == ALONE else found
    if not puts_after and near is None and depth < 4:  # "long and curly hair"
        next_ = _next_in_list(words, at)
        if next_ is not None and (found := _look(words, next_, puts_after, depth + 1)) is not None and found > at:
            return found
    if near is not None and puts_after and (whole := _made_of(words, near)) is not None:
        return whole
    if near is not None and words[at].name not in ("hair_colour", "skin"):
        return None
    if near is None and (back := _spoken_of(words, at)) is not None:
        return back
    return ALONE


def _in_phrase(words: Sequence[Word], at: int, step: int) -> int | None:
    """The first part of the phrase on one side; else a word there that nobody knows; else None."""
    unknown = None
    place = at + step
    while 0 <= place < len(words) and words[place].phrase == words[at].phrase:
        if words[place].role == "part":
            return place
        if words[place].role == "unknown" and unknown is None:
            unknown = place
        place += step
    return unknown


def _made_of(words: Sequence[Word], at: int) -> int | None:
    """The clothes or wall that an unknown word describes: "chemise à carreaux verte"."""
    if at >= 2 and words[at - 1].form in ("a", "de", "d") and words[at - 2].name in ("clothes", "wall"):
        return at - 2
    return None


def _pattern_in_phrase(words: Sequence[Word], at: int) -> int | None:
    for place, word in enumerate(words):
        if word.phrase == words[at].phrase and word.role == "quality" and word.name == "pattern" and place != at:
            return place
    return None


def _next_in_list(words: Sequence[Word], at: int) -> int | None:
    """The next quality behind "and" or a comma."""
    place = at + 1
    while place < len(words) and (words[place].joins("and", "or", "thin")):
        place += 1
    is_list = place > at + 1 or (place < len(words) and words[place].is_after_stop)
    if is_list and place < len(words) and words[place].role == "quality":
        return place
    return None


def _spoken_of(words: Sequence[Word], at: int) -> int | None:
    """What the sentence spoke of last, where only words that may stand between come before the quality."""
    for place in range(at - 1, -1, -1):
        word = words[place]
        if word.role == "part":
            return None if words[place + 1].is_after_stop and place + 1 == at else place
        if word.joins("wear"):
            return CLOTHES
        if word.joins("in"):
            before = words[place - 1] if place else None
            is_of_that = before is not None and before.role == "part" and before.name in ("clothes", "hair", "wall")
            return place - 1 if is_of_that else CLOTHES
        is_between = word.role in ("quality", "pronoun") or word.joins(*_BETWEEN)
        if not is_between or (words[place + 1].is_after_stop and word.role != "quality"):
            return None
    return None


def _part_of_pattern(words: Sequence[Word], at: int, puts_after: bool) -> int | None:
    """Stripes and dots are read on walls; on clothes they belong to those."""
    for step in (-1, 1) if puts_after else (1, -1):
        found = _in_phrase(words, at, step)
        if found is not None and words[found].role == "part":
            return found
    if any(word.joins("behind") for word in words[at + 1 : at + 4]):
        return ALONE
    for place in range(at - 1, -1, -1):
        if words[place].role == "part" and words[place].name in ("wall", "clothes", "hair", "skin"):
            return place
    for place in range(at + 1, len(words)):
        if words[place].role == "part":
            return place
    return ALONE
