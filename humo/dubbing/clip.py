"""The clip that is dubbed: as it is in its file, and as the model sees it."""

# f video frames

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humo.known.encoding import check_frames
from humo.known.files import read_clip
from humo.system.ranges import MOST, short
from humo.timing import FPS, longest_by_sound, round_down, round_up

LOOKED_AT = 9
"""Frames of a clip by which it is told whether it shows a drawn person."""


@dataclass(frozen=True)
class Clip:
    """A clip at 25 frames a second."""

    frames: np.ndarray
    """As given, RGB, uint8 (f, height, width, 3)."""
    small: np.ndarray
    """As the model sees it: of its size, the last frame repeated to 4k+1, uint8 (4k+1, h, w, 3)."""
    name: str
    """How it is called in sentences."""

    def held(self, num_frames: int) -> Clip:
        """The same with its last frame held until it has so many frames; itself if it has."""
        if num_frames <= len(self.frames):
            return self
        return Clip(_lengthened(self.frames, num_frames), _lengthened(self.small, round_up(num_frames)), self.name)


def read_clip_to_dub(
    clip: str | Path | np.ndarray,
    config: Any,
    size_multiple: int,
    as_is: bool = False,
    most_pixels: int | None = None,
) -> Clip:
    """Read and check a clip.

    Args:
        clip: an MP4 or WebM file of 25 frames a second, or frames, uint8 (f, height, width, 3).
        config: of the pipeline.
        size_multiple: pixels of which the model's height and width are multiples.
        as_is: take a clip that shows no drawn person for a model that knows no others.
        most_pixels: of a file's frame, height times width; None for any.

    Returns:
        The clip.

    Raises:
        ValueError: in one sentence, if it cannot be read, has frames larger than `most_pixels`, is longer than the
            model makes, has another shape than the model makes, or shows nobody whom the model knows.
    """
    most = longest_frames(config)
    if isinstance(clip, str | Path):
        frames, name = read_clip(clip, most + 1, most_pixels)[0], f"clip {Path(clip).name}"
    elif isinstance(clip, np.ndarray):
        frames, name = clip, "the clip"
        check_frames("the clip's frames", frames)
    else:
        raise ValueError(f"clip is {short(clip)}: give an MP4 or WebM file, or frames.")
    if len(frames) > most:
        raise ValueError(  # how many more is not known of a file, which is read no further
            f"{name} has more than {most} frames, {most / FPS:.2f} s, which is the most that can be dubbed at once: "
            "cut it."
        )
    height, width = _size_for(config, frames.shape[1:3], size_multiple, name)
    if config.draws_photographs and not as_is:
        _check_drawn(frames, name)
    small = np.stack([_shrunk(frame, height, width) for frame in frames])
    return Clip(frames, _lengthened(small, round_up(len(small))), name)


def longest_frames(config: Any) -> int:
    """Frames of the longest clip that can be dubbed by the model of a config, 4k+1."""
    longest = longest_by_sound(config.max_frames, config.max_trained_frames)
    return round_down(MOST["num_frames"] if longest is None else longest)


def _size_for(config: Any, size: tuple[int, ...], multiple: int, name: str) -> tuple[int, int]:
    """Height and width in which the model sees a clip: of the same shape, no larger than the clip.

    Raises:
        ValueError: if there is none.
    """
    height, width = size
    if config.supported_sizes is None:
        if height % multiple == 0 and width % multiple == 0:
            return height, width
        raise ValueError(f"{name} has {width}x{height} pixels, both must be multiples of {multiple}: cut or scale it.")
    for high, wide in config.supported_sizes:
        if height * wide == width * high and height >= high:
            return high, wide
    made = ", ".join(f"{wide}x{high}" for high, wide in config.supported_sizes)
    raise ValueError(
        f"{name} has {width}x{height} pixels but this model makes {made}: give one of that size, or larger and of the "
        "same shape."
    )


def _check_drawn(frames: np.ndarray, name: str) -> None:
    from humo.portrait.drawn import is_drawing  # the world, of which other models know nothing

    places = np.linspace(0, len(frames) - 1, LOOKED_AT).astype(int)  # soft frames of the model's own pass now and then
    if not any(is_drawing(Image.fromarray(frames[place])) for place in dict.fromkeys(places)):
        raise ValueError(
            f"{name} shows no drawn person of this model's kind, and it knows no others: give a clip that was made "
            "here, or take a published model for photographs."
        )


def _shrunk(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


def _lengthened(frames: np.ndarray, length: int) -> np.ndarray:
    """With the last frame repeated."""
    missing = length - len(frames)
    return frames if missing <= 0 else np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
