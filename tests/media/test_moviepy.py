"""humo.media.clips: a video as a clip of moviepy, which keeps every frame and sample and can be cut further.

Run: pip install -e ".[moviepy]" && python -m pytest -n 0 tests/media/test_moviepy.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from moviepy import ColorClip, concatenate_videoclips

from humo.media import AI_NOTICE, read_sound
from humo.requests.call import HuMoPipelineOutput

CHANCE = np.random.default_rng(0)


def _output(num_frames: int = 97, rate: int = 44_100, channels: int = 1) -> HuMoPipelineOutput:
    frames = CHANCE.integers(0, 256, (num_frames, 32, 48, 3), np.uint8)
    samples = CHANCE.uniform(-0.5, 0.5, (num_frames * rate // 25, channels)).astype(np.float32)
    return HuMoPipelineOutput(frames, 25, (samples, rate), 7, {})


@pytest.mark.parametrize("num_frames", [1, 25, 97, 1001])
def test_a_clip_has_every_frame_once(num_frames: int) -> None:
    output = _output(num_frames)
    clip = output.to_moviepy()
    assert (clip.size, clip.fps, clip.duration) == ((48, 32), 25, num_frames / 25)
    np.testing.assert_array_equal(np.stack([*clip.iter_frames()]), output.frames)


@pytest.mark.parametrize(("rate", "channels", "sides"), [(16_000, 1, [0, 0]), (44_100, 2, [0, 1]), (48_000, 6, [2, 2])])
def test_a_clip_has_every_sample_once(rate: int, channels: int, sides: list[int]) -> None:
    """Of six channels of noise, which their mean would lose, the middle one is heard."""
    output = _output(97, rate, channels)
    told = output.to_moviepy().audio.to_soundarray(fps=rate)
    np.testing.assert_array_equal(told, output.audio[0][:, sides])


def test_a_clip_without_sound() -> None:
    assert HuMoPipelineOutput(np.zeros((5, 16, 16, 3), np.uint8), 25, None, 7, {}).to_moviepy().audio is None


def test_a_film_is_cut_from_it(tmp_path: Path) -> None:
    """A second of title, then the clip from its second second on."""
    clip = _output(75, 16_000).to_moviepy()
    film = concatenate_videoclips([ColorClip((48, 32), color=(200, 0, 0), duration=1).with_fps(25), clip.subclipped(1)])
    path = tmp_path / "film.mp4"
    marked = ["-metadata", f"comment={AI_NOTICE}"]
    film.write_videofile(str(path), audio_codec="aac", audio_fps=16_000, ffmpeg_params=marked, logger=None)
    told = subprocess.run([get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False).stderr
    assert "Duration: 00:00:03.0" in told and AI_NOTICE in told
    sound = read_sound(path)
    begins = np.flatnonzero(np.abs(sound.waveform) > 0.1)[0] / 16_000
    assert sound.duration == pytest.approx(3.0, abs=0.15) and begins == pytest.approx(1.0, abs=0.1)
