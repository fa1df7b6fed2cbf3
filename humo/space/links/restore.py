"""The settings of a video, back from the file itself: `humo.media.write_video` wrote them into its description."""

from __future__ import annotations

import json
from pathlib import Path

from humo.space.links.mp4_metadata import read_texts
from humo.space.links.settings import VideoSettings


def read_settings(path: str | Path) -> VideoSettings:
    """Read what a video was made with.

    Nothing is decoded, and no more than a few kilobytes are read, however large the file is.

    Args:
        path: an mp4 that the page, the command line or the library wrote.

    Returns:
        The settings, each within its bounds.

    Raises:
        ValueError: in one sentence, with the file's name and never its folder, if it is missing, no mp4, damaged, of
            other makers, or its settings cannot be used here.
    """
    path = Path(path)
    try:
        description = read_texts(path).get("description")
    except OSError:
        raise ValueError(f"video {path.name} is not there any more or cannot be read: choose it again.") from None
    if description is None:
        raise ValueError(
            f"video {path.name} carries no settings: it was not made here, or a site on its way removed them."
        )
    try:
        plain = json.loads(description)
    except (ValueError, RecursionError):
        raise ValueError(f"video {path.name} was not made here: its description holds no settings of ours.") from None
    try:
        return VideoSettings.of_plain(plain)
    except ValueError as error:
        raise ValueError(f"video {path.name} has settings that cannot be used: {error}") from None
