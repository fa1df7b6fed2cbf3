"""What a text says is not so: "no glasses", "sin barba", "चश्मे के बिना". Ours."""

from __future__ import annotations

from collections.abc import Sequence

from humo.wording.words import Word

_OFTEN_ABSENT = ("glasses", "beard")
"""What "and" still negates: "without glasses and beard", but not "without glasses and a red shirt"."""


def mark_negated(words: Sequence[Word]) -> None:
    """Sets `is_negated` of every word that a text denies."""
    for at, word in enumerate(words):
        if word.joins("not"):
            if not _deny_after(words, at):
                _deny_before(words, at)
        elif word.joins("not_before"):
            _deny_before(words, at)


def _is_content(word: Word) -> bool:
    return word.role in ("part", "quality", "fact", "unknown")


def _deny_after(words: Sequence[Word], at: int) -> bool:
    """Denies what follows up to the end of the phrase or of a list with "or"."""
    has_denied = False
    for place in range(at + 1, len(words)):
        word = words[place]
        if word.is_after_stop and (not has_denied or not _goes_on(words, place)):
            break
        if word.joins("but", "not_before") or (word.joins("with", "wear", "in", "wall", "behind") and has_denied):
            break
        if word.joins("and") and has_denied and not _is_often_absent(words, place + 1):
            break
        if word.role == "pronoun" and has_denied:
            break
        if _is_content(word):
            if has_denied and _starts_anew(words, place):
                break
            word.is_negated = has_denied = True
    return has_denied


def _starts_anew(words: Sequence[Word], place: int) -> bool:
    """Whether a word is no more of what is denied: "without a beard talks", "没戴眼镜的男孩"."""
    word = words[place]
    if word.phrase == words[place - 1].phrase:
        return word.role == "fact" or (word.name == "person" and words[place - 1].role != "quality")
    return not _is_listed(words, place)


def _is_listed(words: Sequence[Word], place: int) -> bool:
    """Whether a joining word or comma of a list, with an article or not, comes right before."""
    for before in range(place - 1, -1, -1):
        word = words[before]
        if word.joins("and", "or", "not"):
            return True
        if words[before + 1].is_after_stop:
            return True
        if not word.joins("", "thin"):
            return False
    return False


def _goes_on(words: Sequence[Word], place: int) -> bool:
    """Whether a comma is one of a list that ends in "or"."""
    for word in words[place : place + 6]:
        if word.joins("or"):
            return True
        if word.joins("with", "in", "wear", "wall", "and", "but", "not", "be", "have") or word.role == "pronoun":
            return False
    return False


def _is_often_absent(words: Sequence[Word], place: int) -> bool:
    for word in words[place : place + 3]:
        if word.role == "part":
            return word.name in _OFTEN_ABSENT
        if not word.joins("", "thin"):
            return False
    return False


def _deny_before(words: Sequence[Word], at: int) -> None:
    """Denies the phrase before, as where the negation ends the clause."""
    for place in range(at - 1, -1, -1):
        word = words[place]
        if word.role in ("part", "fact", "quality"):
            for each in words:
                if each.phrase == word.phrase and _is_content(each) and each.name != "person":
                    each.is_negated = True
            return
        if words[place + 1].is_after_stop:
            return
