"""A dub: what stays, what is told, what is refused, and the command.

Run: python -m pytest tests/dubbing/test_dub.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from humo import media
from humo.__main__ import main
from humo.dubbing.clip import read_clip_to_dub
from humo.dubbing.dub import START_SIGMA, dub, find_region, read_dub
from humo.dubbing.region import Region
from humo.dubbing.shape import Shape
from humo.known.files import read_clip
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState
from humo.space.links.mp4_metadata import read_texts
from humo.world.clips import plan_clip, render_clip

GIVEN: dict[str, Any] = {"num_inference_steps": 2, "seed": 7}
MASK = np.zeros((64, 64), bool)
MASK[30:60, 16:48] = True


@pytest.fixture(scope="module")
def pipe() -> HuMoPipeline:
    return tiny.pipeline("mini", max_trained_frames=5, max_frames=31, supported_sizes=[[64, 64]])


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return render_clip(plan_clip(1), num_frames=10, size=64).frames


def test_the_mouth_is_new_and_the_rest_the_clips_own(pipe: HuMoPipeline, clip: np.ndarray) -> None:
    states = list[StepState]()
    video = pipe.dub(clip, tiny.voice(0.4), mask=MASK, on_step=states.append, **GIVEN)
    assert video.frames.shape == clip.shape and video.fps == 25
    assert [state.sigma < START_SIGMA for state in states] == [True], "the first of the two steps is not done"
    np.testing.assert_array_equal(video.frames[:, ~MASK], clip[:, ~MASK])
    assert np.abs(video.frames[:, 40:50, 26:38].astype(int) - clip[:, 40:50, 26:38]).mean() > 5
    assert video.audio is not None and len(video.audio[0]) == 6400 and video.audio[1] == 16_000
    assert video.masks is not None and (video.masks[:, ~MASK] == 0).all()
    assert video.settings["mode"] == "dub" and video.settings["clip"] == [10, 64, 64]
    assert video.notes == ["Longer than the 5 frames of training: made of overlapping windows of that length."]
    again = pipe.dub(clip, tiny.voice(0.4), mask=Region(video.masks), **GIVEN)
    np.testing.assert_array_equal(again.frames, video.frames)
    other = pipe.dub(clip, (tiny.voice(0.4)[0][::-1].copy(), 16_000), mask=MASK, **GIVEN)
    assert (other.frames != video.frames).any(), "it hears the voice"


def test_the_region_is_where_the_head_sees_the_face(clip: np.ndarray) -> None:
    pipe = tiny.pipeline("mini", max_trained_frames=5)
    with torch.no_grad():
        for readout in pipe.focus_head.readouts:
            readout[-1].weight.zero_()
            readout[-1].bias.copy_(torch.tensor([-9.0, -9.0, 9.0, 9.0]))  # the lower half of every token
    found = find_region(pipe, clip, tiny.voice(0.4), Shape(part="face", margin=0))[1]
    assert found.opacity.shape == (10, 64, 64) and 0.3 < found.inside.mean() < 0.7
    video = dub(pipe, clip, tiny.voice(0.4), shape=Shape(part="face", margin=0), **GIVEN)
    np.testing.assert_array_equal(video.masks, found.opacity)
    np.testing.assert_array_equal(video.frames[~found.inside], clip[~found.inside])
    with torch.no_grad():
        for readout in pipe.focus_head.readouts:
            readout[-1].bias.fill_(-9.0)
    with pytest.raises(ValueError, match="^No face is found in the clip: "):
        dub(pipe, clip, tiny.voice(0.4), **GIVEN)


def test_a_larger_file_keeps_its_own_pixels(pipe: HuMoPipeline, clip: np.ndarray, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "clip.mp4", clip, scale=3)
    large, mask = read_clip(path)[0], np.kron(MASK, np.ones((3, 3), bool))
    read = read_clip_to_dub(path, pipe.config, pipe.size_multiple)
    assert read.small.shape == (13, 64, 64, 3) and (read.small[10] == read.small[9]).all()
    assert np.abs(read.small[:10].astype(int) - clip).mean() < 4, "brought back to what was enlarged"
    video = pipe.dub(path, tiny.voice(0.4), mask=mask, **GIVEN)
    np.testing.assert_array_equal(video.frames[:, ~mask], large[:, ~mask])
    assert (video.frames[:, mask] != large[:, mask]).any()


def test_a_voice_of_another_length_is_told(pipe: HuMoPipeline, clip: np.ndarray) -> None:
    longer = pipe.dub(clip, tiny.voice(0.7), mask=MASK, **GIVEN)
    assert len(longer.frames) == 10 and longer.audio is not None and len(longer.audio[0]) == 6400
    assert longer.notes[0].startswith("The voice lasts 0.70 s and is cut to the clip's 0.40 s")
    held = pipe.dub(clip, tiny.voice(0.7), mask=MASK, hold=True, **GIVEN)
    assert len(held.frames) == 18 and held.audio is not None and len(held.audio[0]) == 18 * 640
    assert held.notes[0] == "The clip's last frame is held from 0.40 s to 0.72 s."
    np.testing.assert_array_equal(held.frames[17][~MASK], clip[9][~MASK])
    shorter = pipe.dub(clip, tiny.voice(0.25), mask=MASK, **GIVEN)
    assert shorter.notes[0] == "The voice lasts 0.25 s; silence fills the clip's 0.40 s."
    assert shorter.audio is not None and (shorter.audio[0][4000:] == 0).all()
    cut = pipe.dub(clip, tiny.voice(2.0), mask=MASK, hold=True, **GIVEN)
    assert len(cut.frames) == 29 and cut.notes[0].startswith("The voice lasts 2.00 s and is cut to 1.16 s")
    longest = read_dub(pipe, clip.repeat(3, 0)[:29], tiny.voice(2.0), hold=True, seed=7)
    assert longest.call.notes == ["The voice lasts 2.00 s and is cut to 1.16 s, the longest there is."], "nothing held"


def test_what_cannot_be_dubbed_is_one_sentence(pipe: HuMoPipeline, clip: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    media.write_video(tmp_path / "fast.mp4", clip, fps=30)
    media.write_video(tmp_path / "long.mp4", clip.repeat(4, 0))
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as opened:
        photograph = np.asarray(opened.convert("RGB").resize((64, 64)))[None].repeat(5, 0)
    drawn = tiny.pipeline("mini", draws_photographs=True, supported_sizes=[[64, 64]])
    headless = tiny.pipeline("17B")
    voice = tiny.voice(0.4)
    wrong: list[tuple[HuMoPipeline, Any, Any, dict[str, Any], str]] = [
        (pipe, clip, None, {}, "No voice is given: add a sound in which somebody says"),
        (pipe, clip, (np.zeros(8000, np.float32), 16_000), {}, "sound is silent: "),
        (pipe, tmp_path / "none.mp4", voice, {}, "video none.mp4 does not exist: check the name."),
        (pipe, tmp_path / "notes.mp4", voice, {}, "video notes.mp4 holds unknown data: give an MP4"),
        (pipe, tmp_path / "fast.mp4", voice, {}, "video fast.mp4 plays 30 frames a second: convert it to 25"),
        (pipe, tmp_path / "long.mp4", voice, {}, "clip long.mp4 has more than 29 frames, 1.16 s, which is the most"),
        (pipe, 7, voice, {}, "clip is 7: give an MP4 or WebM file, or frames."),
        (pipe, clip[:, :32], voice, {}, "the clip has 64x32 pixels but this model makes 64x64: give one of that size"),
        (pipe, clip.repeat(4, 0), voice, {}, "the clip has more than 29 frames, 1.16 s, which is the most that"),
        (pipe, clip, voice, {"mask": MASK[:60]}, "the mask has 64x60 pixels but the clip has 64x64: "),
        (pipe, clip, voice, {"mask": MASK & False}, "the mask marks nothing: "),
        (pipe, clip, voice, {"shape": Shape(margin=99)}, "margin is 99: give pixels of the clip, 0 to 32."),
        (drawn, photograph, voice, {}, "the clip shows no drawn person of this model's kind, and it knows no others: "),
        (headless, clip, voice, {}, "to find the face in a clip needs a focus head but this model has none: "),
        (headless, clip[:, :60, :60], voice, {}, "the clip has 60x60 pixels, both must be multiples of 16: "),
    ]
    for model, given, sound, options, words in wrong:
        with pytest.raises(ValueError) as refused:
            dub(model, given, sound, **GIVEN | options)
        sentence = str(refused.value)
        assert sentence.startswith(words) and sentence.endswith(".") and str(tmp_path) not in sentence, sentence
    assert dub(drawn, photograph, voice, mask=MASK, as_is=True, **GIVEN).frames.shape == photograph.shape
    assert dub(headless, clip, voice, mask=MASK, **GIVEN).frames.shape == clip.shape, "a mask needs no head"


def test_no_more_of_a_file_is_decoded_than_asked_for(clip: np.ndarray, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "clip.mp4", clip, lossless=True)
    np.testing.assert_array_equal(read_clip(path, most_frames=3)[0], clip[:3])
    np.testing.assert_array_equal(read_clip(path, most_pixels=64 * 64)[0], clip)
    with pytest.raises(ValueError, match=r"^video clip\.mp4 has 64x64 pixels but at most 4,095, as of 84x47, are"):
        read_clip(path, most_pixels=64 * 64 - 1)
    large = media.write_video(tmp_path / "large.mp4", clip, scale=4)  # by the decoder, which then decodes nothing
    with pytest.raises(ValueError, match=r"^video large\.mp4 has 256x256 pixels but at most 4,096, as of 85x48, are"):
        read_clip(large, most_pixels=64 * 64)


def test_lossless_files_keep_every_pixel(clip: np.ndarray, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "same.mp4", clip, lossless=True)
    np.testing.assert_array_equal(read_clip(path)[0], clip)
    assert read_texts(path)["comment"] == media.AI_NOTICE


@pytest.mark.slow
def test_the_command_dubs_a_clip_of_the_bundled_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = render_clip(plan_clip(3, "test"), num_frames=25)
    media.write_video("clip.mp4", drawn.frames, audio=(drawn.waveform, 16_000), scale=4)
    media.write_video("voice.mp4", drawn.frames, audio=tiny.voice(1.0))
    given = ["dub", "clip.mp4", "--audio", "voice.mp4", "--steps", "4", "--seed", "3"]
    assert main([*given, "--find", "mask.png"]) == 0
    with Image.open("mask.png") as mask:
        assert mask.size == (512, 512)
        marked = np.asarray(mask) > 0
    mouth = np.kron((drawn.features == 2).any(0), np.ones((4, 4), bool))
    assert marked[mouth].mean() > 0.97 and marked.mean() < 0.25
    assert read_clip("mask.mp4")[0].shape == (25, 512, 512, 3)
    assert main([*given, "--lossless", "--mask", "mask.png", "--out", "out.mp4"]) == 0
    assert "out.mp4: 25 frames, 1.00 s, seed 3" in capfd.readouterr().out
    frames, sound = read_clip("out.mp4")
    original = read_clip("clip.mp4")[0]
    np.testing.assert_array_equal(frames[:, ~marked], original[:, ~marked])
    assert (frames[:, marked] != original[:, marked]).any() and sound is not None
    told = read_texts(Path("out.mp4"))
    assert told["comment"] == media.AI_NOTICE and '"mode": "dub"' in told["description"]
    assert main(["dub", "clip.mp4"]) == 2
    assert "Error: No voice is given: add --audio" in capfd.readouterr().err
