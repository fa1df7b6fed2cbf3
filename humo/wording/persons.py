"""Who a word speaks of: the first person of a text, who is drawn, or another one. Ours."""

from __future__ import annotations

from collections.abc import Sequence

from humo.wording.words import Word


def mark_persons(words: Sequence[Word]) -> None:
    """Sets `person` of every word: 1 from another person on, until a pronoun goes back to the first."""
    gender, current = "", 0
    for at, word in enumerate(words):
        said = dict(word.meaning.says).get("gender", "")
        if word.role == "part" and word.name == "person" and not word.is_negated:
            is_same_phrase = at > 0 and words[at - 1].phrase == word.phrase and words[at - 1].name == "person"
            if gender == "" and not _is_other(words, at):
                gender = said or gender
            elif not is_same_phrase and (_is_other(words, at) or (said and gender and said != gender)):
                current = 1
            if not is_same_phrase and current == 1 and said == gender and not _is_other(words, at):
                current = 0
        elif word.role == "pronoun":
            gender = gender or said
            if word.name != "weak":  # which other languages use of things and of the weather too
                current = 0 if said == gender else 1
        word.person = current


def _is_other(words: Sequence[Word], at: int) -> bool:
    """Whether a person is announced as one more: "and a man", "another girl", "next to her friend"."""
    has_earlier = any(word.role == "part" and word.name == "person" for word in words[:at])
    if not has_earlier:
        return False
    for place in range(at - 1, -1, -1):
        word = words[place]
        if word.joins("other", "with"):
            return True
        if word.joins("and"):
            before = words[place - 1] if place else None
            return before is not None and before.name == "person"
        if not (word.joins("", "thin") or (word.role in ("quality", "unknown") and word.phrase == words[at].phrase)):
            return False
    return False
