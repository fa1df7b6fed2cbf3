"""A video file as frames and sound, for whoever goes on from it. Ours; ffmpeg as imageio-ffmpeg brings it.

ffmpeg runs as a process of its own, and reads only local files in the format that their first bytes show: a container
may not name other files.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, cast

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
_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) exceeds")
_RAW = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-fs", str(MAX_BYTES)]
_PADDING = 128
"""Pixels by which a codec may make a frame's sides larger, for itself."""
_CHUNK, _MOST_TOLD = 1 << 20, 1 << 20
"""Bytes read at a time, and of what ffmpeg says."""


def read_clip(
    path: str | Path, most_frames: int | None = None, most_pixels: int | None = None
) -> tuple[np.ndarray, tuple[np.ndarray, int] | None]:
    """Read every frame of a video as it is, and its sound.

    Args:
        path: an MP4 or WebM file of 25 frames a second.
        most_frames: frames after which decoding ends; None for all of them.
        most_pixels: of a frame, height times width; None for any.

    Returns:
        RGB, uint8 (f, height, width, 3), and samples, float32 (samples, channels), with their rate in Hz; None without
        a sound.

    Raises:
        ValueError: if it is missing, no such video, damaged, of another rate, or of 4 GiB of pixels or more, or if a
            frame has more than `most_pixels`; one with far more is not decoded.
    """
    path = existing_file(path, "video")
    kind = kind_of(path)
    if kind not in KINDS:
        raise ValueError(f"video {path.name} holds {kind} data: give an MP4 or WebM video.")
    given = ["-hide_banner", "-nostdin", "-nostats", "-protocol_whitelist", "file,pipe"]
    given += [] if most_pixels is None else ["-max_pixels", str((math.isqrt(most_pixels) + _PADDING) ** 2)]
    given += ["-f", DEMUXERS[kind], "-i", str(path.resolve()), *_RAW]
    given += [] if most_frames is None else ["-frames:v", str(most_frames)]
    try:
        raw, told = _decode([get_ffmpeg_exe(), *given, "pipe:1"])
    except TimeoutError:
        raise ValueError(f"video {path.name} takes too long to decode: give its end alone.") from None
    size, rate = _PICTURE.search(told), _RATE.search(told)
    large = _TOO_LARGE.search(told) or size
    if most_pixels is not None and large is not None and int(large[1]) * int(large[2]) > most_pixels:
        raise ValueError(
            f"video {path.name} has {large[1]}x{large[2]} pixels but at most {most_pixels:,}, as of "
            f"{_example(most_pixels)}, are taken here: scale it down."
        )
    if size is None or not raw:
        raise ValueError(f"video {path.name} is damaged or has no picture: save it again.")
    if rate is None or abs(float(rate[1]) - FPS) > _SAME_RATE:
        found = f"plays {rate[1]} frames a second" if rate else "does not say how fast it plays"
        raise ValueError(f"video {path.name} {found}: convert it to {FPS}, as are made.")
    if len(raw) >= MAX_BYTES:
        raise ValueError(f"video {path.name} has 4 GiB of pixels or more: give its end alone.")
    width, height = int(size[1]), int(size[2])
    num_frames = len(raw) // (height * width * 3)
    frames = np.frombuffer(raw, np.uint8, num_frames * height * width * 3).reshape(-1, height, width, 3)
    return frames, _read_sound(path, kind) if ": Audio: " in told else None


def _decode(command: list[str]) -> tuple[bytearray, str]:
    """What ffmpeg writes, held in memory once, and the beginning of what it says.

    Raises:
        TimeoutError: if it takes longer than `PATIENCE`; it does not outlive this call.
    """
    is_late = threading.Event()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):

        def give_up() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(PATIENCE, give_up)
        timer.daemon = True
        timer.start()
        raw = bytearray()
        try:
            while chunk := cast(IO[bytes], process.stdout).read(_CHUNK):
                raw += chunk
            process.wait()
        finally:
            timer.cancel()
            process.kill()
        if is_late.is_set():
            raise TimeoutError
        errors.seek(0)
        return raw, errors.read(_MOST_TOLD).decode("utf-8", "replace")


def _example(most_pixels: int) -> str:
    """A frame of so many pixels, 16 to 9."""
    height = math.isqrt(most_pixels * 9 // 16)
    return f"{round(height * 16 / 9)}x{height}"


def _read_sound(path: Path, kind: str) -> tuple[np.ndarray, int]:
    """What it plays, which may be silent and of any length below ten minutes."""
    try:
        decoded = decode_sound(path, kind, MAX_SECONDS, MAX_SAMPLES)
    except TimeoutError:
        raise ValueError(f"the sound of video {path.name} takes too long to decode: save it again.") from None
    if not decoded.rate or not len(decoded.samples):
        raise ValueError(f"the sound of video {path.name} cannot be decoded: save it again, or without sound.")
    return decoded.samples, decoded.rate
