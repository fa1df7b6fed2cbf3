"""What a visitor asks for, at the size of the tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny

from humo.media import read_sound
from humo.space.jobs.request import VideoRequest


def video_request(mode: str, folder: Path, **settings: Any) -> VideoRequest:
    """A request of nine frames.

    Args:
        mode: "T", "TI", "TA" or "TIA", which decides what is given.
        folder: for the picture.
        settings: further fields of the request.
    """
    picture = folder / "person.png"
    tiny.picture().save(picture)
    return VideoRequest(
        prompt="a woman with red hair",
        images=(picture,) if "I" in mode else (),
        audio=read_sound(tiny.voice(9 / 25)) if "A" in mode else None,
        num_frames=9,
        **settings,
    )
