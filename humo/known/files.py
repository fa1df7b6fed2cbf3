"""A video file as frames, for whoever goes on from it. Ours; ffmpeg as imageio-ffmpeg brings it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from imageio_ffmpeg import read_frames

from humo.media.decoding import DEMUXERS, decode_sound
from humo.media.kinds import existing_file, kind_of
from humo.media.sounds import MAX_SAMPLES, MAX_SECONDS
from humo.timing import FPS

KINDS = ("MP4", "WEBM")
"""What a video may be, by its first bytes."""
MAX_BYTES = 2**32
"""Of all frames together."""
_SAME_RATE = 0.02
"""Frames a second by which a file may differ from 25: containers round."""


def read_clip(path: str | Path) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
    """Read every frame of a video as it is, and its sound.

    Args:
        path: an MP4 or WebM file of 25 frames a second.

    Returns:
        RGB, uint8 (f, height, width, 3), and samples, float32 (samples, channels), with their rate in Hz; None without
        a sound.

    Raises:
        ValueError: if it is missing, no such video, damaged, of another rate, or larger than 4 GiB of pixels.
    """
    path = existing_file(path, "video")
    kind = kind_of(path)
    if kind not in KINDS:
        raise ValueError(f"video {path.name} holds {kind} data: give an MP4 or WebM video.")
    # Only local files, and only the format that the first bytes show: a container may not name other files.
    given = ["-protocol_whitelist", "file,pipe", "-f", DEMUXERS[kind]]
    frames, described = list[np.ndarray](), dict[str, Any]()
    reader = read_frames(str(path.resolve()), input_params=given)
    try:
        described = next(reader)
        rate = described["fps"]
        if abs(rate - FPS) > _SAME_RATE:
            raise ValueError(f"video {path.name} plays {rate:g} frames a second: convert it to {FPS}, as are made.")
        for data in reader:
            frames.append(np.frombuffer(data, np.uint8))
            if len(frames) * len(data) > MAX_BYTES:
                raise ValueError(f"video {path.name} has more than 4 GiB of pixels: give its end alone.")
    except (OSError, RuntimeError, LookupError, AttributeError, StopIteration):  # of a header that says other things
        raise ValueError(f"video {path.name} is damaged and cannot be decoded: save it again.") from None
    finally:
        reader.close()
    if not frames:
        raise ValueError(f"video {path.name} has no frames: give one with a picture.")
    width, height = described["size"]
    pictures = np.stack(frames).reshape(-1, height, width, 3)
    return pictures, _read_sound(path, kind) if described.get("audio_codec") else None


def _read_sound(path: Path, kind: str) -> tuple[np.ndarray, int]:
    """What it plays, which may be silent and of any length below ten minutes."""
    try:
        decoded = decode_sound(path, kind, MAX_SECONDS, MAX_SAMPLES)
    except TimeoutError:
        raise ValueError(f"the sound of video {path.name} takes too long to decode: save it again.") from None
    if not decoded.rate or not len(decoded.samples):
        raise ValueError(f"the sound of video {path.name} cannot be decoded: save it again, or without sound.")
    return decoded.samples, decoded.rate
