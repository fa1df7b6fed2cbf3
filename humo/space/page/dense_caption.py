"""One dense caption from a few filled-in fields: the published models learned from such, and follow them best.

Wan, from which the published HuMo models come, and HuMo itself were trained on captions of several sentences: who, what
they wear, what they do, where, seen by which camera, in which light. A short prompt leaves most of that to chance. The
wording here is ours; mini knows nothing of most of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """Something that a dense caption tells."""

    key: str
    """Name of an argument of `dense_caption`."""
    title: str
    """A word or two, for a label."""
    example: str
    """What somebody might write."""


FIELDS = (
    Field("subject", "Who", "a young woman with short black hair and freckles"),
    Field("clothes", "Clothes", "a grey wool coat over a white blouse"),
    Field("action", "What they do", "speaks to the camera with a calm smile"),
    Field("surroundings", "Where", "a small kitchen with plants on the window sill"),
    Field("camera", "Camera", "a steady medium close-up at eye level"),
    Field("light", "Light and mood", "soft morning light from the left, warm colours"),
)
"""In the order in which a dense caption tells them."""
_WEARING = re.compile(r"^(?:wears|wearing|dressed in|in)\s+", re.IGNORECASE)
_WHERE = re.compile(r"(?:in|on|at|by|under|behind|before|beside|near|next|outside|inside)\b", re.IGNORECASE)
_WHOLE = re.compile(r"(?:he|she|they|it|there|his|her|their|the (?:camera|scene|setting|light))\b", re.IGNORECASE)


def dense_caption(
    subject: str,
    clothes: str = "",
    action: str = "",
    surroundings: str = "",
    camera: str = "",
    light: str = "",
) -> str:
    """Write a caption as the published models know them.

    Args:
        subject: who is seen and how they look, such as "a young woman with freckles".
        clothes: what they wear.
        action: what they do, with its verb.
        surroundings: where they are.
        camera: size of the picture, angle, movement of the camera.
        light: light, colours, mood.

    Returns:
        One to six sentences. A field that is a sentence already stays one; an empty one is left out.

    Raises:
        ValueError: if nobody is named.
    """
    fields = [_clean(text) for text in (subject, clothes, action, surroundings, camera, light)]
    subject, clothes, action, surroundings, camera, light = fields
    if not subject:
        raise ValueError("the field Who is empty: say in a few words who is to be seen.")
    sentences = [_who(subject, clothes, action)]
    sentences += [text for text in (clothes, action) if _WHOLE.match(text)]
    if surroundings and not _WHOLE.match(surroundings):
        surroundings = f"the scene is {'' if _WHERE.match(surroundings) else 'set in '}{surroundings}"
    sentences += [text for text in (surroundings, camera, light) if text]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in sentences)


def _clean(text: str) -> str:
    """On one line, without a full stop."""
    return " ".join(text.split()).rstrip(" .,;")


def _who(subject: str, clothes: str, action: str) -> str:
    """The first sentence."""
    wears = "" if not clothes or _WHOLE.match(clothes) else f", wearing {_WEARING.sub('', clothes)}"
    if not action or _WHOLE.match(action):
        return f"the video shows {subject}{wears}"
    verb = "is " if action.split()[0].lower().endswith("ing") else ""
    return f"{subject}{wears}{',' if wears else ''} {verb}{action}"
