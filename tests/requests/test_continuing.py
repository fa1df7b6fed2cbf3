"""Videos that go on from an earlier one, or begin with a picture.

Run: python -m pytest tests/requests/test_continuing.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from humo.checkpoints import load
from humo.known import Known, know_frames
from humo.media import write_video
from humo.pipeline import HuMoPipeline
from humo.references import decode_latents, encode_video, picture_to_pixels, to_frames
from humo.requests.call import HuMoPipelineOutput, read_call
from humo.requests.continuing import OVERLAP, START_SIGMA
from humo.requests.output import Earlier, fade, join_audio
from humo.sampling import StepState
from humo.world.clips import plan_clip, render_clip

PROMPT = "a woman talks"
GIVEN: dict[str, Any] = {"num_inference_steps": 2, "seed": 7}


@pytest.fixture(scope="module", params=["mini", "17B"])
def pipe(request: pytest.FixtureRequest) -> HuMoPipeline:
    return tiny.pipeline(request.param)


@pytest.fixture(scope="module")
def first(pipe: HuMoPipeline) -> HuMoPipelineOutput:
    """A video of 17 frames to go on from."""
    return pipe(PROMPT, image=tiny.picture(), audio=tiny.voice(0.68), **GIVEN)


def go_on(pipe: HuMoPipeline, earlier: Any, **changes: Any) -> HuMoPipelineOutput:
    given = {"image": tiny.picture(), "audio": tiny.voice(0.32), "overlap": 9, **GIVEN} | changes
    return pipe(PROMPT, continue_from=earlier, **given)


def test_one_frame_of_a_result_may_be_all_that_is_known(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    video = go_on(pipe, first, overlap=1)
    assert video.overlap == 1 and len(video.frames) == 8


def test_the_result_are_the_new_frames(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    states = list[StepState]()
    video = go_on(pipe, first, on_step=states.append)
    assert len(video.frames) == 8 and video.overlap == 9 and video.settings["num_frames"] == 17
    assert video.settings["known"] == {"first_frame": False, "overlap": 9, "resampling": 0, "start_sigma": START_SIGMA}
    assert video.audio is not None and len(video.audio[0]) == 8 * 640
    assert video.notes[0] == "The sound sets the length: 8 frames, 0.32 s."
    whole = video.whole()
    assert len(whole.frames) == 25 and whole.audio is not None and len(whole.audio[0]) == 25 * 640
    np.testing.assert_array_equal(whole.frames[:8], first.frames[:8])
    np.testing.assert_array_equal(whole.frames[17:], video.frames)
    assert first.whole() is first


def test_the_groups_of_an_output_are_known_by_their_very_latents(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    assert first.latents is not None
    video = go_on(pipe, first)
    assert video.latents is not None
    np.testing.assert_allclose(video.latents[:, 1:3], first.latents[:, -2:], atol=1e-5)
    alone = encode_video(picture_to_pixels(Image.fromarray(first.frames[-9])), pipe.vae)[0].detach().numpy()
    np.testing.assert_allclose(video.latents[:, :1], alone, atol=1e-5)
    third = go_on(pipe, video)
    assert third.latents is not None
    np.testing.assert_allclose(third.latents[:, 1:3], video.latents[:, -2:], atol=1e-5, err_msg="and so on")
    assert len(third.whole().frames) == 33
    np.testing.assert_array_equal(third.whole().frames[:16], video.whole().frames[:16], "the 9 after them fade")


def test_frames_and_files_may_be_gone_on_from(pipe: HuMoPipeline, first: HuMoPipelineOutput, tmp_path: Path) -> None:
    bare = go_on(pipe, first.frames)
    assert bare.latents is not None and bare.earlier is not None
    encoded = know_frames(first.frames[-9:], None, pipe.vae).latents[0].numpy()
    np.testing.assert_allclose(bare.latents[:, :3], encoded, atol=1e-5)
    heard = bare.whole().audio
    assert heard is not None and not heard[0][: 17 * 640].any() and heard[0][17 * 640 :].any()
    first.save(tmp_path / "first.mp4")
    video = go_on(pipe, tmp_path / "first.mp4")
    whole = video.whole()
    assert len(whole.frames) == 25 and whole.audio is not None and whole.audio[0][: 17 * 640].any()
    write_video(tmp_path / "mute.mp4", first.frames)
    assert go_on(pipe, str(tmp_path / "mute.mp4"), audio=None, num_frames=13).whole().audio is None


def test_the_sound_before_is_heard(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    def heard(earlier: Any, **changes: Any) -> np.ndarray:
        call = read_call(pipe, PROMPT, audio=tiny.voice(0.32), continue_from=earlier, overlap=9, **changes)
        assert call.heard is not None
        return call.heard

    assert first.audio is not None
    whole = heard(first)
    np.testing.assert_allclose(whole[: 9 * 640], first.audio[0][-9 * 640 :, 0], atol=1e-6)
    np.testing.assert_allclose(whole[9 * 640 :], tiny.voice(0.32)[0], atol=1e-6)
    assert not heard(first.frames)[: 9 * 640].any()
    own = np.linspace(-0.1, 0.1, 17 * 640, dtype=np.float32)
    np.testing.assert_array_equal(heard(Earlier(first.frames, first.audio, heard=own))[: 9 * 640], own[-9 * 640 :])


def test_a_first_frame_is_the_first_frame(pipe: HuMoPipeline) -> None:
    picture = tiny.picture(pipe.config.default_height, pipe.config.default_width)
    video = pipe(PROMPT, first_frame=picture, num_frames=9, **GIVEN)
    assert len(video.frames) == 9 and video.overlap == 0 and video.latents is not None
    encoded = encode_video(picture_to_pixels(picture), pipe.vae)[0].detach().numpy()
    np.testing.assert_allclose(video.latents[:, :1], encoded, atol=1e-5)
    assert video.settings["known"]["first_frame"] and video.notes == []
    wide = pipe(PROMPT, first_frame=tiny.picture(20, 200), num_frames=9, **GIVEN)
    assert wide.notes[0].startswith("The first frame is cut at its sides to the video's")


@pytest.mark.slow
def test_mini_shows_a_first_frame_as_well_as_its_codec_can() -> None:
    pipe, clip = load("mini", dtype=torch.float32), render_clip(plan_clip(5, "validation"), 1)
    picture = clip.frames[0]

    def psnr(frame: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / ((frame.astype(float) - picture) ** 2).mean()))

    video = pipe("a person talks", first_frame=picture, num_frames=17, seed=1, num_inference_steps=6)
    coded = to_frames(decode_latents(encode_video(picture_to_pixels(Image.fromarray(picture)), pipe.vae), pipe.vae)[0])
    assert psnr(video.frames[0]) > psnr(coded[0]) - 0.7
    assert psnr(pipe("a person talks", num_frames=17, seed=1, num_inference_steps=6).frames[0]) < psnr(coded[0]) - 6


def test_anything_may_be_known(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    mask = np.zeros(first.frames.shape[:3])
    mask[:, :, : mask.shape[2] // 2] = 1
    known = know_frames(first.frames, mask, pipe.vae)
    video = pipe(PROMPT, num_frames=17, known=known, **GIVEN)
    half = video.latents[..., : known.mask.shape[-1] // 2]  # type: ignore[index]
    np.testing.assert_allclose(half, known.latents[0, ..., : known.mask.shape[-1] // 2].numpy(), atol=1e-5)
    again = pipe(PROMPT, num_frames=17, known=known, resampling=1, **GIVEN)
    assert (again.frames != video.frames).any() and again.settings["known"]["resampling"] == 1
    empty = replace(known, mask=torch.zeros_like(known.mask))
    np.testing.assert_array_equal(
        pipe(PROMPT, num_frames=17, known=empty, **GIVEN).frames, pipe(PROMPT, num_frames=17, **GIVEN).frames
    )


def test_together_each_is_as_alone(pipe: HuMoPipeline, first: HuMoPipelineOutput) -> None:
    other = pipe(PROMPT, audio=tiny.voice(0.68), **GIVEN | {"seed": 8})
    given = [{"continue_from": each, "seed": number} for number, each in enumerate((first, other))]
    shared = {"audio": tiny.voice(0.32), "overlap": 5, "num_inference_steps": 2}
    told: list[list[np.ndarray]] = [[], []]
    calls = [read_call(pipe, PROMPT, **shared, **one) for one in given]
    together = pipe.generate_batch(calls, on_frames=[told[0].append, told[1].append])
    for one, output, parts in zip(given, together, told, strict=True):
        alone = pipe(PROMPT, **shared, **one)
        assert np.abs(alone.frames.astype(int) - output.frames).max() <= 1
        np.testing.assert_array_equal(np.concatenate(parts), output.frames, "no known frame is told again")
    apart = [calls[0], read_call(pipe, PROMPT, num_frames=13, audio=tiny.voice(0.32), num_inference_steps=2)]
    with pytest.raises(ValueError, match="make each on its own"):
        pipe.generate_batch(apart)


def test_longer_ones_are_made_of_windows() -> None:
    pipe = tiny.pipeline("mini", max_trained_frames=9)
    first = pipe(PROMPT, num_frames=9, **GIVEN)
    video = go_on(pipe, first, audio=tiny.voice(0.8), overlap=5)
    assert len(video.frames) == 20 and "windows" in video.notes[-1] and video.latents is not None
    np.testing.assert_allclose(video.latents[:, 1:2], first.latents[:, -1:], atol=1e-5)  # type: ignore[index]


def test_fading_and_joining() -> None:
    before, after = np.zeros((4, 1, 1, 3), np.uint8), np.full((3, 1, 1, 3), 100, np.uint8)
    assert fade(before, after)[:, 0, 0, 0].tolist() == [0, 25, 50, 75]
    assert fade(before, None) is before
    stereo, mono = np.ones((1280, 2), np.float32), np.full((640, 1), 0.5, np.float32)
    samples, rate = join_audio(((mono, 16_000), 1), ((stereo, 16_000), 2))  # type: ignore[misc]
    assert samples.shape == (1920, 2) and rate == 16_000 and samples[:640].mean() == 0.5
    samples, rate = join_audio(((stereo, 32_000), 1), ((mono, 16_000), 1))  # type: ignore[misc]
    assert samples.shape == (1280, 1) and rate == 16_000
    assert join_audio((None, 3), (None, 2)) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"overlap": 8}, r"overlap must be 4k\+1 .* but is 8: use 9"),
        ({"overlap": 21}, "has 17 frames but the last 21 are to be known: give a longer one, or a smaller overlap"),
        ({"overlap": 2.5}, "overlap"),
        ({"num_frames": 9}, "num_frames is 9, the known 9 included: use at least 13"),
        ({"continue_from": np.zeros((17, 16, 16, 3), np.uint8)}, "continue_from is 16x16 but 64x64 is asked for"),
        ({"continue_from": np.zeros((17, 64, 64, 3))}, "continue_from's frames are float64"),
        ({"continue_from": 5}, "continue_from is 5: give a video of this pipeline, a file, or its frames"),
        ({"continue_from": None}, "overlap says how much of an earlier video is known, and none is given"),
        ({"first_frame": tiny.picture()}, "continue_from and first_frame both say what is known"),
        ({"continue_from": None, "overlap": None, "resampling": 1}, "resampling is of what is known, and nothing is"),
        ({"resampling": 1.5}, "resampling"),
        ({"resampling": 99}, "resampling is 99: choose a whole number from 0 to 20"),
        ({"start_sigma": 2}, "start_sigma is 2: it must be a number from 0 to 1"),
        (
            {"continue_from": None, "overlap": None, "known": Known(torch.zeros(1, 8, 2, 4, 4), torch.zeros(1))},
            r"known has latents of \(1, 8, 2, 4, 4\) but this video's are \(1, 8, 5, 4, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(mini_pipeline: HuMoPipeline, changes: dict[str, Any], sentence: str) -> None:
    earlier = np.zeros((17, 64, 64, 3), np.uint8)
    given = {"continue_from": earlier, "overlap": 9, "num_frames": 17, **GIVEN} | changes
    with pytest.raises(ValueError, match=sentence) as refusal:
        mini_pipeline(PROMPT, **given)
    assert len(str(refusal.value)) < 200 and "\n" not in str(refusal.value)


def test_files_that_do_not_fit_are_refused(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    def refuse(path: Path, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            mini_pipeline(PROMPT, continue_from=path, num_frames=17)

    refuse(tmp_path / "none.mp4", "none.mp4")
    tiny.picture().save(tmp_path / "picture.png")
    refuse(tmp_path / "picture.png", "video picture.png holds PNG data: give an MP4 or WebM video")
    write_video(tmp_path / "fast.mp4", np.zeros((30, 64, 64, 3), np.uint8), fps=30)
    refuse(tmp_path / "fast.mp4", "video fast.mp4 plays 30 frames a second: convert it to 25")
    write_video(tmp_path / "good.mp4", np.zeros((30, 64, 64, 3), np.uint8))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:400])
    refuse(tmp_path / "cut.mp4", "video cut.mp4 is damaged or has no picture: save it again")
    write_video(tmp_path / "short.mp4", np.zeros((3, 64, 64, 3), np.uint8))
    refuse(tmp_path / "short.mp4", f"has 3 frames but the last {OVERLAP} are to be known")


def test_a_model_of_drawn_people_says_what_photographs_are_to_it() -> None:
    pipe = tiny.pipeline("mini", draws_photographs=True)
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    frames = np.stack([np.asarray(photograph)] * 9)
    first = pipe(PROMPT, first_frame=photograph, num_frames=9, **GIVEN)
    assert first.notes[0].startswith("first_frame may show no drawn person, and this model makes no others")
    more = pipe(PROMPT, continue_from=frames, num_frames=17, overlap=9, **GIVEN)
    assert more.notes[0].startswith("continue_from may show no drawn person")
    assert pipe(PROMPT, first_frame=photograph, num_frames=9, as_is=True, **GIVEN).notes == []
    assert pipe(PROMPT, continue_from=first, num_frames=17, overlap=9, **GIVEN).notes == [], "its own are not judged"
