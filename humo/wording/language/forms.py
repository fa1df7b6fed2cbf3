"""Forms of words: endings, compounds, clitics, and the one wrong letter of a typo. Ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from humo.wording.language.meanings import Meaning

SHORTEST_TYPO = 6
"""Letters of the longer one of a word and what it may have been meant to be."""
_GERMAN_ENDINGS = ("e", "en", "er", "es", "em", "n", "s")
_ARABIC_LEADS = ("وال", "بال", "فال", "كال", "ولل", "لل", "وب", "ول", "ال", "و", "ب", "ل", "ف", "ك")
_ARABIC_TAILS = ("ا", "ين", "ان", "ات")


def inflect(language: str, forms: Sequence[str], meaning: Meaning) -> Iterator[str]:
    """Further forms of an entry.

    Args:
        language: two letters.
        forms: folded words of the entry.
        meaning: tells nouns from adjectives.

    Yields:
        Folded forms, joined by blanks.
    """
    *before, last = forms
    for form in _MAKERS.get(language, _none)(last, meaning):
        yield " ".join([*before, form])


def _none(word: str, meaning: Meaning) -> Iterator[str]:
    yield from ()


def _english(word: str, meaning: Meaning) -> Iterator[str]:
    if meaning.role != "part" or len(word) < 3 or (word.endswith("s") and not word.endswith("ss")):
        return
    if word.endswith("y") and word[-2] not in "aeiou":
        yield word[:-1] + "ies"
    elif word.endswith(("x", "ch", "sh", "ss")):
        yield word + "es"
    else:
        yield word + "s"


def _german(word: str, meaning: Meaning) -> Iterator[str]:
    if meaning.role in ("part", "quality", "fact") and len(word) > 2:
        for ending in _GERMAN_ENDINGS:
            yield word + ending
        if word.endswith("e"):
            yield from (word + ending for ending in ("r", "m"))
        if word.endswith("el"):
            yield from (word[:-2] + "l" + ending for ending in _GERMAN_ENDINGS)


def _french(word: str, meaning: Meaning) -> Iterator[str]:
    if meaning.role in ("quality", "fact"):
        yield from (word + "e", word + "s", word + "es")
    if meaning.role == "part" and not word.endswith(("s", "x")):
        yield from (word + "s", word + "x")


def _spanish(word: str, meaning: Meaning) -> Iterator[str]:
    if word.endswith("o") and meaning.role in ("quality", "fact"):
        yield from (word[:-1] + ending for ending in ("a", "os", "as"))
    elif word[-1] in "aeiou":
        yield word + "s"
    elif not word.endswith("s"):
        yield word + "es"


def _hindi(word: str, meaning: Meaning) -> Iterator[str]:
    if word.endswith("ा") and meaning.role in ("part", "quality", "fact"):
        yield from (word[:-1] + ending for ending in ("े", "ी", "ों"))
    elif meaning.role == "part":
        stem = word[:-1] + "ि" if word.endswith("ी") else word
        yield from (stem + ending for ending in ("ों", "यों", "यां", "ें"))


_MAKERS: dict[str, Callable[[str, Meaning], Iterator[str]]] = {
    "en": _english, "de": _german, "fr": _french, "es": _spanish, "hi": _hindi,
}  # fmt: skip


def bare_arabic(word: str) -> Iterator[str]:
    """A word without what Arabic writes onto it, the shortest cut first: "and", "with", "the", the ending of a case."""
    for lead in ("", *_ARABIC_LEADS):
        if word.startswith(lead) and len(word) - len(lead) >= 2:
            stem = word.removeprefix(lead)
            yield stem
            for tail in _ARABIC_TAILS:
                if stem.endswith(tail) and len(stem) - len(tail) >= 2:
                    yield stem.removesuffix(tail)


def compound(word: str, entries: Mapping[str, Meaning]) -> tuple[str, str] | None:
    """A German compound as its first part and a known noun or adjective, "dunkelblau" as "dunkel" and "blau".

    Args:
        word: folded, itself no entry.
        entries: of the language.

    Returns:
        The two, or None; the first part need not be known where the second is long enough to be no chance.
    """
    for cut in range(2, len(word) - 2):
        first, second = word[:cut], word[cut:]
        if second not in entries or entries[second].role not in ("part", "quality", "fact"):
            continue
        if entries[second].says and entries[second].name == "person":
            continue
        stem = first.removesuffix("s") if first.removesuffix("s") in entries else first
        if stem in entries and entries[stem].role == "quality":
            return stem, second
    for cut in range(2, len(word) - 3):
        first, second = word[:cut], word[cut:]
        if second in entries and entries[second].role == "part" and entries[second].name in ("clothes", "glasses"):
            return "", second
    return None


def find_typo(word: str, entries: Mapping[str, Meaning], not_typos: frozenset[str]) -> str | None:
    """The entry that a long word misses by one letter: left out, added, wrong, or two in the wrong order.

    Args:
        word: folded, itself no entry.
        entries: of the language.
        not_typos: words that are right as they are.

    Returns:
        The entry, or None where there is none or where two of them mean different things.
    """
    if len(word) < SHORTEST_TYPO - 1 or word in not_typos or not word.isalpha():
        return None
    found = [
        form
        for form in set(_edits(word))
        if form in entries
        and entries[form].role != "function"
        and max(len(form), len(word)) >= SHORTEST_TYPO
        and form[0] == word[0]
    ]
    return found[0] if found and len({entries[form] for form in found}) == 1 else None


def _edits(word: str) -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        yield from (head + letter + tail for letter in letters)
