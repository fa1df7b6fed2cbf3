"""humo.media.video: what is written is what browsers play, or one sentence, and nothing stays behind.

Run: python -m pytest tests/media/test_video.py
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from humo import media
from humo.media.clips import to_moviepy


def _voice(seconds: float = 1.0, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (220 + 30 * c) * time) for c in range(channels)], axis=1).astype("f4")


def _probe(path: Path) -> str:
    return subprocess.run([get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False).stderr


def _one_sentence(error: pytest.ExceptionInfo[OSError], folder: Path) -> None:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and str(folder) not in text


def test_video_is_what_browsers_play(tmp_path: Path) -> None:
    frames = np.zeros((25, 32, 48, 3), np.uint8)
    frames[..., 0] = 200
    written = media.write_video(
        tmp_path / "out.mp4", frames, 25, (_voice(1.25), 16_000), {"seed": 7, "prompt": "é;="}, scale=2
    )
    text = _probe(written)
    for words in (
        "h264",
        "yuv420p(tv, bt709",
        "96x64",
        "25 fps",
        "Audio: aac",
        "16000 Hz",
        "AI-generated",
        '"seed": 7',
    ):
        assert words in text, f"{words} missing in {text}"
    assert "Duration: 00:00:01.2" in text, "the sound keeps its length"
    content = written.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "the index must come first (faststart)"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"], "no temporary file stays"

    decoded = subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-i", str(written), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    pictures = np.frombuffer(decoded, np.uint8).reshape(-1, 64, 96, 3)
    assert len(pictures) == 25 and np.abs(pictures.mean((0, 1, 2)) - [200, 0, 0]).max() < 6, "colours survive"


def test_an_enlarged_video_is_written_with_fewer_kinds_of_blocks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    told = {scale: media.write_video(tmp_path / f"{scale}.mp4", noise, scale=scale).read_bytes() for scale in (1, 4)}
    assert b"crf=17.0" in told[1] and b"analyse=0x3:0x113" in told[1], "x264 writes its options into the file"
    assert b"crf=18.5" in told[4] and b"analyse=0x3:0x2" in told[4]


def test_video_without_sound_and_bad_arguments(tmp_path: Path) -> None:
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    assert "Audio" not in _probe(media.write_video(tmp_path / "mute.mp4", frames))
    for arguments, words in [
        ((tmp_path / "a.avi", frames), "must end in .mp4"),
        ((tmp_path / "no" / "a.mp4", frames), "folder that exists"),
        ((tmp_path / "a.mp4", frames.astype(float)), "uint8"),
        ((tmp_path / "a.mp4", frames[:0]), "shape"),
        ((tmp_path / "a.mp4", frames[:, :15]), "even"),
        ((tmp_path / "a.mp4", frames, 25, None, None, 0), "scale is 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            media.write_video(*arguments)


def test_a_video_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    old = tmp_path / "a.mp4"
    old.write_bytes(b"an older video")
    noise = np.random.default_rng(0).integers(0, 255, (50, 256, 256, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # as on a disk that is full in the middle
    try:
        with pytest.raises(OSError, match="^the video encoder failed: ") as error:
            media.write_video(old, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _one_sentence(error, tmp_path)
    with pytest.raises(OSError, match=r"^the video encoder failed: .*[iI]nvalid") as error:
        media.write_video(old, noise, fps=0)  # it ends before it reads a frame, and says why
    _one_sentence(error, tmp_path)
    assert [*tmp_path.iterdir()] == [old] and old.read_bytes() == b"an older video"


def test_nothing_goes_on_when_the_writing_is_stopped(tmp_path: Path) -> None:
    """As by Ctrl-C: no file, no process."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    one = np.zeros((1, 720, 1280, 3), np.uint8)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            media.write_video(tmp_path / "a.mp4", np.broadcast_to(one, (100_000, *one.shape[1:])))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [*tmp_path.iterdir()] == []
    assert [child.name() for child in psutil.Process().children() if "ffmpeg" in child.name()] == []


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "5.1")])
def test_a_video_plays_its_sound_as_it_was_given(tmp_path: Path, channels: int, layout: str) -> None:
    click = 0.01 * _voice(1.0, 48_000, channels)
    click[24_000:24_050] = 0.9
    video = media.write_video(tmp_path / "a.mp4", np.zeros((25, 32, 32, 3), np.uint8), 25, (click, 48_000))
    assert f"48000 Hz, {layout}" in _probe(video)
    heard = media.read_sound(video)
    assert np.abs(heard.original).max(axis=1).argmax() == pytest.approx(24_025, abs=50)
    assert heard.duration == pytest.approx(1.0, abs=0.03)


def test_a_clip_without_moviepy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moviepy", None)
    with pytest.raises(ValueError, match=r"^moviepy is not installed: run `pip install moviepy`\.$"):
        to_moviepy(np.zeros((5, 16, 16, 3), np.uint8), 25)
