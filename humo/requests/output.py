"""A video as it comes back, alone or going on from an earlier one. Ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from humo.media import write_video
from humo.media.clips import to_moviepy
from humo.requests.checks import fit_samples
from humo.timing import FPS

if TYPE_CHECKING:
    from moviepy import VideoClip


@dataclass
class HuMoPipelineOutput:
    """A generated video.

    Attributes:
        frames: RGB, uint8 (f, height, width, 3); of a video that goes on from another one, those that are new.
        fps: frames a second, 25.
        audio: the given sound at its own rate, cut or padded to the video: (float32 (samples, channels), Hz);
            None without sound.
        seed: what repeats the video with the same inputs.
        settings: all that was asked, as plain data.
        masks: probability of the face, float32 (latent frames, rows, columns) on the focus head's grid; None
            unless asked for.
        notes: what was decided for the caller, in sentences.
        latents: of all frames that were made, known ones included, float32 (z, latent frames, h, w), so that a video
            that goes on from this one begins with its very latents; None where they are not known.
        overlapped: the known frames as the codec shows them between what is before and after, uint8 (overlap, height,
            width, 3); None where it goes on from nothing.
        earlier: what it goes on from; None for nothing.
    """

    frames: np.ndarray
    fps: int
    audio: tuple[np.ndarray, int] | None
    seed: int
    settings: dict[str, Any]
    masks: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    latents: np.ndarray | None = field(default=None, repr=False)
    overlapped: np.ndarray | None = field(default=None, repr=False)
    earlier: Earlier | None = field(default=None, repr=False)

    @property
    def overlap(self) -> int:
        """Frames of the earlier video that were known; 0 where it goes on from nothing."""
        return 0 if self.overlapped is None else len(self.overlapped)

    def whole(self) -> HuMoPipelineOutput:
        """The earlier video and this one as one, the known frames faded from one to the other.

        Returns:
            All frames under both sounds, at this one's rate; itself where it goes on from nothing. The latents stay
            this one's.
        """
        if self.earlier is None:
            return self
        frames, audio = self.as_earlier().whole()
        return replace(self, frames=frames, audio=audio, overlapped=None, earlier=None)

    def as_earlier(self) -> Earlier:
        """This video for another one that goes on from it."""
        return Earlier(self.frames, self.audio, self.latents, overlapped=self.overlapped, earlier=self.earlier)

    def save(self, path: str | Path, scale: int = 1) -> Path:
        """Write an mp4 with the sound and, in its metadata, the settings.

        Args:
            path: the file to write, ending in .mp4.
            scale: whole number by which the pictures are enlarged.

        Returns:
            The path.
        """
        return write_video(path, self.frames, self.fps, self.audio, self.settings, scale)

    def to_moviepy(self) -> VideoClip:
        """The video as a clip of moviepy, an extra; see `humo.media.clips`."""
        return to_moviepy(self.frames, self.fps, self.audio)


@dataclass(frozen=True)
class Earlier:
    """A video that another one goes on from.

    Attributes:
        frames: uint8 (f, height, width, 3).
        audio: what it plays; None without sound.
        latents: as of `HuMoPipelineOutput`; None where they are not known.
        heard: what the model heard of it, mono at 16 kHz, as long as the frames; None for what it plays.
        overlapped: as of `HuMoPipelineOutput`.
        earlier: what it goes on from itself.
    """

    frames: np.ndarray
    audio: tuple[np.ndarray, int] | None = None
    latents: np.ndarray | None = None
    heard: np.ndarray | None = None
    overlapped: np.ndarray | None = None
    earlier: Earlier | None = None

    def last(self, count: int) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
        """Frames, and what is played under them, of which the last `count` are wanted: its own, or all if they are
        fewer."""
        return (self.frames, self.audio) if len(self.frames) >= count else self.whole()

    def whole(self) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
        """All frames from the very first on, and their sound."""
        if self.earlier is None:
            return self.frames, self.audio
        frames, played = self.earlier.whole()
        audio = join_audio((played, len(frames)), (self.audio, len(self.frames)))
        return np.concatenate([fade(frames, self.overlapped), self.frames]), audio


def fade(frames: np.ndarray, overlapped: np.ndarray | None) -> np.ndarray:
    """Frames whose last ones go over, step by step, into others of the same moments.

    Args:
        frames: (f, height, width, 3), uint8.
        overlapped: of the last ones, (o, height, width, 3), uint8; None or empty for none.

    Returns:
        As many frames; the last ones are nearly the others'.
    """
    if overlapped is None or not len(overlapped):
        return frames
    count = len(overlapped)
    share = (np.arange(1, count + 1, dtype=np.float32) / (count + 1))[:, None, None, None]
    faded = (1 - share) * frames[-count:] + share * overlapped
    return np.concatenate([frames[:-count], np.rint(faded).astype(np.uint8)])


Stretch = tuple[tuple[np.ndarray, int] | None, int]
"""What is played, if anything, and for how many frames."""


def join_audio(first: Stretch, second: Stretch) -> tuple[np.ndarray, int] | None:
    """Two sounds one after the other, each as long as its frames; silence where one is missing.

    Args:
        first: samples (samples, channels), Hz, and frames.
        second: what follows; its rate and its channels count, or the first one's where it is silent.

    Returns:
        Samples and their rate; None where neither has a sound.
    """
    leading = second[0] or first[0]
    if leading is None:
        return None
    rate, channels = leading[1], leading[0].shape[1]
    parts = [_resampled(audio, rate, channels, round(frames * rate / FPS)) for audio, frames in (first, second)]
    return np.concatenate(parts), rate


def _resampled(audio: tuple[np.ndarray, int] | None, rate: int, channels: int, length: int) -> np.ndarray:
    if audio is None:
        return np.zeros((length, channels), np.float32)
    samples, own = audio
    if own != rate:
        import soxr  # sounds of one rate never need it

        samples = np.asarray(soxr.resample(samples, own, rate), np.float32)
    if samples.shape[1] != channels:
        samples = np.repeat(samples.mean(1, keepdims=True), channels, axis=1)
    return fit_samples(samples, length)
