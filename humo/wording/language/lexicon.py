"""The tables of words, language by language, and which language a text is in.

`languages/*.json` lists words by meaning (`meanings`); inflected forms are made here or found by `forms`. English has
mini's own words besides (`humo.world.captions`), and every name of a colour. Ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from humo.wording import colours
from humo.wording.language.forms import inflect
from humo.wording.language.meanings import Meaning, function, read_key
from humo.wording.language.tokens import Token, is_han, tokenize
from humo.world.captions import SYNONYMS

FOLDER = Path(__file__).parents[1] / "languages"
LATIN = ("en", "de", "fr", "es")
LONGEST = 7
"""Most pieces of an entry."""
_OWN = {
    "woman": "gender:woman", "man": "gender:man", "person": "person", "curly": "hair_style:curly",
    "spiky": "hair_style:spiky", "t-shirt": "garment:t-shirt", "shirt": "garment:shirt", "hoodie": "garment:hoodie",
    "turtleneck": "garment:turtleneck", "dress": "garment:dress", "round": "glasses:round", "square": "glasses:square",
    "sunglasses": "glasses:sunglasses", "beard": "beard:beard", "moustache": "beard:moustache",
    "close-up": "framing:close-up", "medium": "framing:medium", "wide": "framing:wide", "left": "position:left",
    "centre": "position:centre", "right": "position:right", "still": "motion:still", "nods": "motion:nods",
    "shakes": "motion:shakes", "sways": "motion:sways", "talks": "speech:talks", "silent": "speech:silent",
}  # fmt: skip
"""Meanings of the world's synonyms; colours, tones and kinds of skin are qualities in the tables."""


@dataclass
class Lexicon:
    """Words of one language.

    Attributes:
        language: two letters.
        puts_after: whether qualities follow what they belong to.
        entries: pieces' forms joined by blanks, to a meaning; several where the noun decides.
        not_typos: forms that are one letter away from an entry and mean something else.
        letters: Chinese characters by their traditional form.
    """

    language: str
    puts_after: bool
    entries: dict[str, Meaning] = field(default_factory=dict)
    not_typos: frozenset[str] = frozenset()
    letters: dict[str, str] = field(default_factory=dict)

    def add(self, words: str, meaning: Meaning, is_final: bool = True) -> None:
        """Enter words separated by commas; `is_final` puts them in the place of earlier ones."""
        for word in words.split(","):
            forms = [piece.form for piece in tokenize(word.strip())]
            if not forms:
                continue
            for form in [" ".join(forms), *inflect(self.language, forms, meaning)]:
                if is_final and form == " ".join(forms):
                    self.entries[form] = meaning
                else:
                    self.entries.setdefault(form, meaning)


@cache
def lexicon(language: str) -> Lexicon:
    """Words of a language: en, de, fr, es, zh, hi or ar."""
    table = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    made = Lexicon(language, table["adjectives"] == "after")
    made.letters = dict(zip(table.get("traditional", ""), table.get("simplified", ""), strict=True))
    for key, words in table["words"].items():
        made.add(words, read_key(key))
    if language == "en":
        for name, key in _OWN.items():
            made.add(",".join(SYNONYMS[name]), read_key(key))
        for name in colours.names():
            if name.replace(" ", "") not in made.entries:
                made.add(name, Meaning("quality", "colour", name), is_final=False)
    for kind, words in table["function"].items():
        for each in words.split(","):
            form = " ".join(piece.form for piece in tokenize(each.strip()))
            if form and (form not in made.entries or kind == "not" and " " in form):
                made.entries[form] = function(kind)
    made.not_typos = frozenset(piece.form for piece in tokenize(table.get("not_typos", "")))
    return made


def languages() -> Iterator[str]:
    """All that are read."""
    yield from sorted(path.stem for path in FOLDER.glob("*.json"))


def detect(pieces: Sequence[Token]) -> str:
    """Language of a text: by its script, among those in Latin letters by the words that it knows.

    Returns:
        Two letters; English where nothing tells.
    """
    counts = {"zh": 0, "hi": 0, "ar": 0}
    latin = []
    for piece in pieces:
        if is_han(piece.form):
            counts["zh"] += 1
        elif "\u0900" <= piece.form[0] <= "\u097f":
            counts["hi"] += 2
        elif "\u0600" <= piece.form[0] <= "\u06ff":
            counts["ar"] += 2
        else:
            latin.append(piece.form)
    language = max(counts, key=counts.__getitem__)
    if counts[language] * 2 >= len(latin) and counts[language]:
        return language
    known = {each: sum(_worth(lexicon(each), form) for form in latin) for each in LATIN}
    return max(known, key=known.__getitem__)


def _worth(words: Lexicon, form: str) -> int:
    """How much a word speaks for a language."""
    meaning = words.entries.get(form)
    return 0 if meaning is None else 2 if meaning.role == "function" else 3
