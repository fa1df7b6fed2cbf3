"""A caption in the grammar with which mini was trained (`humo.world.captions`), from attributes.

Of each way to say a thing that grammar knows, one is written; what is not known is not named. Ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from humo.wording.language.tokens import tokenize
from humo.wording.words import Word
from humo.world.captions import SYNONYMS

_SAID = {
    "round": "round glasses", "square": "square glasses", "beard": "a beard", "moustache": "a moustache",
    "close-up": "close-up", "medium": "medium shot", "wide": "wide shot", "left": "on the left",
    "centre": "in the middle", "right": "on the right", "still": "holds still", "nods": "nods",
    "shakes": "shakes the head", "sways": "sways", "talks": "talks", "silent": "is silent", "stripes": "striped",
    "dots": "polka dot", "plain": "plain", "second": "with another person behind", "balloon": "with a balloon",
    "turtleneck": "turtleneck",
}  # fmt: skip
_JOINING = (
    "a an the with who has in wearing dressed wears front of before against background wall backdrop and skin hair no "
    "bald head bun tied up plain striped dotted polka dot glasses spectacles someone else listens next to silent "
    "person another behind balloon beside floats by"
)
"""Words of the grammar that are no synonyms."""
OWN_WORDS = frozenset(
    piece.form
    for said in (*SYNONYMS, *(form for forms in SYNONYMS.values() for form in forms), _JOINING)
    for piece in tokenize(said)
) | {"purple", "yellow", "green", "brown", "tan", "pale", "bald"}
"""Every word that mini has seen."""


def write(attributes: Mapping[str, str]) -> str:
    """A caption that says no more than the attributes.

    Args:
        attributes: of the world, also "distractor"; "none" is not mentioned. An attribute that no caption names, such
            as the colour of the eyes, is left out.

    Returns:
        Small letters, no full stop, at least "a person".
    """
    said = {name: _SAID.get(value, value) for name, value in attributes.items() if value != "none"}
    sentence = _person(said)
    if "garment" in said or "colour" in said:
        sentence += ", in " + _article(" ".join(filter(None, (said.get("colour"), said.get("garment", "shirt")))))
    if "background" in said or "pattern" in said:
        look = " ".join(filter(None, (said.get("pattern"), said.get("background"), "background")))
        sentence += ", in front of " + _article(look)
    if actions := [said[name] for name in ("speech", "motion") if name in said]:
        sentence += ", " + " and ".join(actions)
    for name in ("position", "distractor"):
        if name in said:
            sentence += ", " + said[name]
    return f"{said['framing']} of {sentence}" if "framing" in said else sentence


def _person(said: Mapping[str, str]) -> str:
    is_bald = said.get("hair_style") == "bald"
    noun = ("bald " if is_bald else "") + said.get("gender", "person")
    traits = []
    if not is_bald and ("hair_style" in said or "hair_colour" in said):
        style, colour = said.get("hair_style", ""), said.get("hair_colour", "")
        hair = f"{colour} hair in a bun" if style == "bun" else f"{style} {colour} hair"
        traits.append(" ".join(hair.split()))
    if "skin" in said:
        traits.append(f"{said['skin']} skin")
    traits += [said[name] for name in ("glasses", "beard") if name in said]
    if not traits:
        return f"a {noun}"
    return f"a {noun} with " + (", ".join(traits[:-1]) + " and " if len(traits) > 1 else "") + traits[-1]


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def is_own(words: Sequence[Word]) -> bool:
    """Whether a text is written in mini's own words, in its own order, so that it can be read as it is."""
    return all(_is_own(words, at) for at in range(len(words)))


def _is_own(words: Sequence[Word], at: int) -> bool:
    word = words[at]
    if word.role in ("unknown", "pronoun") or word.is_negated or word.joins("not", "be"):
        return False
    if any(piece not in OWN_WORDS for piece in word.form.split()):
        return False
    if word.role == "quality":  # right before what it belongs to
        return any(each.role == "part" and each.phrase == word.phrase for each in words[at + 1 :])
    before = [each.form for each in words[:at] if each.role == "function"][-2:]
    if word.role == "part" and word.name == "clothes":
        return bool(before) and any(form in ("in", "wearing", "wears", "dressed in") for form in before)
    if word.role == "part" and word.name == "wall":
        return bool(before) and any(form in ("in front of", "before", "against") for form in before)
    return True
