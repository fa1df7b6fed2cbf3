"""Reads a video's frames as they are in the file: none is scaled, left out or shown twice. Ours.

As for sounds and pictures a file is judged by its first bytes, the decoder is told the format, runs in a process of
its own within limits of time and size, and may open no other file.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from humo.media.decoding import DEMUXERS, PATIENCE
from humo.media.kinds import begin_of, existing_file, kind_of
from humo.timing import FPS

KINDS = ("MP4", "WEBM")
"""What a video may be, by its first bytes."""
MAX_SIDE = 4096
"""Pixels of a side."""
MAX_BYTES = 3 << 29
"""Of all frames together: 1.5 GiB, ten seconds of 1920x1080."""
_RATE = re.compile(r"([\d.]+)(k?) (?:fps|tbr)")
_SIZE = re.compile(r"[\s,](\d{1,5})x(\d{1,5})[\s,]")
_RATIO = re.compile(r"SAR (\d+):(\d+)")
_TURNED = re.compile(r"rotation of (-?[\d.]+) degrees")
_NEAR = 0.01
"""Frames a second by which a rate may differ: ffmpeg rounds what it tells."""


@dataclass(frozen=True, slots=True)
class Footage:
    """The frames of a video file, at 25 a second."""

    frames: np.ndarray
    """RGB, uint8 (f, height, width, 3)."""
    name: str
    """Of the file, without its folder."""


def read_video(path: str | Path, max_frames: int) -> Footage:
    """Read all frames of a video of 25 frames a second.

    Args:
        path: an MP4 or WebM file, by its content.
        max_frames: most frames that it may have.

    Returns:
        Its frames, upright.

    Raises:
        ValueError: in one sentence, if it is missing, empty, no video by its content, damaged, of another rate, too
            long or too large, or has pixels that are not square.
        TimeoutError: if decoding takes longer than `humo.media.decoding.PATIENCE`.
    """
    path = existing_file(path, "video")
    name = f"video {path.name}"
    kind = kind_of(path)
    if kind not in KINDS:
        found = "has no video inside that we know" if kind == "unknown" else f"holds {kind} data, not a video"
        raise ValueError(f"{name} {found}: give an MP4 or WebM.")
    height, width = _check_header(_ffmpeg(path, kind, []).stderr.decode("utf-8", "replace"), name)
    if (size := (max_frames + 1) * height * width * 3) > MAX_BYTES:
        most = MAX_BYTES // (max_frames * 3)
        raise ValueError(
            f"{name} has {width}x{height} pixels, {size >> 20:,} MiB in {max_frames} frames, but at most {most:,} "
            "pixels a frame are read: make it smaller."
        )
    wanted = ["-map", "0:v:0", "-fps_mode", "passthrough", "-frames:v", str(max_frames + 1)]
    wanted += ["-sws_flags", "accurate_rnd+full_chroma_int", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    done = _ffmpeg(path, kind, wanted)
    frames = np.frombuffer(done.stdout, np.uint8)
    frames = frames[: len(frames) // (height * width * 3) * height * width * 3].reshape(-1, height, width, 3)
    if done.stderr.strip() or not len(frames):
        raise ValueError(f"{name} is damaged or cut off: save it again as MP4.")
    if len(frames) > max_frames:
        raise ValueError(
            f"{name} lasts longer than {max_frames / FPS:.2f} s, {max_frames} frames, the most that can be read here: "
            "cut it."
        )
    return Footage(frames, path.name)


def _check_header(told: str, name: str) -> tuple[int, int]:
    """Height and width of the frames as they will be decoded.

    Raises:
        ValueError: if there is no video, or none that can be taken as it is.
    """
    stream = next((line for line in told.splitlines() if "Video:" in line and "attached pic" not in line), "")
    size, rate = _SIZE.search(stream), _RATE.search(stream)
    if size is None:
        raise ValueError(f"{name} has no pictures that can be decoded: give an MP4 or WebM with a video in it.")
    if rate is None or abs(float(rate[1]) * (1000 if rate[2] else 1) - FPS) > _NEAR:
        found = "no frame rate" if rate is None else f"{rate[1]}{rate[2]} frames a second"
        raise ValueError(f"{name} has {found}, only {FPS} are taken: convert it, as `ffmpeg -i FILE -r {FPS}` does.")
    ratio = _RATIO.search(stream)
    if ratio is not None and ratio[1] != ratio[2]:
        raise ValueError(f"{name} has pixels of {ratio[1]}:{ratio[2]}, only square ones are taken: convert it.")
    width, height = int(size[1]), int(size[2])
    if max(width, height) > MAX_SIDE:
        raise ValueError(f"{name} has {width}x{height} pixels, at most {MAX_SIDE} a side are taken: make it smaller.")
    turned = _TURNED.search(told)
    return (width, height) if turned is not None and round(float(turned[1])) % 180 else (height, width)


def _ffmpeg(path: Path, kind: str, wanted: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Only local files and only the format that the first bytes show: a container may not name other files."""
    level = "error" if wanted else "info"
    given = ["-hide_banner", "-nostdin", "-v", level, "-protocol_whitelist", "file,pipe", "-f", DEMUXERS[kind]]
    if begin := begin_of(path):
        given += ["-skip_initial_bytes", str(begin)]
    command = [get_ffmpeg_exe(), *given, "-i", str(path.resolve()), *wanted]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"video {path.name} took more than {PATIENCE} s to decode.") from None
