"""A text in pieces: words of any script with their places, each also in the form in which tables are searched.

Ours.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_MARKS = (
    "\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d"
)
"""Accents, vowel signs of Arabic and Devanagari, joiners: parts of a word that Python's \\w leaves out."""
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECE = re.compile(
    rf"[{_HAN}]|(?:(?![{_HAN}])[\w{_MARKS}])+?(?=n['’]t\b)|n['’]t\b|(?:(?![{_HAN}])[\w{_MARKS}])+|&", re.I
)
"""A Chinese character, a verb before "n't", that itself, any other word, "&"."""
_ARABIC = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ئ": "ي", "ؤ": "و", "ـ": None})
_SHARP = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ı": "i", "ł": "l"})
_DROPPED = {"\u093c", "\u200c", "\u200d"}
"""The dot of Hindi's loan letters, which many leave out, and joiners."""


class Token(NamedTuple):
    """A word, or one Chinese character."""

    start: int
    end: int
    form: str
    """As tables are searched: small letters without accents."""


def fold(text: str) -> str:
    """The form in which words are compared.

    Small letters without accents and vowel signs, compatibility forms resolved. Vowel signs of Hindi stay, for they
    are letters; its two nasal signs count as one, as do the forms of the Arabic alif.
    """
    letters = []
    for letter in unicodedata.normalize("NFKD", text.casefold().translate(_SHARP)):
        if letter == "\u0901":
            letter = "\u0902"
        if letter in _DROPPED or (unicodedata.combining(letter) and not "\u0900" <= letter <= "\u097f"):
            continue
        letters.append(letter)
    return unicodedata.normalize("NFC", "".join(letters)).translate(_ARABIC)


def tokenize(text: str) -> list[Token]:
    """Words of a text in order; "doesn't" is "does" and "n't", each Chinese character is a piece.

    Args:
        text: in any script.

    Returns:
        Pieces, none empty; what is between them is no word.
    """
    found = (Token(*match.span(), fold(match[0]).replace("'", "").replace("’", "")) for match in _PIECE.finditer(text))
    return [piece for piece in found if piece.form.strip("_")]


def is_han(form: str) -> bool:
    """Whether a form is one Chinese character."""
    return re.fullmatch(rf"[{_HAN}]", form) is not None
