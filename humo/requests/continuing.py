"""Videos that begin with what is there: the end of an earlier one, or a picture. Ours.

The codec's first latent holds one frame and each other one four, so that frames are known by 4j+1: one alone and j
groups. Of a video that this pipeline made the groups' own latents are taken, which loses nothing from piece to piece;
only the first, which is shown no more, is encoded anew. Of a file everything is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from humo.known import Known
from humo.known.encoding import check_frames, know_frames
from humo.known.files import read_clip
from humo.layers.decoding import OnFrames
from humo.media import Sound, read_picture
from humo.media.loudness import level_sound
from humo.media.sounds import hear_samples
from humo.requests.checks import Request, fit_samples
from humo.requests.output import Earlier, HuMoPipelineOutput
from humo.system.ranges import read_whole, short
from humo.timing import FRAMES_PER_LATENT, SAMPLES_PER_FRAME, check_num_frames, count_latents

OVERLAP = 9
"""Frames of an earlier video that are known where nobody says how many."""
LEAST_NEW = FRAMES_PER_LATENT


@dataclass(frozen=True)
class Beginning:
    """Frames with which a video begins."""

    frames: np.ndarray
    """uint8 (4j+1, height, width, 3)."""
    latents: np.ndarray | None = None
    """The very latents of the j groups after the first frame, (z, j, h, w); None to encode them."""
    earlier: Earlier | None = None
    """Whose last frames they are; None for frames that are shown as the video's own first ones."""
    resampling: int = 0
    """See `humo.known.Known`."""

    @property
    def overlap(self) -> int:
        """Frames that are not shown again."""
        return 0 if self.earlier is None else len(self.frames)

    def encode(self, num_frames: int, vae: Any, device: torch.device | str | None) -> Known:
        """What is known of a video.

        Args:
            num_frames: of the video, known ones included.
            vae: the video codec.
            device: where to compute.

        Returns:
            Batch size 1.
        """
        begun = know_frames(self.frames, None, vae, device)
        if self.latents is not None:
            begun.latents[:, :, 1:] = torch.from_numpy(self.latents).to(begun.latents)
        missing = count_latents(num_frames) - begun.latents.shape[2]
        latents, mask = (
            torch.nn.functional.pad(part, (0, 0, 0, 0, 0, missing)) for part in (begun.latents, begun.mask)
        )
        return Known(latents, mask, self.resampling)


def read_beginning(
    config: Any,
    request: Request,
    continue_from: Any = None,
    overlap: int | None = None,
    first_frame: Any = None,
    resampling: int = 0,
    as_is: bool = False,
    notes: list[str] | None = None,
) -> Beginning | None:
    """Read what a video begins with.

    Args:
        config: of the pipeline.
        request: what is asked for; its size counts.
        continue_from: as of `read_earlier`; None for nothing.
        overlap: frames of it that are known, 4j+1; None for `OVERLAP`.
        first_frame: a picture, as of `humo.media.read_picture`; None for none.
        resampling: see `humo.known.Known`.
        as_is: take a photograph also for a model of drawn people.
        notes: told what was decided.

    Returns:
        None where neither is given.

    Raises:
        ValueError: if it does not fit; the sentence says what to do.
    """
    if overlap is not None and continue_from is None:
        raise ValueError("overlap says how much of an earlier video is known, and none is given: add continue_from.")
    if first_frame is not None:
        frame = _fit_picture(first_frame, request, notes)
        _check_drawn(config, frame, "first_frame", as_is)
        return Beginning(np.asarray(frame)[None], resampling=resampling)
    if continue_from is None:
        return None
    earlier = read_earlier(continue_from)
    count = OVERLAP if overlap is None else read_whole("overlap", overlap)
    check_num_frames(count, "overlap")
    size = earlier.frames.shape[1:3]
    if size != (request.height, request.width):
        raise ValueError(
            f"continue_from is {size[1]}x{size[0]} but {request.width}x{request.height} is asked for: use equal sizes."
        )
    if len(earlier.frames) < count:
        raise ValueError(
            f"continue_from has {len(earlier.frames)} frames but the last {count} are to be known: give a longer one, "
            "or a smaller overlap."
        )
    _check_drawn(config, Image.fromarray(earlier.frames[-1]), "continue_from", as_is)
    latents = earlier.latents
    if latents is not None:
        latents = latents[:, latents.shape[1] - count_latents(count) + 1 :]
    return Beginning(earlier.frames[-count:], latents, earlier, resampling)


def read_earlier(given: Any) -> Earlier:
    """Read a video to go on from.

    Args:
        given: an output of this pipeline, the path of an MP4 or WebM file, frames, uint8 (f, height, width, 3), or
            what was read.

    Raises:
        ValueError: if it is none of these, or cannot be read.
    """
    if isinstance(given, Earlier):
        return given
    if isinstance(given, HuMoPipelineOutput):
        return Earlier(given.frames, given.audio, given.latents, overlapped=given.overlapped, earlier=given.earlier)
    if isinstance(given, str | Path):
        return Earlier(*read_clip(given))
    if not isinstance(given, np.ndarray):
        raise ValueError(f"continue_from is {short(given)}: give a video of this pipeline, a file, or its frames.")
    check_frames("continue_from's frames", given)
    return Earlier(given)


def hear_on(sound: Sound, beginning: Beginning, level: float | None, notes: list[str]) -> tuple[np.ndarray, Sound]:
    """A sound that goes on after an earlier one.

    Args:
        sound: what follows.
        beginning: with the earlier video.
        level: `heard_level` of the pipeline's config.
        notes: told what was decided.

    Returns:
        What the model hears under the known frames, mono at 16 kHz, (overlap * 640,), and the sound at the same level.
    """
    length = beginning.overlap * SAMPLES_PER_FRAME
    earlier = beginning.earlier
    before = np.zeros(length, np.float32)
    if earlier is not None and earlier.heard is not None:
        before = earlier.heard[-length:]
    elif earlier is not None and earlier.audio is not None:
        samples, rate = earlier.audio
        whole = fit_samples(hear_samples(samples, rate), len(earlier.frames) * SAMPLES_PER_FRAME)
        before = whole[-length:]
    joined = level_sound(replace(sound, waveform=np.concatenate([before, sound.waveform])), level, notes)
    return joined.waveform[:length], replace(joined, waveform=joined.waveform[length:])


def tell_new(on_frames: OnFrames | None, overlap: int) -> OnFrames | None:
    """Who is told of frames, but not of the first ones."""
    if on_frames is None or not overlap:
        return on_frames
    left = overlap

    def tell(frames: np.ndarray) -> None:
        nonlocal left
        skipped = min(left, len(frames))
        left -= skipped
        if skipped < len(frames):
            on_frames(frames[skipped:])

    return tell


def _fit_picture(picture: Any, request: Request, notes: list[str] | None) -> Image.Image:
    """The picture at the video's size, cut at its sides where it has another shape."""
    read, size = read_picture(picture), (request.width, request.height)
    if read.size == size:
        return read
    if read.width * size[1] != read.height * size[0] and notes is not None:
        notes.append(f"The first frame is cut at its sides to the video's {size[0]}x{size[1]}.")
    return ImageOps.fit(read, size, Image.Resampling.LANCZOS)


def _check_drawn(config: Any, picture: Image.Image, name: str, as_is: bool) -> None:
    if not config.draws_photographs or as_is:
        return
    from humo.portrait.drawn import is_drawing  # the world, of which other models know nothing

    if not is_drawing(picture):
        raise ValueError(f"{name} shows no drawn person, and this model makes no others: give a picture of its kind.")
