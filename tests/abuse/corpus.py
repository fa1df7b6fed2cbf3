"""Hostile inputs, all made by code and the same each time: what is sent, and what must come of it.

Pictures stand in `pictures.py`, sounds in `sounds.py`, everything else in `values.py`. A picture or a sound that is
odd but fine costs no video: it comes along with something that is refused after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOICE_SECONDS = 1
"""The server's limit in these tests."""
FINE_PICTURE = r"^Sound end\.wav is an empty file"
"""What is said where a picture was read, for an empty sound comes along."""
FINE_SOUND = rf"^The voice lasts \d+\.\d s but at most {VOICE_SECONDS} s are allowed"
"""What is said where a sound was read, for it is too long."""
EMPTY = ("end.wav", b"")
File = tuple[str, bytes]
"""Name and content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A call, and what must come of it."""

    name: str
    says: str | None
    """Expression that the refusal's sentence has to match; None if a video has to be made."""
    endpoint: str = "generate"
    values: Mapping[str, Any] = field(default_factory=dict)
    """Added to a good request's, or in their place."""
    body: bytes | None = None
    """In place of all values."""
    image: File | None = None
    """To be uploaded."""
    audio: File | None = None
    """To be uploaded."""


def picture_case(name: str, content: bytes, says: str | None = FINE_PICTURE, ending: str = ".png") -> Case:
    """A call with a picture and, unless a video has to be made, with a sound that is refused after it."""
    sound = None if says is None else EMPTY
    shown = {"as_is": True}  # there is no face in any of them to be drawn
    return Case(name=f"picture, {name}", says=says, image=("face" + ending, content), audio=sound, values=shown)


def sound_case(name: str, content: bytes, says: str | None = FINE_SOUND, ending: str = ".wav") -> Case:
    """A call with a sound."""
    return Case(name=f"sound, {name}", says=says, audio=("voice" + ending, content))


def cases() -> list[Case]:
    """All of them."""
    import pictures
    import sounds
    import values

    return [*pictures.cases(), *sounds.cases(), *values.cases()]
