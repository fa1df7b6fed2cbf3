"""Videos that begin with what is there: the end of an earlier one, or a picture. Ours.

The codec's first latent holds one frame and each other one four, so that frames are known by 4j+1: one alone and j
groups. Of a video that this pipeline made the groups' own latents are taken, which loses nothing from piece to piece;
only the first, which is shown no more, is encoded anew. Of a file everything is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image, ImageOps

from humo.known import Known
from humo.known.encoding import check_frames, know_frames
from humo.known.files import read_clip
from humo.known.latents import MAX_RESAMPLING
from humo.layers.decoding import OnFrames
from humo.media import Sound, read_picture
from humo.media.loudness import level_sound
from humo.media.sounds import hear_samples
from humo.requests.checks import Request, fit_samples
from humo.requests.output import Earlier, HuMoPipelineOutput
from humo.system.ranges import check_number, check_whole, read_whole, short
from humo.timing import FRAMES_PER_LATENT, SAMPLES_PER_FRAME, check_num_frames, count_latents

OVERLAP = 13
"""Frames of an earlier video that are known where nobody says how many; chosen on mini's validation split, as is
`START_SIGMA`."""
START_SIGMA = 0.9
"""Noise level at which what follows a beginning starts where nobody says another."""


class KnownArguments(TypedDict, total=False):
    """What a call of the pipeline may say of what is known: one of three kinds, and how it is put to use."""

    continue_from: HuMoPipelineOutput | Earlier | str | Path | np.ndarray | None
    """A video to go on from: an output, an MP4 or WebM file, or frames, uint8 (f, height, width, 3). Its last frames
    are known and count into `num_frames`, but not into the result; its sound is heard before that of the call.
    `HuMoPipelineOutput.whole` joins both."""
    overlap: int | None
    """Frames of it that are known, 4k+1; default `OVERLAP`."""
    first_frame: Image.Image | np.ndarray | str | Path | None
    """A picture that is the first frame, rather than a reference; as of `humo.media.read_picture`."""
    known: Known | None
    """What stays, by time and place; it also says how long the video is, where nothing else does."""
    resampling: int | None
    """See `humo.known.Known`; default 0, or the known's own."""
    start_sigma: float | None
    """See there too; what follows a beginning is guessed to be its last frame, held. Default `START_SIGMA`, or the
    known's own."""


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
    start_sigma: float = START_SIGMA
    """See there too: the last of the frames are held as the guess for all that follow."""

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
        num_known = count_latents(len(self.frames))
        still = np.repeat(self.frames[-1:], FRAMES_PER_LATENT, axis=0) if num_known == 1 else self.frames[:0]
        latents = know_frames(np.concatenate([self.frames, still]), None, vae, device).latents
        if self.latents is not None:
            latents[:, :, 1:num_known] = torch.from_numpy(self.latents).to(latents)
        held = latents[:, :, -1:].expand(-1, -1, count_latents(num_frames) - num_known, -1, -1)
        latents = torch.cat([latents[:, :, :num_known], held], dim=2)
        mask = torch.zeros_like(latents[:, :1])
        mask[:, :, :num_known] = 1
        return Known(latents, mask, self.resampling, self.start_sigma)


def read_known(
    config: Any,
    request: Request,
    as_is: bool,
    notes: list[str],
    continue_from: Any = None,
    overlap: int | None = None,
    first_frame: Any = None,
    known: Known | None = None,
    resampling: int | None = None,
    start_sigma: float | None = None,
) -> Known | Beginning | None:
    """Read what is known of a video.

    Args:
        config: of the pipeline.
        request: what is asked for; its size counts.
        as_is: say nothing of a photograph for a model of drawn people.
        notes: told what was decided.
        continue_from: this and all that follow as of `KnownArguments`.
        overlap: frames.
        first_frame: a picture.
        known: what stays.
        resampling: times.
        start_sigma: noise level.

    Returns:
        None where nothing is.

    Raises:
        ValueError: if it does not fit; the sentence says what to do.
    """
    kinds = {"continue_from": continue_from, "first_frame": first_frame, "known": known}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{given[0]} and {given[1]} both say what is known: give one of them.")
    if overlap is not None and continue_from is None:
        raise ValueError("overlap says how much of an earlier video is known, and none is given: add continue_from.")
    ways: dict[str, Any] = {}
    if resampling is not None:
        check_whole("resampling", resampling, 0, MAX_RESAMPLING)
        ways["resampling"] = int(resampling)
    if start_sigma is not None:
        check_number("start_sigma", start_sigma, 0, 1)
        ways["start_sigma"] = float(start_sigma)
    if ways and not given:
        raise ValueError(f"{next(iter(ways))} is of what is known, and nothing is: leave it out.")
    if known is not None:
        return replace(known, **ways)
    if first_frame is not None:
        frame = _fit_picture(first_frame, request, notes)
        _tell_drawn(config, frame, "first_frame", as_is, notes)
        return Beginning(np.asarray(frame)[None], **ways)
    if continue_from is not None:
        return replace(_end_of(read_earlier(continue_from), config, request, overlap, as_is, notes), **ways)
    return None


def _end_of(
    earlier: Earlier, config: Any, request: Request, overlap: int | None, as_is: bool, notes: list[str]
) -> Beginning:
    """The last frames of an earlier video as the beginning of another."""
    count = OVERLAP if overlap is None else read_whole("overlap", overlap)
    check_num_frames(count, "overlap")
    size = earlier.frames.shape[1:3]
    if size != (request.height, request.width):
        raise ValueError(
            f"continue_from is {size[1]}x{size[0]} but {request.width}x{request.height} is asked for: use equal sizes."
        )
    frames, _ = earlier.last(count)
    if len(frames) < count:
        raise ValueError(
            f"continue_from has {len(frames)} frames but the last {count} are to be known: give a longer one, "
            "or a smaller overlap."
        )
    if earlier.latents is None:
        _tell_drawn(config, Image.fromarray(frames[-1]), "continue_from", as_is, notes)
    groups, latents = count_latents(count) - 1, earlier.latents
    if latents is not None:  # of which the first stands for one frame; there may be more frames than were made last
        latents = latents[:, latents.shape[1] - groups :] if latents.shape[1] > groups else None
    return Beginning(frames[-count:], latents, earlier)


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
        return given.as_earlier()
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
    before, earlier = np.zeros(length, np.float32), beginning.earlier
    if earlier is not None and earlier.heard is not None:
        before = earlier.heard[-length:]
    elif earlier is not None:
        frames, played = earlier.last(beginning.overlap)
        if played is not None:
            before = fit_samples(hear_samples(*played), len(frames) * SAMPLES_PER_FRAME)[-length:]
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


def _tell_drawn(config: Any, picture: Image.Image, name: str, as_is: bool, notes: list[str]) -> None:
    """Say so where a model of drawn people gets what may be none; soft frames of its own may not be known again."""
    if not config.draws_photographs or as_is:
        return
    from humo.portrait.drawn import is_drawing  # the world, of which other models know nothing

    if not is_drawing(picture):
        notes.append(
            f"{name} may show no drawn person, and this model makes no others: it goes on badly from a photograph."
        )
