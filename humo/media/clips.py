"""A video as a clip of moviepy, to cut it further. Ours; moviepy is an extra, for it holds Pillow below 12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from humo.media.mixing import mix_to_mono

if TYPE_CHECKING:
    from moviepy import AudioClip, VideoClip

_ROUNDING = 1e-3
"""Share of a frame by which a moment may lie before it: moviepy counts seconds in floats."""


def to_moviepy(frames: np.ndarray, fps: float, audio: tuple[np.ndarray, int] | None = None) -> VideoClip:
    """Make a clip of frames and their sound, both as they are.

    Args:
        frames: uint8 RGB, (f, h, w, 3); not copied.
        fps: frames a second.
        audio: (samples (samples,) or (samples, channels) float in [-1, 1], rate in Hz), or None.

    Returns:
        The clip, f / fps seconds long. Its sound is stereo: moviepy 2.2 takes others apart wrongly. One channel is
        heard on both sides, and so is what the model hears of more than two.

    Raises:
        ValueError: if moviepy is not installed.
    """
    try:
        from moviepy import VideoClip
    except ImportError:
        raise ValueError("moviepy is not installed: run `pip install moviepy`.") from None

    def frame_at(second: float) -> np.ndarray:
        return frames[min(int(second * fps + _ROUNDING), len(frames) - 1)]

    clip = VideoClip(frame_at, duration=len(frames) / fps).with_fps(fps)
    return clip if audio is None else clip.with_audio(_stereo(*audio))


def _stereo(samples: np.ndarray, rate: int) -> AudioClip:
    from moviepy import AudioClip

    samples = np.asarray(samples, np.float32).reshape(len(samples), -1)
    if samples.shape[1] != 2:
        samples = np.repeat(mix_to_mono(samples)[0][:, None], 2, axis=1)
    ending = np.concatenate([samples, np.zeros((1, 2), np.float32)])

    def samples_at(seconds: float | np.ndarray) -> np.ndarray:
        return ending[np.clip(np.rint(rate * np.asarray(seconds)).astype(int), 0, len(samples))]

    return AudioClip(samples_at, duration=len(samples) / rate, fps=rate)
