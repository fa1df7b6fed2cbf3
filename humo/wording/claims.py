"""What the words of a text claim about the picture, and which claims count. Ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from humo.wording.attaching import ALONE, CLOTHES, WALL, find_part
from humo.wording.negation import mark_negated
from humo.wording.persons import mark_persons
from humo.wording.qualities import say
from humo.wording.words import Word

_ANYBODY = ("background", "pattern", "framing", "distractor")
"""Attributes that do not belong to one person."""
_CAN_BE_NONE = ("glasses", "beard")
_STYLES = ("bald", "bun", "spiky", "curly", "long", "short")
"""The earlier one counts where a text names two: it shows more."""


class Weight(IntEnum):
    """How much a claim counts beside another one about the same."""

    DENIED = 0
    HINT = 1
    STATED = 2


@dataclass(slots=True)
class Claim:
    """An attribute as some word has it.

    Attributes:
        attribute: of the world.
        value: of the attribute; empty for a denied one.
        word: index of the word that says so.
        part: index of the thing it belongs to, where there is one.
        weight: see `Weight`.
        is_near: whether the value is only the nearest that mini draws.
        counts: whether it is what the text says in the end.
    """

    attribute: str
    value: str
    word: int
    part: int | None = None
    weight: Weight = Weight.STATED
    is_near: bool = False
    counts: bool = False


def make_claims(words: Sequence[Word], puts_after: bool) -> list[Claim]:
    """Every claim of a text, judged."""
    mark_negated(words)
    mark_persons(words)
    claims: list[Claim] = []
    for at, word in enumerate(words):
        if word.role in ("part", "fact", "pronoun"):
            claims += _of_thing(words, at)
        elif word.role == "quality":
            claims += _of_quality(words, at, puts_after)
    _add_glasses(words, claims)
    _judge(words, claims)
    return claims


def _of_thing(words: Sequence[Word], at: int) -> Iterator[Claim]:
    word, meaning = words[at], words[at].meaning
    if word.role == "part" and word.name == "person" and _is_adjective(words, at):
        return
    for attribute, value in meaning.says:
        if attribute == "age":
            yield Claim("hair_colour", "grey", at, at, Weight.HINT, is_near=True)
        elif word.role == "pronoun":
            yield Claim(attribute, value, at, weight=Weight.HINT)
        elif word.is_negated:
            yield from _denied(attribute, value, at)
        elif value:
            yield Claim(attribute, value, at, at, is_near=meaning.is_near)
    for attribute, value in meaning.hints:
        yield Claim(attribute, value, at, at, Weight.HINT, is_near=meaning.is_near)
    if word.is_negated and word.name in _CAN_BE_NONE and not meaning.says:
        yield from _denied(word.name, "", at)


def _is_adjective(words: Sequence[Word], at: int) -> bool:
    """ "junge Frau", "jeune fille", "surfer dude": of two persons side by side the plainer word is meant."""
    for other in (at - 1, at + 1):
        if 0 <= other < len(words) and words[other].phrase == words[at].phrase and words[other].name == "person":
            mine, theirs = words[at].meaning, words[other].meaning
            if words[other].role == "part" and mine.is_near and (not theirs.is_near or other > at):
                return True
    return False


def _denied(attribute: str, value: str, at: int) -> Iterator[Claim]:
    if attribute in _CAN_BE_NONE:
        yield Claim(attribute, "none", at, weight=Weight.DENIED)
    elif (attribute, value) == ("speech", "talks"):
        yield Claim(attribute, "silent", at)
    elif attribute in ("motion", "distractor"):
        yield Claim("", "", at, weight=Weight.DENIED)


def _of_quality(words: Sequence[Word], at: int, puts_after: bool) -> Iterator[Claim]:
    word, meaning = words[at], words[at].meaning
    found = find_part(words, at, puts_after)
    if found is None:
        return
    part = {CLOTHES: "clothes", WALL: "wall", ALONE: ""}[found] if found < 0 else words[found].name
    said = say(meaning.name, meaning.value, part, meaning.is_near)
    if said is None:
        return
    attribute, value, is_near = said
    if word.is_negated or (found >= 0 and words[found].is_negated):
        if attribute != "glasses" or found < 0 or not words[found].is_negated:
            yield Claim("", "", at, weight=Weight.DENIED)
        return
    is_hint = meaning.name == "age" or part == "beard"
    yield Claim(attribute, value, at, found if found >= 0 else None, Weight.HINT if is_hint else Weight.STATED, is_near)
    if part in ("", "person"):
        for attribute, value in meaning.hints:
            yield Claim(attribute, value, at, weight=Weight.HINT)


def _add_glasses(words: Sequence[Word], claims: list[Claim]) -> None:
    """Glasses of no certain shape are round ones."""
    shaped = {claim.part for claim in claims if claim.attribute == "glasses"}
    for at, word in enumerate(words):
        is_glasses = word.role in ("part", "fact") and word.name == "glasses"
        if is_glasses and not word.is_negated and at not in shaped and not any(v for _, v in word.meaning.says):
            claims.append(Claim("glasses", "round", at, at, is_near=word.meaning.is_near))


def _judge(words: Sequence[Word], claims: list[Claim]) -> None:
    """Of all claims about an attribute the weightiest counts, among equals the exact one of a thing, then the first."""
    garment = _best([claim for claim in claims if claim.attribute == "garment" and _may(words, claim)])
    for attribute in {claim.attribute for claim in claims}:
        rivals = [claim for claim in claims if claim.attribute == attribute and _may(words, claim)]
        if attribute == "":
            for claim in rivals:
                claim.counts = True
            continue
        if attribute == "colour" and garment is not None and garment.part is not None:
            rivals = [claim for claim in rivals if _may_be_of(words, claim, garment)]
        best = _best(rivals)
        for claim in rivals:
            claim.counts = best is not None and (claim.value == best.value)


def _may(words: Sequence[Word], claim: Claim) -> bool:
    return claim.attribute in _ANYBODY or words[claim.word].person == 0


def _may_be_of(words: Sequence[Word], claim: Claim, garment: Claim) -> bool:
    """Whether a colour may be that of the garment: not where it belongs to another one."""
    if claim.part is None or claim.part == garment.part:
        return True
    return not dict(words[claim.part].meaning.says).get("garment")


def _best(claims: Sequence[Claim]) -> Claim | None:
    if not claims:
        return None
    weightiest = max(claim.weight for claim in claims)
    left = [claim for claim in claims if claim.weight == weightiest]
    if left[0].attribute == "hair_style":
        return min(left, key=lambda claim: _STYLES.index(claim.value))
    same = [claim for claim in left if claim.part == left[0].part and not claim.is_near]
    return same[0] if same else left[0]
