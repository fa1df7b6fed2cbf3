"""A portrait in words: captions in the grammar that mini learned to read (`humo.world.captions`). Ours."""

from __future__ import annotations

from humo.portrait.portrait import Portrait

_GLASSES = {"round": "round glasses", "square": "square glasses", "sunglasses": "sunglasses"}
_BEARDS = {"beard": "a beard", "moustache": "a moustache"}


def write_caption(portrait: Portrait, action: str = "talks", include_looks: bool = True) -> str:
    """Write the caption of a portrait.

    A reference picture does not carry clothes and background into the video, so they are always said where they were
    seen; the looks, which it carries, only where asked.

    Args:
        portrait: who.
        action: what the person does, such as "talks" or "nods"; "" leaves it out.
        include_looks: whether hair, skin, glasses and beard are said too.

    Returns:
        Lower-case sentence without a full stop.
    """
    who = "a " + (portrait.gender or "person")
    looks = describe_looks(portrait) if include_looks else []
    if looks:
        who += " with " + (", ".join(looks[:-1]) + " and " if len(looks) > 1 else "") + looks[-1]
    return " ".join([", ".join([who, *describe_outside(portrait)]), *([action] if action else [])])


def describe_looks(portrait: Portrait) -> list[str]:
    """Hair, skin, glasses and beard, each as far as it was seen: "long red hair", "pale skin", ..."""
    looks = [_hair(portrait), portrait.skin and f"{portrait.skin} skin"]
    return [look for look in (*looks, _GLASSES.get(portrait.glasses), _BEARDS.get(portrait.beard)) if look]


def describe_outside(portrait: Portrait) -> list[str]:
    """Clothes and background, each as far as it was seen: "in a blue shirt", "in front of a grey background"."""
    parts = []
    if portrait.colour or portrait.garment:
        words = " ".join(word for word in (portrait.colour, portrait.garment or "shirt") if word)
        parts.append(f"in {_article(words)} {words}")
    if portrait.background:
        parts.append(f"in front of {_article(portrait.background)} {portrait.background} background")
    return parts


def _hair(portrait: Portrait) -> str | None:
    colour, style = portrait.hair_colour, portrait.hair_style
    if style == "bald":
        return "no hair"
    if style == "bun":
        return f"{colour} hair in a bun" if colour else "hair in a bun"
    return " ".join([*filter(None, (style, colour)), "hair"]) if style or colour else None


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"
