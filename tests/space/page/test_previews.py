"""humo.space.page.previews: what the model will see and hear is what the page shows, in pictures and in words.

Run: python -m pytest tests/space/page/test_previews.py
"""

from __future__ import annotations

import base64
import io
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from humo import audio
from humo.media import Sound, read_sound
from humo.references import letterbox
from humo.requests.checks import choose_num_frames
from humo.space.page import previews
from humo.space.page.previews import describe_picture, describe_sound, heard_html, preview_sound, seen_html
from humo.timing import SAMPLE_RATE

MOON, HOME = "we saw the moon above the quiet garden", "please come home"


def _sound(*parts: float) -> Sound:
    """Seconds of a tone; negative ones are of silence."""
    pieces = [np.zeros(int(-part * 16_000), np.float32) if part < 0 else tiny.voice(part)[0] for part in parts]
    waveform = np.concatenate(pieces)
    return Sound(waveform, waveform[:, None], SAMPLE_RATE)


def _said(*parts: str | float) -> Sound:
    """Sentences in a synthetic voice, and seconds of silence."""
    return read_sound((tiny.said(*parts), SAMPLE_RATE))


@pytest.mark.parametrize("longest", [None, 49, 48, 251])
def test_the_length_is_the_one_that_the_pipeline_chooses(longest: int | None) -> None:
    config = SimpleNamespace(max_frames=longest, max_trained_frames=49, default_num_frames=49)
    for samples in (*range(3_200, 9_000, 320), 31_359, 31_360, 160_000, 200_001):
        sound = Sound(np.ones(samples, np.float32), np.ones((samples, 1), np.float32), SAMPLE_RATE)
        assert preview_sound(sound, longest).num_frames == choose_num_frames(sound, config, [])


def test_windows_are_those_of_the_latent_frames() -> None:
    assert (previews.FRAMES_PER_LATENT, previews.WINDOW) == (audio.FRAMES_PER_LATENT, audio.WINDOW)
    features = torch.arange(1, 50).float()[:, None, None].expand(49, 5, 1)
    windows = audio.window_audio(features, 49)[:, :, 0, 0]
    heard = preview_sound(_sound(1.96), None)
    assert heard.num_windows == len(windows) == 13
    for index, window in enumerate(windows):
        inside = window[window > 0] - 1  # numbers of the features, which last a frame each
        begin, end = (round(edge * 25) for edge in heard.window(index))
        assert max(begin, 0) == inside.min() and min(end, 49) == inside.max() + 1 and end - begin == 8


def test_pauses_are_found_and_told() -> None:
    heard = preview_sound(_said(0.5, MOON, 0.4, HOME, 0.08, MOON), None)
    first = 0.5 + len(tiny.said(MOON)) / SAMPLE_RATE
    assert len(heard.pauses) == 2, "a short pause is none"
    np.testing.assert_allclose(heard.pauses, [(0.0, 0.5), (first, first + 0.4)], atol=0.03)
    assert "Nobody speaks from 0.0 to 0.5 s, from 2.6 to 3.0 s (shaded): there the mouth" in describe_sound(heard)
    whole = preview_sound(_said(MOON), None)
    assert whole.pauses == () and "obody" not in describe_sound(whole)
    assert "and 3 times more (shaded)" in describe_sound(preview_sound(_said(*[HOME, 0.4] * 7), None))


def test_a_knock_hides_no_voice_and_noise_no_pause() -> None:
    expected = preview_sound(_said(0.5, MOON, 0.5, HOME), None).pauses
    for volume in (0.01, 0.3):
        changed = volume * tiny.said(0.5, MOON, 0.5, HOME)
        changed[1_000:1_040] = 1.0
        changed += (0.003 * volume * np.random.default_rng(0).standard_normal(len(changed))).astype(np.float32)
        np.testing.assert_allclose(preview_sound(read_sound((changed, SAMPLE_RATE)), None).pauses, expected, atol=0.1)


def test_pauses_end_with_the_video() -> None:
    assert preview_sound(_said(HOME, 1.0, HOME), 45).pauses[-1][1] == 45 / 25
    assert preview_sound(_said(HOME, 1.0), None).pauses[-1][1] == pytest.approx(
        1.0 + len(tiny.said(HOME)) / SAMPLE_RATE
    )


def test_a_sound_without_speech_is_told_and_has_no_pauses() -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 2 * SAMPLE_RATE).astype(np.float32)
    heard = preview_sound(read_sound((noise, SAMPLE_RATE)), None)
    assert not heard.has_speech and heard.pauses == ()
    assert describe_sound(heard).endswith(" No speech is found in it, and the mouth follows speech.")


def test_what_is_cut_or_filled_is_told() -> None:
    assert describe_sound(preview_sound(_said(MOON, HOME), 49)) == (
        "The model hears 1.96 s: 49 frames, in 13 overlapping windows of 0.32 s. The last 1.29 s are cut off (grey)."
    )
    assert "Silence fills the last 0.96 s." in describe_sound(preview_sound(_sound(1.0), None, num_frames=49))
    whole = describe_sound(preview_sound(_sound(1.96), None))
    assert "cut" not in whole and "fills" not in whole
    assert ": 1 frame, in one window of" in describe_sound(preview_sound(_sound(1.0), 1))


def _shapes(figure: str) -> list[ElementTree.Element]:
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", figure)[0])
    assert svg.get("role") == "img" and svg.get("aria-label").startswith("Wave of the sound, ")
    return list(svg)


def test_the_drawing_has_the_wave_the_windows_and_the_end() -> None:
    def kinds(figure: str) -> list[str]:
        names = {style: name for name, style in previews._STYLES.items()}
        return [names[shape.get("style")] for shape in _shapes(figure)]

    cut = kinds(heard_html(_said(0.5, MOON), 49))
    assert cut == ["pause", "heard", "cut", *["window"] * 13, "end"]
    assert kinds(heard_html(_said(0.5, HOME, 0.3, "yes"), None, 61))[:3] == ["pause", "pause", "pause"]
    assert kinds(heard_html(_said(HOME), None, 49)) == ["pause", "heard", *["window"] * 13, "end"]
    assert "window" not in kinds(heard_html(_sound(60.0), None)), "too many to be seen"
    bars = [shape.get("d") for shape in _shapes(heard_html(_said(0.5, MOON), 49))[1:3]]
    assert sum(bar.count("M") for bar in bars) == previews.COLUMNS
    assert all(bars) and "nan" not in "".join(bars)


def test_the_wave_is_as_high_as_the_sound_is_loud() -> None:
    waveform = np.zeros(32_000, np.float32)
    waveform[8_000:8_100], waveform[24_000:24_100] = 1.0, -0.5
    bars = _shapes(heard_html(Sound(waveform, waveform[:, None], SAMPLE_RATE), None, 49))[-1 - 13 - 2].get("d")
    edges = np.array(re.findall(r"M\d+ ([\d.]+)h\.8V([\d.]+)h", bars), float)
    assert edges[80, 0] == 0.0 and edges[240, 1] == pytest.approx(0.75 * previews.HEIGHT)
    assert np.abs(edges[[10, 160]] - previews.HEIGHT / 2).max() < 1, "a thin line where it is silent"


def test_shown_sounds_are_given_ones(tmp_path) -> None:
    import soundfile

    soundfile.write(tmp_path / "voice.wav", *tiny.voice(1.0, 44_100))
    figure = heard_html(read_sound(tmp_path / "voice.wav"), 251)
    assert "The model hears 1.00 s: 25 frames" in figure and figure.count("<figcaption") == 1


@pytest.mark.parametrize(("size", "frame"), [((30, 40), (128, 128)), ((80, 20), (64, 96)), ((300, 300), (480, 832))])
def test_the_picture_is_the_pipelines_own(size: tuple[int, int], frame: tuple[int, int]) -> None:
    picture = tiny.picture(size[1], size[0])
    figure = seen_html(picture, *frame)
    inside = re.search(r'src="data:image/webp;base64,([^"]+)" alt="What the model sees"', figure)
    shown = Image.open(io.BytesIO(base64.b64decode(inside[1]))).convert("RGB")
    assert shown.size == (frame[1], frame[0])
    difference = np.abs(np.asarray(shown, float) - np.asarray(letterbox(picture, *frame), float))
    assert difference.mean() < 4, "but for the compression"
    assert ("pixelated" in figure) is (max(frame) <= previews.SMALL_SIDE)


@pytest.mark.parametrize(
    ("size", "frame", "words"),
    [
        ((256, 256), (128, 128), "The model sees 128 x 128 pixels, filling the frame."),
        ((100, 200), (128, 128), "The model sees 128 x 128 pixels, white left and right: 50% of the frame."),
        ((800, 600), (832, 480), "The model sees 480 x 832 pixels, white above and below: 57% of the frame."),
        ((40, 40), (128, 128), "filling the frame. It is enlarged from 40 x 40: a larger one shows more."),
    ],
)
def test_the_picture_in_words(size: tuple[int, int], frame: tuple[int, int], words: str) -> None:
    assert describe_picture(size, *frame).endswith(words)
