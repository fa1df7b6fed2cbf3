"""Writes videos that every browser plays, and that say of themselves that they are AI-generated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from humo.system.caches import is_writable

_AS_IT_IS = ("-preset", "veryfast", "-crf", "17")  # half the time of "medium", x264's own, for files of the same size
_ENLARGED = ("-preset", "superfast", "-crf", "18.5", "-x264-params", "partitions=i8x8:aq-strength=0.3")
"""An enlarged picture has no parts so small that they need blocks of their own: half the time of `_AS_IT_IS` for files
of the same size, which are nearer to what was given."""
AI_NOTICE = "AI-generated video, made with HuMo, compact: not a recording of real events."


def write_video(
    path: str | Path,
    frames: np.ndarray,
    fps: float = 25,
    audio: tuple[np.ndarray, int] | None = None,
    metadata: dict[str, Any] | None = None,
    scale: int = 1,
    lossless: bool = False,
) -> Path:
    """Write an mp4 that every browser plays: H.264, yuv420p, BT.709, index at the front, AAC sound.

    The sound keeps its length, also where it is longer than the frames. The file appears whole or not at all.

    Args:
        path: the file to write, ending in .mp4, in an existing folder.
        frames: uint8 RGB, (f, h, w, 3).
        fps: frames a second.
        audio: (samples (samples,) or (samples, channels) float in [-1, 1], rate in Hz), or None.
        metadata: settings to store as JSON in the file's description; the comment always says AI-generated.
        scale: whole number by which the pictures are enlarged (Lanczos).
        lossless: keep every pixel to the bit, as RGB; several times larger, and not every player shows it.

    Returns:
        The path.

    Raises:
        ValueError: if path, frames or scale are not as above.
        OSError: if the encoder fails, for example on a full disk.
    """
    path = check_video_path(path)
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames are {frames.dtype} of shape {frames.shape}: give uint8 of shape (f, h, w, 3).")
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale is {scale}: give a whole number from 1 on.")
    height, width = (side * int(scale) for side in frames.shape[1:3])
    if height % 2 or width % 2:
        raise ValueError(f"the video would have {width}x{height} pixels: both must be even for yuv420p.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".humo-") as folder:
        part, size = Path(folder) / "part.mp4", f"{frames.shape[2]}x{frames.shape[1]}"
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", str(fps), "-i", "pipe:0"]
        given += _write_samples(Path(folder) / "sound.raw", audio)
        coded = _lossless(width, height) if lossless else _coded(width, height, is_enlarged=scale > 1)
        options = [*coded, *_other_options(metadata)]
        _encode([*given, *options, str(part)], frames, Path(folder) / "log.txt")
        os.replace(part, path)
    return path


def check_video_path(path: str | Path) -> Path:
    """Check where a video shall go, before minutes are spent on making it, as `check_target`."""
    return check_target(path, "video", ".mp4")


def check_target(path: str | Path, what: str, ending: str) -> Path:
    """Check where a file shall go.

    Raises:
        ValueError: if the name has not that ending, or the folder does not exist or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ending:
        raise ValueError(f"the {what}'s name {path.name} must end in {ending}.")
    if path.is_dir() or not path.parent.is_dir() or not is_writable(path.parent.absolute()):
        raise ValueError(f"{path} cannot be written: choose a file name in a folder that exists and can be written.")
    return path


def _encode(options: list[str], frames: np.ndarray, log: Path) -> None:
    """Send the frames through ffmpeg, which does not outlive this call.

    Raises:
        OSError: if it fails; the last line of its log is the reason.
    """
    command = [get_ffmpeg_exe(), "-hide_banner", "-v", "error", "-y", *options]
    with (
        open(log, "w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors) as process,
    ):
        try:
            with suppress(BrokenPipeError), cast(IO[bytes], process.stdin) as pipe:  # it ended early: see its log
                for frame in frames:
                    pipe.write(np.ascontiguousarray(frame).data)
            process.wait()
        except BaseException:  # somebody stops us
            process.kill()
            raise
        if process.returncode != 0:
            errors.seek(0)
            lines = errors.read().split("\n")
            reason = next((line for line in reversed(lines) if line), f"it ended with code {process.returncode}")
            reason = re.sub(r"^\[.*?\] ", "", reason).rstrip(".").replace(f"{log.parent}{os.sep}", "")
            raise OSError(f"the video encoder failed: {reason}.")


def _write_samples(path: Path, audio: tuple[np.ndarray, int] | None) -> list[str]:
    """Write the sound as bare floats.

    Returns:
        What makes ffmpeg read it; nothing without sound.
    """
    if audio is None:
        return []
    samples, rate = np.asarray(audio[0], "<f4"), audio[1]
    samples.tofile(path)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    return ["-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", str(path)]


def _coded(width: int, height: int, is_enlarged: bool) -> list[str]:
    # The matrix is named: players guess BT.601 or BT.709 by size, and a wrong guess shifts skin tones.
    picture = f"scale={width}:{height}:flags=lanczos:out_color_matrix=bt709:out_range=tv,format=yuv420p"
    picture += ",setparams=color_primaries=bt709:color_trc=bt709"
    return [
        *("-c:v", "libx264", *(_ENLARGED if is_enlarged else _AS_IT_IS)),
        *("-vf", picture, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
    ]


def _lossless(width: int, height: int) -> list[str]:
    return ["-c:v", "libx264rgb", "-preset", "veryfast", "-qp", "0", "-vf", f"scale={width}:{height}:flags=lanczos"]


def _other_options(metadata: dict[str, Any] | None) -> list[str]:
    told = ("-metadata", f"description={json.dumps(metadata, ensure_ascii=False, default=str)}") if metadata else ()
    return [
        *("-c:a", "aac", "-b:a", "160k"),
        *("-movflags", "+faststart", "-metadata", f"comment={AI_NOTICE}", *told),
    ]
