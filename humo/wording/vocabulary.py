"""What the mini model understands, as words to choose, and the sentence that they make.

The words are those of the drawn world (`humo.world.captions`), whose captions the mini model learned to read. A chosen
word takes the place of an earlier one of its group, or goes where that grammar would put it; whatever else a visitor
has written stays as it is. Everything here is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from humo.wording import understand
from humo.wording.sentence import Known, Slot, article, drop, insert, splice
from humo.world.attributes import OPTIONS
from humo.world.captions import SYNONYMS


@dataclass(frozen=True, slots=True)
class Group:
    """Words of which a prompt needs at most one."""

    key: str
    """Name of an attribute in `humo.world.attributes`, or "speech"."""
    title: str
    """A word or two, for a heading."""
    words: dict[str, tuple[str, ...]]
    """What is written, to the world's ways of saying it, which are recognised."""


def _group(key: str, title: str, words: dict[str, str]) -> Group:
    """A group from {what is written: name of the world's synonyms}."""
    return Group(key, title, {word: SYNONYMS.get(said, (said,)) for word, said in words.items()})


def _named(key: str, end: str = "") -> dict[str, str]:
    """The values of an attribute of the world, each written as it is called."""
    return {name: f"{name}{end}" for name in OPTIONS[key]}


BUN, NO_HAIR = "in a bun", "no hair"
GROUPS = (
    _group("gender", "Person", _named("gender")),
    _group("hair_style", "Hair", {name: name for name in ("short", "long", "curly", "spiky", BUN, NO_HAIR)}),
    _group("hair_colour", "Hair colour", _named("hair_colour", " hair")),
    _group("skin", "Skin", {**_named("skin"), "brown": "brown skin"}),
    _group("glasses", "Glasses", {"round glasses": "round", "square glasses": "square", "sunglasses": "sunglasses"}),
    _group("beard", "Beard", {"beard": "beard", "moustache": "moustache"}),
    _group("garment", "Clothes", _named("garment")),
    _group("colour", "Their colour", _named("colour")),
    _group("background", "Background", _named("background")),
    _group("pattern", "Its pattern", {"plain": "plain", "striped": "striped", "dotted": "polka dot"}),
    _group("motion", "Movement", {"holds still": "still", "nods": "nods", "shakes the head": "shakes",
                                  "sways": "sways"}),
    _group("speech", "Speech", {"talks": "talks", "is silent": "silent"}),
    _group("position", "Place", {"on the left": "left", "in the middle": "centre", "on the right": "right"}),
    _group("framing", "Framing", {"close-up": "close-up", "medium shot": "medium", "wide shot": "wide"}),
)  # fmt: skip
"""All of them, in the order in which a person is described."""
_WORDS = {group.key: group.words for group in GROUPS}
_OF_VALUES = {
    "hair_style": {name: {"bun": BUN, "bald": NO_HAIR}.get(name, name) for name in OPTIONS["hair_style"]},
    "glasses": {"round": "round glasses", "square": "square glasses", "sunglasses": "sunglasses"},
    "pattern": {"plain": "plain", "stripes": "striped", "dots": "dotted"},
    "motion": {"still": "holds still", "nods": "nods", "shakes": "shakes the head", "sways": "sways"},
    "speech": {"talks": "talks", "silent": "is silent"},
    "position": {"left": "on the left", "centre": "in the middle", "right": "on the right"},
    "framing": {"close-up": "close-up", "medium": "medium shot", "wide": "wide shot"},
}
"""Words by the world's values; those of any other group are the values themselves."""


def _any_of(forms: Iterable[str], before: str = "", after: str = "") -> re.Pattern[str]:
    """Finds one of the forms as whole words, the longest of those that begin at one place."""
    ordered = sorted({re.escape(form.removeprefix("a ")) for form in forms}, key=len, reverse=True)
    return re.compile(rf"{before}(?<![\w-])(?:{'|'.join(ordered)})(?![\w'-]){after}", re.IGNORECASE)


def _forms(key: str) -> list[str]:
    return [form for word, said in _WORDS[key].items() for form in (word, *said)]


@dataclass(frozen=True)
class _Phrase:
    """A part of the sentence: a noun, of a group or not, with groups of adjectives."""

    slot: Slot
    noun: re.Pattern[str]
    lead: str = ""
    """What joins a new one to the sentence."""
    default: str = ""
    """The noun, where only an adjective is chosen."""
    adjectives: tuple[str, ...] = ()
    """Groups, in the order of speaking."""
    is_counted: bool = False
    """Whether a new one has an article."""


_PERSON = _any_of([*_forms("gender"), *SYNONYMS["person"]])
_SKIN = _Phrase(Slot.TRAIT, _any_of(["skin"]), "with", "skin", ("skin",))
_HAIR = _Phrase(Slot.TRAIT, _any_of(["hair", "bun"], "(?<!facial )"), "with", "hair", ("hair_style", "hair_colour"))
_CLOTHES = _Phrase(Slot.CLOTHES, _any_of(_forms("garment")), "in", "shirt", ("colour",), is_counted=True)
_WALL = _Phrase(
    Slot.BACKGROUND,
    _any_of(["wall", "background", "backdrop"]),
    *("before", "wall", ("pattern", "background")),
    is_counted=True,
)
_AT_BEGINNING = "(?:^|(?<=, )|(?<=^a )|(?<=^A ))"
_PHRASES = {
    "gender": _Phrase(Slot.PERSON, _PERSON, is_counted=True),
    **dict.fromkeys(_HAIR.adjectives, _HAIR),
    "skin": _SKIN,
    "glasses": _Phrase(Slot.TRAIT, _any_of([*_forms("glasses"), "glasses", "spectacles"]), "with"),
    "beard": _Phrase(Slot.TRAIT, _any_of(_forms("beard")), "with", is_counted=True),
    **dict.fromkeys(("garment", *_CLOTHES.adjectives), _CLOTHES),
    **dict.fromkeys(_WALL.adjectives, _WALL),
    "motion": _Phrase(Slot.MOTION, _any_of(_forms("motion"))),
    "speech": _Phrase(Slot.SPEECH, _any_of(_forms("speech"))),
    # "looks to the left" and "in the middle of a street" are the visitor's own.
    "position": _Phrase(
        Slot.POSITION, _any_of(_forms("position"), "(?<!looks )(?<!turns )(?<!moves )", r"(?!\s+of\b)")
    ),
    "framing": _Phrase(Slot.FRAMING, _any_of(_forms("framing"), _AT_BEGINNING, r"(?=\s+of\b|\s*[,.]|$)")),
}
"""By group."""

_EXCHANGED = ("gender", "garment", "colour", "background")
"""Groups of which a word alone says all, so that it can take the place of a visitor's own."""

_FORMS = {key: _any_of(_forms(key)) for key in _WORDS}
# No adjectives: what is searched for before a noun ends at these words.
_STOP = "an?|the|his|her|their|with|and|or|in|on|at|of|before|against|who|has|have|wears|wearing|is"
_JOINTS = re.compile(
    r"(?:\b(?:in front of|before|against|dressed in|wearing|who wears|in|with|who has)\s+)?(?:\b(?:an?|the)\s+)?$",
    re.IGNORECASE,
)
_NEAR = 100
"""Characters before a noun in which its adjectives are looked for."""
_JOINED = re.compile(r"[,\s]*(?:and\s+)?", re.IGNORECASE)
_NO_HAIR = re.compile(r"\bno hair\b|\b(?:a )?bald head\b", re.IGNORECASE)
_BALD = re.compile(rf"\bbald (?={_PERSON.pattern})", re.IGNORECASE)
_BUN_BEHIND = re.compile(r"(?<=\bhair) (?:in a bun|tied up|bun)\b", re.IGNORECASE)
_BUN_ALONE = re.compile(r"\b(?:a )?((?:(?!a\b)[\w-]+ ){0,2})bun\b", re.IGNORECASE)


@cache
def _before_noun(phrase: _Phrase) -> re.Pattern[str]:
    """Up to four words before a noun: adjectives that are known, or the visitor's own."""
    known = "|".join(_FORMS[key].pattern for key in phrase.adjectives)
    return re.compile(
        rf"(?<![\w'-])(?:(?:{known})(?:,?\s+and\s+|,?\s+)|(?!(?:{_STOP})\b)[\w'-]+\s+){{0,4}}$", re.IGNORECASE
    )


def _adjectives_start(phrase: _Phrase, text: str, noun: int) -> int:
    return next(_before_noun(phrase).finditer(text, max(0, noun - _NEAR), noun)).start()


def _joints_start(text: str, start: int) -> int:
    """Where the words that join a phrase to the sentence begin."""
    return next(_JOINTS.finditer(text, max(0, start - _NEAR), start)).start()


def find_words(prompt: str) -> dict[str, str]:
    """Words of the groups that a prompt says in one way or another.

    Args:
        prompt: in the visitor's own words.

    Returns:
        Word by key of its group, as `add_words` takes them.
    """
    said = understand(prompt).attributes
    named = {key: said[key] for key in _WORDS if said.get(key, "none") != "none"}
    return {key: _OF_VALUES.get(key, {}).get(value, value) for key, value in named.items()}


def add_words(prompt: str, group: str, word: str) -> str:
    """Write a word into a prompt, in place of an earlier one of its group.

    Args:
        prompt: as the visitor has left it; may be empty.
        group: key of a `Group`.
        word: one of its words.

    Returns:
        The prompt in which the word is said.

    Raises:
        ValueError: if there is no such group or word.
    """
    if word not in _WORDS.get(group, ()):
        raise ValueError(f"{word!r} of {group!r} is no word that can be chosen: see the GROUPS of this module.")
    text = prompt.strip()
    if not re.search(r"\w", text):
        text = "" if group == "gender" else "a person"
    if group in _HAIR.adjectives:
        text = _plain_hair(text, is_style=group == "hair_style")
    if word in (BUN, NO_HAIR):
        return _style_hair(text, word)
    if (span := _said_otherwise(text, group)) is not None:
        return splice(text, *span, word)
    if match := _find(text, group):
        has_article = match[0].lower() not in ("facial hair", "someone", "somebody")
        return splice(text, *match.span(), word if has_article else article(word))
    phrase = _PHRASES[group]
    if noun := phrase.noun.search(text):
        later = phrase.adjectives[phrase.adjectives.index(group) + 1 :]
        found = [match.start() for key in later if (match := _find(text, key))]
        at = min([*found, noun.start()])
        return splice(text, at, at, f"{word} ")
    new = f"{word} {phrase.default}" if group in phrase.adjectives else word
    return _insert(text, phrase, article(new) if phrase.is_counted else new)


def remove_words(prompt: str, group: str) -> str:
    """Take what a prompt says of a group out of it: the whole phrase of a noun, or the one word of an adjective.

    Args:
        prompt: as the visitor has left it.
        group: key of a `Group`.

    Returns:
        The prompt, as it is if it says nothing of the group.
    """
    match = _find(prompt, group)
    if match is None:
        return prompt
    if group in _PHRASES[group].adjectives:
        return splice(prompt, match.start(), next(_JOINED.finditer(prompt, match.end())).end(), "")
    return drop(prompt, *match.span())


def _said_otherwise(text: str, group: str) -> tuple[int, int] | None:
    """Where a text says something of a group in words that are not mini's and that another word can stand for."""
    if group not in _EXCHANGED or _find(text, group):
        return None
    spans = [span for span in understand(text).spans if group in span.attributes]
    return (spans[0].start, spans[0].end) if len(spans) == 1 and len(spans[0].attributes) == 1 else None


def _plain_hair(text: str, is_style: bool) -> str:
    """The text with hair that takes adjectives: not bald, and without a bun if the style is to change."""
    text = _BALD.sub("", _NO_HAIR.sub("hair", text))
    return _BUN_ALONE.sub(r"\1hair", _BUN_BEHIND.sub("", text)) if is_style else text


def _style_hair(text: str, style: str) -> str:
    noun = _HAIR.noun.search(text)
    if noun is None:
        return _insert(text, _HAIR, NO_HAIR if style == NO_HAIR else f"hair {BUN}")
    old = [match for key in _HAIR.adjectives if (match := _find(text, key))]
    if style == NO_HAIR:
        return splice(text, min([noun.start(), *(match.start() for match in old)]), noun.end(), NO_HAIR)
    text = f"{text[: noun.end()]} {BUN}{text[noun.end() :]}"
    was = _find(text, "hair_style")
    return splice(text, was.start(), next(_JOINED.finditer(text, was.end())).end(), "") if was else text


def _insert(text: str, phrase: _Phrase, new: str) -> str:
    return insert(text, list(_known(text)), phrase.slot, new, phrase.lead)


def _find(text: str, key: str) -> re.Match[str] | None:
    """What a text says of a group."""
    phrase = _PHRASES[key]
    noun = phrase.noun.search(text)
    if noun is None or key not in phrase.adjectives:
        return noun
    return _FORMS[key].search(text, _adjectives_start(phrase, text, noun.start()), noun.start())


def _known(text: str) -> Iterator[Known]:
    """Every phrase of a text, with what joins it to the sentence."""
    for phrase in dict.fromkeys(_PHRASES.values()):
        for noun in phrase.noun.finditer(text):
            start, end = noun.span()
            if phrase.adjectives:
                region = _adjectives_start(phrase, text, start)
                own = [match.start() for key in phrase.adjectives if (match := _FORMS[key].search(text, region, start))]
                start = region if _joints_start(text, region) < region else min([start, *own])
            if phrase is _HAIR and (bun := _BUN_BEHIND.match(text, end)):
                end = bun.end()
            yield Known(phrase.slot, _joints_start(text, start), end)
