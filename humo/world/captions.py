"""Captions: a grammar rich in synonyms and word order, so that a visitor's own wording works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humo.world.people import Person, Setting

SYNONYMS: dict[str, tuple[str, ...]] = {
    "woman": ("woman", "woman", "lady", "girl", "female person"),
    "man": ("man", "man", "guy", "gentleman", "male person"),
    "person": ("person", "character", "someone", "somebody"),
    "pale": ("pale", "fair", "light", "white"),
    "tan": ("tan", "tanned", "olive", "golden"),
    "brown skin": ("brown",),
    "dark": ("dark", "black", "deep brown"),
    "short": ("short",),
    "long": ("long", "long straight", "long flowing"),
    "curly": ("curly", "wavy", "frizzy", "afro"),
    "spiky": ("spiky", "spiked", "punk"),
    "black hair": ("black", "dark", "jet black"),
    "brown hair": ("brown", "brunette", "chestnut"),
    "blond hair": ("blond", "blonde", "golden", "yellow"),
    "red hair": ("red", "ginger", "orange"),
    "grey hair": ("grey", "gray", "silver", "white"),
    "blue hair": ("blue", "dyed blue", "bright blue"),
    "t-shirt": ("t-shirt", "tee", "tshirt", "t shirt"),
    "shirt": ("shirt", "button shirt", "collared shirt", "buttoned shirt"),
    "hoodie": ("hoodie", "hooded sweater", "hooded sweatshirt"),
    "turtleneck": ("turtleneck", "sweater", "jumper", "turtleneck sweater", "pullover"),
    "dress": ("dress", "tank top", "sleeveless top", "top"),
    "grey": ("grey", "gray"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose"),
    "round": ("round glasses", "round spectacles", "circular glasses", "glasses with round frames"),
    "square": ("square glasses", "rectangular glasses", "square spectacles", "glasses with square frames"),
    "sunglasses": ("sunglasses", "dark glasses", "shades"),
    "beard": ("a beard", "a full beard", "facial hair"),
    "moustache": ("a moustache", "a mustache"),
    "close-up": ("close-up", "close up", "close-up shot", "tight portrait", "closeup"),
    "medium": ("medium shot", "portrait", "video", "head and shoulders"),
    "wide": ("wide shot", "distant shot", "long shot", "shot from far away"),
    "left": ("on the left", "at the left side", "to the left"),
    "centre": ("in the middle", "in the centre", "in the center"),
    "right": ("on the right", "at the right side", "to the right"),
    "still": ("holds still", "keeps still", "does not move", "stays still"),
    "nods": ("nods", "is nodding", "nods the head", "nods yes"),
    "shakes": ("shakes the head", "is shaking the head", "shakes no", "turns the head from side to side"),
    "sways": ("sways", "is swaying", "sways from side to side", "rocks gently"),
    "talks": ("talks", "is talking", "speaks", "is speaking", "says something", "tells a story"),
    "silent": ("is silent", "says nothing", "listens", "is quiet", "keeps quiet"),
}
"""Ways to say a thing, by thing; what is missing is said in its own name only."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and what it says, for whoever checks whether it was followed.

    Attributes:
        text: lower-case sentence without a full stop.
        named: names of the attributes of `humo.world.people` that the text states, such as "hair_colour"; also "speech"
            and "distractor".
    """

    text: str
    named: frozenset[str]


class _Words:
    """Draws one of the ways to say a thing and keeps which attributes were named."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.named: set[str] = set()

    def name(self, *attributes: str) -> None:
        self.named.update(attributes)

    def __call__(self, key: str) -> str:
        options = SYNONYMS.get(key, (key,))
        return options[self.rng.integers(len(options))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, *options: str) -> str:
        return options[self.rng.integers(len(options))]


def write_caption(
    rng: np.random.Generator,
    person: Person | None,
    setting: Setting,
    talks: bool,
    distractor: str = "none",
    detail: float = 0.85,
) -> str:
    """Writes a caption.

    Args:
        rng: draws wording, order and which details are named.
        person: who is seen; None writes "a person", which leaves the looks to the reference picture.
        setting: clothes, background, framing, motion.
        talks: whether the person speaks.
        distractor: "none", "balloon" or "second" (another, silent person).
        detail: chance that each detail is named at all.

    Returns:
        Lower-case sentence without a full stop.
    """
    return compose_caption(rng, person, setting, talks, distractor, detail).text


def compose_caption(
    rng: np.random.Generator,
    person: Person | None,
    setting: Setting,
    talks: bool,
    distractor: str = "none",
    detail: float = 0.85,
) -> Caption:
    """Writes a caption as `write_caption` does, and tells which attributes it names."""
    say = _Words(rng)
    subject = _subject(say, person, detail)
    parts = []
    if say.chance(detail):
        parts.append(_clothes(say, setting))
        say.name("garment", "colour")
    if say.chance(detail):
        parts.append(_background(say, setting))
    rng.shuffle(parts)
    actions = []
    if say.chance(detail):
        actions.append(say(setting.motion))
        say.name("motion")
    if say.chance(0.4):
        actions.append(say("talks" if talks else "silent"))
        say.name("speech")
    rng.shuffle(actions)
    sentence = subject + "".join(say.one(" ", ", ") + part for part in parts)
    if actions:
        sentence += say.one(" ", ", ") + " and ".join(actions)
    if setting.position != "centre" and say.chance(detail) or say.chance(0.15):
        sentence += say.one(" ", ", ") + say(setting.position)
        say.name("position")
    if distractor == "second" and say.chance(0.8):
        sentence += ", " + say.one("someone else listens", "next to a silent person", "with another person behind")
        say.name("distractor")
    if distractor == "balloon" and say.chance(0.8):
        sentence += ", " + say.one("with a balloon", "beside a balloon", "a balloon floats by")
        say.name("distractor")
    if setting.framing != "medium" and say.chance(detail) or say.chance(0.2):
        framing = say(setting.framing)
        say.name("framing")
        sentence = say.one(f"{framing} of {sentence}", f"{framing}, {sentence}", f"{sentence}, {framing}")
    return Caption(sentence, frozenset(say.named))


def _subject(say: _Words, person: Person | None, detail: float) -> str:
    if person is None:
        return say.one("a ", "a ", "the ", "") + say("person")
    traits = []
    if say.chance(detail):
        if person.hair_style == "bald":
            traits.append(say.one("no hair", "a bald head"))
            say.name("hair_style")
        else:
            traits.append(_hair(say, person, detail))
    if say.chance(detail):
        traits.append(say("brown skin" if person.skin == "brown" else person.skin) + " skin")
        say.name("skin")
    if person.glasses != "none" and say.chance(detail):
        traits.append(say(person.glasses))
        say.name("glasses")
    if person.beard != "none" and say.chance(detail):
        traits.append(say(person.beard))
        say.name("beard")
    say.rng.shuffle(traits)
    noun = say(person.gender)
    say.name("gender")
    front = ""
    if person.hair_style == "bald" and say.chance(0.4):
        say.name("hair_style")
        front, traits = "bald ", [trait for trait in traits if "bald" not in trait and "no hair" not in trait]
    sentence = say.one("a ", "a ", "the ", "") + front + noun
    if not traits:
        return sentence
    glue = say.one(" with ", " with ", " who has ")
    return sentence + glue + (", ".join(traits[:-1]) + " and " if len(traits) > 1 else "") + traits[-1]


def _hair(say: _Words, person: Person, detail: float) -> str:
    colour = say(f"{person.hair_colour} hair")
    say.name("hair_colour")
    if not say.chance(detail):
        return f"{colour} hair"
    say.name("hair_style")
    if person.hair_style == "bun":
        return say.one(f"{colour} hair in a bun", f"{colour} hair tied up", f"a {colour} bun", f"{colour} hair bun")
    return say.one(f"{say(person.hair_style)} {colour} hair", f"{colour} {say(person.hair_style)} hair")


def _clothes(say: _Words, setting: Setting) -> str:
    garment, colour = say(setting.garment), say(setting.colour)
    article = "an" if colour[0] in "aeiou" else "a"
    return say.one("in ", "wearing ", "dressed in ", "who wears ") + f"{article} {colour} {garment}"


def _background(say: _Words, setting: Setting) -> str:
    colour = say(setting.background)
    say.name("background")
    pattern = {
        "plain": ("", "", "plain "), "stripes": ("striped ",), "dots": ("dotted ", "polka dot "),
    }[setting.pattern]  # fmt: skip
    wall = say.one("background", "background", "wall", "backdrop")
    where, look = say.one("in front of ", "before ", "against "), say.one(*pattern)
    if look:
        say.name("pattern")
    return f"{where}a {look}{colour} {wall}"
