"""The clock of a video: frames, latent frames and samples of sound. Numbers alone, so that all may import it.

Source: HuMo sec. 4.1 (25 frames a second), Wan 2.1 (arXiv 2503.20314, a latent frame holds four frames, the first
one alone), Whisper (arXiv 2212.04356, 16 kHz).
"""

from __future__ import annotations

FPS = 25
"""Video frames, and audio features, a second."""
SAMPLE_RATE = 16_000
"""Hz of every sound that an audio encoder hears."""
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
FRAMES_PER_LATENT = 4
PUBLISHED_FRAMES = 97
"""Video frames on which the published models were trained; more may be asked for, but no sound asks for more."""
_ROUNDING = 2_000
"""A part of a second, half a millisecond, that counts as nothing: resampling and containers round as much."""


def check_num_frames(num_frames: int, name: str = "num_frames") -> None:
    """Refuse a length that is not 4k+1.

    Args:
        num_frames: of a video.
        name: under which it was given.

    Raises:
        ValueError: with the nearest length that is allowed.
    """
    if num_frames < 1 or num_frames % FRAMES_PER_LATENT != 1:
        nearest = count_frames(max(1, 1 + round((num_frames - 1) / FRAMES_PER_LATENT)))
        raise ValueError(f"{name} must be 4k+1 (1, 5, … 97) but is {num_frames}: use {nearest}.")


def count_latents(num_frames: int) -> int:
    """Latent frames of so many video frames, 4k+1."""
    return 1 + (num_frames - 1) // FRAMES_PER_LATENT


def count_frames(num_latents: int) -> int:
    """Video frames of so many latent frames."""
    return 1 + (num_latents - 1) * FRAMES_PER_LATENT


def round_down(num_frames: int) -> int:
    """The largest 4k+1 that is not more; 1 at least."""
    return count_frames(count_latents(max(1, num_frames)))


def round_up(num_frames: int) -> int:
    """The smallest 4k+1 that is not less; 1 at least."""
    return round_down(num_frames + FRAMES_PER_LATENT - 1)


def covering_frames(num_samples: int, rate: int) -> int:
    """Video frames that cover a sound to its last sample; of any number, 1 at least.

    Args:
        num_samples: of the sound.
        rate: its samples a second.
    """
    return max(1, -(-num_samples * FPS // rate))


def longest_by_sound(max_frames: int | None, trained_frames: int | None) -> int | None:
    """Frames at which a sound is cut, None for never.

    Args:
        max_frames: most that the model makes; None for any.
        trained_frames: of the windows of which it makes longer videos; None for none, as published.
    """
    return max_frames or (None if trained_frames else PUBLISHED_FRAMES)


def frames_for_sound(num_samples: int, rate: int, longest: int | None = None) -> int:
    """Frames of the video for a sound: 4k+1 that cover it, so that silence follows rather than a word is cut.

    Args:
        num_samples: of the sound.
        rate: its samples a second.
        longest: most frames that may be; None for any.
    """
    covering = round_up(covering_frames(num_samples - rate // _ROUNDING, rate))
    return covering if longest is None else min(covering, round_down(longest))
