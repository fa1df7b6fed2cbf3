"""A video file as frames and sound, for whoever goes on from it. Ours; ffmpeg as imageio-ffmpeg brings it.

ffmpeg runs as a process of its own, and reads only local files in the format that their first bytes show: a container
may not name other files.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from humo.media.decoding import DEMUXERS, PATIENCE, decode_sound
from humo.media.kinds import existing_file, kind_of
from humo.media.sounds import MAX_SAMPLES, MAX_SECONDS
from humo.timing import FPS

KINDS = ("MP4", "WEBM")
"""What a video may be, by its first bytes."""
MAX_BYTES = 2**32
"""Of all frames together."""
_SAME_RATE = 0.02
"""Frames a second by which a file may differ from 25: containers round."""
_PICTURE = re.compile(r"Video: rawvideo.*?[\s,](\d+)x(\d+)[\s,]")
_RATE = re.compile(r"Stream #0.*?: Video: .*?([\d.]+) fps")
_RAW = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-fs", str(MAX_BYTES)]


def read_clip(path: str | Path) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
    """Read every frame of a video as it is, and its sound.

    Args:
        path: an MP4 or WebM file of 25 frames a second.

    Returns:
        RGB, uint8 (f, height, width, 3), and samples, float32 (samples, channels), with their rate in Hz; None without
        a sound.

    Raises:
        ValueError: if it is missing, no such video, damaged, of another rate, or of 4 GiB of pixels or more.
    """
    path = existing_file(path, "video")
    kind = kind_of(path)
    if kind not in KINDS:
        raise ValueError(f"video {path.name} holds {kind} data: give an MP4 or WebM video.")
    given = ["-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe", "-f", DEMUXERS[kind]]
    command = [get_ffmpeg_exe(), *given, "-i", str(path.resolve()), *_RAW, "pipe:1"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"video {path.name} takes too long to decode: give its end alone.") from None
    told = done.stderr.decode("utf-8", "replace")
    size, rate = _PICTURE.search(told), _RATE.search(told)
    if size is None or not done.stdout:
        raise ValueError(f"video {path.name} is damaged or has no picture: save it again.")
    if rate is None or abs(float(rate[1]) - FPS) > _SAME_RATE:
        found = f"plays {rate[1]} frames a second" if rate else "does not say how fast it plays"
        raise ValueError(f"video {path.name} {found}: convert it to {FPS}, as are made.")
    if len(done.stdout) >= MAX_BYTES:
        raise ValueError(f"video {path.name} has 4 GiB of pixels or more: give its end alone.")
    width, height = int(size[1]), int(size[2])
    num_frames = len(done.stdout) // (height * width * 3)
    frames = np.frombuffer(done.stdout, np.uint8, num_frames * height * width * 3).reshape(-1, height, width, 3)
    return frames, _read_sound(path, kind) if ": Audio: " in told else None


def _read_sound(path: Path, kind: str) -> tuple[np.ndarray, int]:
    """What it plays, which may be silent and of any length below ten minutes."""
    try:
        decoded = decode_sound(path, kind, MAX_SECONDS, MAX_SAMPLES)
    except TimeoutError:
        raise ValueError(f"the sound of video {path.name} takes too long to decode: save it again.") from None
    if not decoded.rate or not len(decoded.samples):
        raise ValueError(f"the sound of video {path.name} cannot be decoded: save it again, or without sound.")
    return decoded.samples, decoded.rate
