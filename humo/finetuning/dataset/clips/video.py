"""Videos of a data set: looked into, resampled to 25 frames a second, fitted into their bucket, and heard.

ffmpeg runs as a process of its own: what a crafted file does to it ends there, and it is stopped in the end. As in
`humo.media`, a file is judged by its first bytes and the decoder is told the format.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humo import media
from humo.finetuning.dataset.dropping import Drop
from humo.media import kind_of
from humo.media.decoding import DEMUXERS, PATIENCE, promised_seconds
from humo.timing import FPS

KINDS = ("MP4", "WEBM")
"""What a video may be, by its first bytes."""
MAX_SIDE = 8192
"""Pixels; larger frames are no videos of people."""
MAX_FPS = 240.0


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the header says."""

    height: int
    """Pixels as shown, turned upright."""
    width: int
    """Pixels as shown, with square pixels."""
    fps: float
    """Frames a second; 0 if unknown."""
    seconds: float
    """0 if unknown."""
    has_sound: bool


def probe(path: Path) -> VideoInfo:
    """Look into a video's header.

    Raises:
        Drop: if it is no video, or its header is damaged.
    """
    done = _ffmpeg(path, [])
    text = done.stderr.decode("utf-8", "replace")
    stream = next((line for line in text.splitlines() if "Video:" in line and "attached pic" not in line), None)
    size = re.search(r"[\s,](\d{1,5})x(\d{1,5})[\s,]", stream or "")
    if stream is None or size is None:
        # A whole container with nothing in it tells its duration; a damaged one is not opened.
        raise Drop("zero-length video" if "Duration:" in text else "corrupt video", _last_line(text, path))
    width, height = int(size[1]), int(size[2])
    if aspect := re.search(r"SAR (\d+):(\d+)", stream):
        width = max(1, round(width * int(aspect[1]) / max(1, int(aspect[2]))))
    if (turned := re.search(r"rotation of (-?[\d.]+) degrees", text)) and round(float(turned[1])) % 180:
        width, height = height, width
    rate = re.search(r"([\d.]+)(k?) (?:fps|tbr)", stream)
    fps = float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0
    return VideoInfo(height, width, fps, promised_seconds(text), "Audio:" in text)


def check_rate(info: VideoInfo, min_fps: float) -> None:
    """Refuse a frame rate that cannot become 25.

    Raises:
        Drop: if it is unknown, slower than `min_fps` or faster than `MAX_FPS`.
    """
    if not min_fps <= info.fps <= MAX_FPS:
        found = f"{info.fps:g} frames a second" if info.fps else "unknown"
        raise Drop("frame rate", found)


def read_frames(path: Path, height: int, width: int, max_frames: int) -> np.ndarray:
    """Read the first frames, at 25 a second, scaled to cover height x width and cut in the middle.

    Faster and slower videos give the frame that is shown at each moment; none is blended.

    Args:
        path: MP4 or WebM.
        height: pixels.
        width: pixels.
        max_frames: most frames.

    Returns:
        uint8 RGB, (f, height, width, 3) with 1 <= f <= max_frames.

    Raises:
        Drop: if it cannot be decoded or has no frames.
    """
    chain = (
        f"fps={FPS}:start_time=0,scale='max(1,trunc(iw*sar))':ih,setsar=1,"
        f"scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos,crop={width}:{height}"
    )
    wanted = ["-map", "0:v:0", "-vf", chain, "-frames:v", str(max_frames), "-f", "rawvideo", "-pix_fmt", "rgb24"]
    done = _ffmpeg(path, [*wanted, "pipe:1"])
    errors = done.stderr.decode("utf-8", "replace").strip()
    num_frames = len(done.stdout) // (height * width * 3)
    if num_frames == 0:
        empty = done.returncode == 0 or "received no packets" in errors or "Output file is empty" in errors
        raise Drop("zero-length video" if empty else "corrupt video", _last_line(errors, path))
    if errors and num_frames < max_frames:
        raise Drop("corrupt video", f"after {num_frames} frames: {_last_line(errors, path)}")
    frames = np.frombuffer(done.stdout, np.uint8, num_frames * height * width * 3)
    return frames.reshape(num_frames, height, width, 3)


def read_waveform(path: Path, seconds: float) -> np.ndarray:
    """Hear the first seconds of a sound, or of a video's own from the moment of its first frame.

    Args:
        path: the video, or a sound beside it.
        seconds: at most.

    Returns:
        Mono at 16 kHz, float32 (samples,), read as every sound is; a track that begins later begins with silence.

    Raises:
        Drop: if it cannot be decoded.
    """
    try:
        return media.read_waveform(path, seconds)
    except TimeoutError:
        raise Drop("reader died", f"{path.name} took more than {PATIENCE} s") from None
    except ValueError as error:
        raise Drop("corrupt sound", str(error)[:160]) from None


def _ffmpeg(path: Path, wanted: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Only local files and only the format that the first bytes show: a container may not name other files."""
    from imageio_ffmpeg import get_ffmpeg_exe

    kind = kind_of(path)
    if kind not in KINDS:
        raise Drop("corrupt video", f"{path.name} holds {kind} data")
    level = "error" if wanted else "info"
    given = f"-hide_banner -v {level} -nostdin -protocol_whitelist file,pipe -f {DEMUXERS[kind]} -i".split()
    try:
        return subprocess.run(
            [get_ffmpeg_exe(), *given, str(path.resolve()), *wanted], capture_output=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise Drop("reader died", f"{path.name} took more than {PATIENCE} s") from None


def _last_line(text: str, path: Path) -> str:
    """The decoder's last word, without the folder."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "At least one output" not in line]
    return (lines[-1] if lines else "").replace(str(path.resolve()), path.name).replace(str(path), path.name)[:160]
