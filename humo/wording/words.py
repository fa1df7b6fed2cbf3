"""A text as words with meanings, in noun phrases. Ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from humo.wording.language.forms import bare_arabic, compound, find_typo
from humo.wording.language.lexicon import LATIN, LONGEST, Lexicon, detect, lexicon
from humo.wording.language.meanings import UNKNOWN, Meaning, function
from humo.wording.language.tokens import Token, is_han, tokenize
from humo.world.people import BACKGROUNDS, COLOURS

_JOINED = re.compile(r"[\s'’\-–]*")
"""What may be between the pieces of one entry."""
_STOPS = re.compile(r"[,.;:!?()\[\]/\n|—…、，。；：！？।،؛؟]|\s[-–]\s")
DRAWN = {*COLOURS, *BACKGROUNDS}
_CLITICS = {"و": "and", "ف": "and", "ب": "with", "ل": "", "ك": ""}
"""What Arabic writes onto the next word."""


@dataclass(slots=True)
class Word:
    """A word or an entry of several.

    Attributes:
        start: first character in the text.
        end: after the last one.
        form: folded.
        meaning: `UNKNOWN` where nobody knows it.
        phrase: number of its noun phrase; no two words that join others are in one.
        is_after_stop: whether a punctuation mark stands before it.
        is_negated: whether the text says that it is not so.
        person: 0 for the first one of the text, 1 for any other.
    """

    start: int
    end: int
    form: str
    meaning: Meaning
    phrase: int = -1
    is_after_stop: bool = False
    is_negated: bool = False
    person: int = 0

    @property
    def role(self) -> str:
        """As of its meaning."""
        return self.meaning.role

    @property
    def name(self) -> str:
        """As of its meaning."""
        return self.meaning.name

    def joins(self, *kinds: str) -> bool:
        """Whether it is a function word of one of the kinds."""
        return self.role == "function" and self.name in kinds


def read_words(text: str) -> tuple[Lexicon, list[Word]]:
    """The words of a text and the language that they are in."""
    pieces = tokenize(text)
    words = lexicon(detect(pieces))
    if words.letters:
        pieces = [piece._replace(form=words.letters.get(piece.form, piece.form)) for piece in pieces]
    found = list(_match(text, pieces, words))
    if words.language == "en":
        _forget_names(text, found)
    found = _join_unknown(text, found)
    _number_phrases(text, found)
    return words, _merge_tones(text, found, words.puts_after)


def _match(text: str, pieces: Sequence[Token], words: Lexicon) -> Iterator[Word]:
    """The longest entry at each place."""
    tables = [words] if words.language == "en" else [words, lexicon("en")]
    at = 0
    while at < len(pieces):
        longest = 1
        while (
            longest < LONGEST
            and at + longest < len(pieces)
            and _JOINED.fullmatch(text, pieces[at + longest - 1].end, pieces[at + longest].start)
        ):
            longest += 1
        for count in range(longest, 0, -1):
            if made := _entry(pieces[at : at + count], tables):
                yield from made
                at += count
                break
        else:
            yield from _alone(pieces[at], words)
            at += 1


def _entry(pieces: Sequence[Token], tables: Sequence[Lexicon]) -> list[Word]:
    """Words of an entry; none if there is no such entry."""
    start, end = pieces[0].start, pieces[-1].end
    forms = [piece.form for piece in pieces]
    for table in tables:
        form = " ".join(forms)
        if form in table.entries:
            meaning = table.entries[form]
            if table is not tables[0] and tables[0].language in LATIN and not _may_be_borrowed(form, meaning):
                continue
            return [Word(start, end, form, UNKNOWN if meaning.name == "unknown" else meaning)]
        if table.language == "ar":
            for first in bare_arabic(forms[0]):
                rest = [each if len(forms) == 1 else each.removeprefix("ال") for each in forms[1:]]
                for form in (" ".join([first, *forms[1:]]), " ".join([first, *rest])):
                    if form in table.entries:
                        lead = forms[0].partition(first)[0][:1]
                        joint = [Word(start, start, lead, function(_CLITICS[lead]))] if lead in _CLITICS else []
                        return [*joint, Word(start, end, form, table.entries[form])]
    return []


def _may_be_borrowed(form: str, meaning: Meaning) -> bool:
    """Whether an English word is read in a text of another language in Latin letters: no short one, no odd colour."""
    if meaning.role == "function":
        return True
    return meaning.role != "pronoun" and len(form) >= 3 and (meaning.name != "colour" or meaning.value in DRAWN)


def _alone(piece: Token, words: Lexicon) -> Iterator[Word]:
    """A word that is no entry: a compound, a typo, or unknown."""
    start, end, form = piece
    if words.language == "de" and (parts := compound(form, words.entries)):
        first, second = parts
        meaning = words.entries[second]
        if first:
            cut = start + min(len(first), end - start - 1)
            yield Word(start, cut, first, words.entries[first])
            yield Word(cut, end, second, meaning)
        else:
            yield Word(start, end, form, replace(meaning, is_near=True))
        return
    meant = find_typo(form, words.entries, words.not_typos) if words.language == "en" else None
    yield Word(start, end, form, words.entries[meant] if meant else UNKNOWN)


def _forget_names(text: str, words: Sequence[Word]) -> None:
    """ "uncle Bob" and "Mrs Brown" are no hair: a capital inside a sentence that has few."""
    capitals = [text[word.start].isupper() for word in words]
    if 2 * sum(capitals) > len(words):
        return
    for at in range(1, len(words)):
        is_inside = capitals[at] and not text[words[at].start : words[at].end].isupper()
        if is_inside and not _STOPS.search(text[words[at - 1].end : words[at].start]) and words[at].name in _NAMES:
            words[at].meaning = UNKNOWN


_NAMES = ("colour", "hair_colour", "hair")
"""Meanings that are names of people too."""


def _join_unknown(text: str, words: list[Word]) -> list[Word]:
    """Chinese characters that nobody knows, one after the other, count as one word; so do parts around a hyphen."""
    joined: list[Word] = []
    for word in words:
        last = joined[-1] if joined else None
        if last and word.role == last.role == "unknown":
            between = text[last.end : word.start]
            if between == "-" or (not between and is_han(word.form) and is_han(last.form[-1])):
                last.end, last.form = word.end, last.form + between + word.form
                continue
        joined.append(word)
    return joined


def _number_phrases(text: str, words: Sequence[Word]) -> None:
    phrase, end = 0, 0
    for word in words:
        word.is_after_stop = bool(_STOPS.search(text[end : word.start]))
        if word.is_after_stop:
            phrase += 1
        if word.role in ("function", "pronoun") and word.name != "thin":
            phrase += 1
        word.phrase = phrase
        if word.role in ("function", "pronoun") and word.name != "thin":
            phrase += 1
        end = max(end, word.end)


def _merge_tones(text: str, words: list[Word], puts_after: bool) -> list[Word]:
    """ "light" and "blue" become one colour."""
    merged: list[Word] = []
    for word in words:
        last = merged[-1] if merged else None
        if last and word.phrase == last.phrase and not word.is_after_stop and {word.role, last.role} == {"quality"}:
            tone, colour = (word, last) if puts_after and last.name != "tone" else (last, word)
            if tone.name == "tone" and colour.name in ("colour", "hair_colour"):
                value = f"{tone.meaning.value} {colour.meaning.value}"
                meaning = replace(colour.meaning, value=value, is_near=True)
                merged[-1] = replace(last, end=word.end, form=f"{last.form} {word.form}", meaning=meaning)
                continue
        merged.append(word)
    return merged
