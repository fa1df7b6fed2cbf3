"""A visitor's own words as the small model reads them.

Mini knows the words with which it was trained, and passes over any other. Here a text in anybody's words, in seven
languages, is read for what the drawn world has; what it has only nearly is replaced by the nearest, and what it has not
is told. Ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from humo.wording import caption
from humo.wording.claims import Claim, make_claims
from humo.wording.words import Word, read_words
from humo.world.attributes import OPTIONS

NOT_BY_WORDS = ("eye_colour",)
"""Attributes of the drawn world that no caption of the training named: mini takes them from a picture only."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the visitor's text."""

    start: int
    """First character."""
    end: int
    """After the last one."""
    kind: str
    """ "read", "replaced" or "unknown"."""
    what: str
    """What is read or drawn instead, such as "grey hair"; empty for the unknown."""
    attributes: tuple[str, ...] = ()
    """Attributes of the drawn world that it states."""


@dataclass(frozen=True)
class Understood:
    """A text and what mini makes of it."""

    text: str
    """As written."""
    prompt: str
    """What mini reads: the text itself where it is all in mini's own words, else a caption in them."""
    attributes: dict[str, str]
    """Attributes of the drawn world that the text states (`humo.world.people`; also "speech"), to their values.
    "none" where it denies glasses or beard."""
    replaced: list[tuple[str, str]]
    """(in the visitor's words, what is drawn)."""
    unknown: list[str]
    """In the visitor's words, what cannot be drawn."""
    spans: list[Span]
    """Of all three kinds, in order."""

    @property
    def denied(self) -> str:
        """A caption of what the text denies, for a negative prompt; empty for nothing.

        Mini knows no word for what is not there, and draws glasses and beards now and then where nobody names them.
        """
        denied = {name: _DENIED[name] for name, value in self.attributes.items() if value == "none"}
        return caption.write(denied) if denied else ""

    @property
    def is_as_written(self) -> bool:
        """Whether mini reads the text itself."""
        return self.prompt == self.text


_DENIED = {"glasses": "round", "beard": "beard"}
"""What stands for all of a kind."""


@lru_cache(maxsize=256)
def understand(prompt: str) -> Understood:
    """Read a text for the small model.

    Args:
        prompt: in English, German, French, Spanish, Chinese, Hindi or Arabic.

    Returns:
        What is read, replaced and unknown.
    """
    lexicon, words = read_words(prompt)
    claims = make_claims(words, lexicon.puts_after)
    accepted = {claim.attribute: claim.value for claim in claims if claim.counts and claim.attribute}
    spans = _spans(prompt, words, claims)
    attributes = {name: accepted[name] for name in _ORDER if name in accepted}
    is_own = lexicon.language == "en" and all(span.kind == "read" for span in spans) and caption.is_own(words)
    read = prompt if is_own and words else caption.write(accepted)
    replaced = [(prompt[span.start : span.end], span.what) for span in spans if span.kind == "replaced"]
    unknown = [prompt[span.start : span.end] for span in spans if span.kind == "unknown"]
    return Understood(prompt, read, attributes, replaced, unknown, spans)


_ORDER = (*OPTIONS, "eye_colour", "speech")


def ours(attribute: str, value: str) -> str:
    """How a value is called where it stands in the place of a visitor's word."""
    if attribute in ("hair_colour", "hair_style"):
        return f"hair in a {value}" if value == "bun" else value if value == "bald" else f"{value} hair"
    if attribute in ("background", "pattern"):
        return f"{value} background"
    if attribute == "skin":
        return f"{value} skin"
    if attribute == "glasses" and value in ("round", "square"):
        return f"{value} glasses"
    return value


def _spans(text: str, words: Sequence[Word], claims: Sequence[Claim]) -> list[Span]:
    spans: list[Span] = []
    by_word: dict[int, list[Claim]] = {}
    for claim in claims:
        by_word.setdefault(claim.word, []).append(claim)
    for at in range(len(words)):
        span = _span(words, at, by_word.get(at, ()), claims)
        if span is None:
            continue
        last = spans[-1] if spans else None
        if last and span.kind == last.kind == "unknown" and not text[last.end : span.start].strip(" -"):
            spans[-1] = Span(last.start, span.end, "unknown", "")
        elif last is not None and span.start < last.end:
            spans[-1] = replace(last, end=max(last.end, span.end))
        else:
            spans.append(span)
    return spans


def _span(words: Sequence[Word], at: int, own: Sequence[Claim], claims: Sequence[Claim]) -> Span | None:
    word = words[at]
    counted = [claim for claim in own if claim.counts]
    if word.role == "function" or (word.role == "pronoun" and not counted):
        return None
    if any(claim.attribute in NOT_BY_WORDS for claim in counted) or word.name == "eyes":
        return Span(word.start, word.end, "unknown", "")
    if counted:
        what = ", ".join(dict.fromkeys(ours(each.attribute, each.value) for each in counted if each.attribute))
        is_near = any(claim.is_near for claim in counted)
        stated = tuple(dict.fromkeys(claim.attribute for claim in counted if claim.attribute))
        return Span(word.start, word.end, "replaced" if is_near else "read", what, stated)
    if word.role == "part" and not own and not word.meaning.says and _is_mentioned(words, at, claims):
        if word.meaning.is_near:
            return Span(word.start, word.end, "replaced", "person" if word.name == "person" else word.name)
        return Span(word.start, word.end, "read", "")
    return Span(word.start, word.end, "unknown", "")


def _is_mentioned(words: Sequence[Word], at: int, claims: Sequence[Claim]) -> bool:
    """Whether a thing without a value of its own is drawn: persons always are, the rest with what is said of it."""
    word = words[at]
    if word.person == 1 and word.name != "wall":
        return False
    if word.name == "person":
        neighbours = [words[each] for each in (at - 1, at + 1) if 0 <= each < len(words)]
        is_beside = any(each.name == "person" and each.phrase == word.phrase for each in neighbours)
        return not word.is_negated and not (is_beside and word.meaning.is_near)
    return any(claim.counts and claim.part == at for claim in claims) or not word.is_negated
