"""The pipeline: every mode, what it notes, what it refuses, saving and loading."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

import humo
from humo.guidance import constant, published_1_7b
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.requests.checks import choose_num_frames, fit_sound
from humo.sampling import StepState

PROMPT = "a woman with red hair talks"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
@pytest.mark.parametrize("mode", ["T", "TI", "TA", "TIA"])
def test_every_mode(form: str, mode: str, request) -> None:
    pipeline: HuMoPipeline = request.getfixturevalue(form)
    image = tiny.picture() if "I" in mode else None
    audio = tiny.voice(0.36) if "A" in mode else None
    video = pipeline(PROMPT, image=image, audio=audio, seed=1)
    height, width = pipeline.config.default_height, pipeline.config.default_width
    assert video.frames.shape == (9, height, width, 3)
    assert video.frames.dtype == np.uint8
    assert video.fps == 25
    assert video.settings["mode"] == mode
    assert (video.audio is None) == (audio is None)
    assert json.loads(json.dumps(video.settings)) == video.settings


@pytest.mark.slow
def test_conditions_matter_and_seeds_repeat(wan_pipeline: HuMoPipeline) -> None:
    given = {"image": tiny.picture(), "audio": tiny.voice(0.36), "seed": 5}
    video = wan_pipeline(PROMPT, **given).frames
    assert (wan_pipeline(PROMPT, **given).frames == video).all()
    others = [{"seed": 6}, {"image": tiny.picture(20, 60)}, {"audio": tiny.voice(0.36, 22_050)}, {"image": None}]
    others += [{"audio": None, "num_frames": 9}, {"guidance": published_1_7b(2, 2, 2)}, {"num_inference_steps": 3}]
    for change in others:
        assert (wan_pipeline(PROMPT, **{**given, **change}).frames != video).any(), change
    assert (wan_pipeline("a man nods", **given).frames != video).any()
    assert (wan_pipeline(PROMPT, negative_prompt="blue shirt", **given).frames != video).any()


def test_a_seed_is_drawn_and_reported(mini_pipeline: HuMoPipeline) -> None:
    video = mini_pipeline(PROMPT)
    assert video.settings["seed"] == video.seed
    assert (mini_pipeline(PROMPT, seed=video.seed).frames == video.frames).all()
    assert mini_pipeline(PROMPT).seed != video.seed


def test_several_references_in_any_form(mini_pipeline: HuMoPipeline, tmp_path) -> None:
    tiny.picture().save(tmp_path / "a.png")
    states: list[StepState] = []
    images = [tmp_path / "a.png", str(tmp_path / "a.png"), tiny.picture(20, 60)]
    video = mini_pipeline(PROMPT, image=images, seed=1, on_step=states.append)
    assert video.settings["num_images"] == 3
    assert states[0].latents.shape[2] == 3
    assert states[0].attended[0].shape[1] == (3 + 3) * 2 * 2


def test_references_reach_the_network_letterboxed(mini_pipeline: HuMoPipeline) -> None:
    """A picture and the same one with white bars of the right size are one reference."""
    square = Image.new("RGB", (64, 64), "white")
    square.paste(tiny.picture(64, 32), (16, 0))
    frames = [mini_pipeline(PROMPT, image=image, seed=1).frames for image in (square, tiny.picture(64, 32))]
    assert (frames[0] == frames[1]).all()


@pytest.mark.parametrize(("seconds", "num_frames"), [(0.2, 5), (0.35, 9), (0.36, 9), (0.51, 13), (0.53, 17)])
def test_the_sound_sets_the_length(mini_pipeline: HuMoPipeline, seconds: float, num_frames: int) -> None:
    video = mini_pipeline(PROMPT, audio=tiny.voice(seconds, 22_050), seed=1)
    assert len(video.frames) == num_frames
    assert video.notes[0] == f"The sound sets the length: {num_frames} frames, {num_frames / 25:.2f} s."
    samples, rate = video.audio
    assert (len(samples), rate) == (round(num_frames / 25 * 22_050), 22_050)


def test_sounds_are_cut_and_padded_and_it_is_said(mini_pipeline: HuMoPipeline) -> None:
    samples, rate = tiny.voice(0.5, 22_050)
    cut = mini_pipeline(PROMPT, audio=(samples, rate), num_frames=5, seed=1)
    assert cut.notes == ["The sound lasts 0.50 s and is cut to the video's 0.20 s."]
    np.testing.assert_array_equal(cut.audio[0][:, 0], samples[: len(cut.audio[0])])
    padded = mini_pipeline(PROMPT, audio=(samples, rate), num_frames=17, seed=1)
    assert padded.notes == ["The sound lasts 0.50 s; silence fills the video's 0.68 s."]
    np.testing.assert_array_equal(padded.audio[0][: len(samples), 0], samples)
    assert (padded.audio[0][len(samples) :] == 0).all()
    notes: list[str] = []
    heard, played = fit_sound(read_sound(tiny.voice(0.36)), 9, notes)
    assert (len(heard), len(played[0]), notes) == (9 * 640, 9 * 640, [])


def test_sounds_longer_than_allowed_are_cut() -> None:
    pipeline = tiny.pipeline("mini", max_frames=9)
    video = pipeline(PROMPT, audio=tiny.voice(1.0), seed=1)
    assert len(video.frames) == 9
    assert video.notes[1] == "The sound lasts 1.00 s and is cut to the video's 0.36 s."


def test_a_long_sound_asks_a_published_model_for_97_frames(wan_pipeline: HuMoPipeline) -> None:
    notes: list[str] = []
    sound = read_sound(tiny.voice(6.0))
    assert choose_num_frames(sound, wan_pipeline.config, notes) == 97
    heard, _ = fit_sound(sound, 97, notes)
    assert len(heard) == 97 * 640
    assert notes[1] == "The sound lasts 6.00 s and is cut to the video's 3.88 s."


@pytest.mark.slow
def test_longer_than_trained_is_windowed() -> None:
    pipeline = tiny.pipeline("mini", max_trained_frames=9)
    video = pipeline(PROMPT, num_frames=21, seed=1, return_masks=True)
    assert video.frames.shape[0] == 21
    assert video.masks.shape == (6, 4, 4)
    assert video.notes == ["Longer than the 9 frames of training: made of overlapping windows of that length."]
    assert pipeline(PROMPT, num_frames=9, seed=1).notes == []


def test_text_is_padded_with_zeros_and_its_limit_said(mini_pipeline: HuMoPipeline) -> None:
    notes: list[str] = []
    states = mini_pipeline.encode_prompt("a  woman\n talks", notes)
    assert states.shape == (1, 12, tiny.TEXT_DIM)
    assert (states[0, :4].abs().sum(-1) > 0).all()
    assert (states[0, 4:] == 0).all()
    assert torch.equal(states, mini_pipeline.encode_prompt("a woman talks"))
    assert torch.equal(states, mini_pipeline.encode_prompt("a&nbsp;woman &amp;#32; talks"))
    assert notes == []
    mini_pipeline.encode_prompt("a man " * 10, notes)
    assert notes == ["The text has 21 tokens; the model reads the first 12."]


def test_callbacks_previews_and_stopping(mini_pipeline: HuMoPipeline) -> None:
    previews = []

    def preview(state: StepState) -> None:
        previews.append(mini_pipeline.preview(state.clean))
        if state.index == 1:
            raise humo.StopGeneration

    with pytest.raises(humo.StopGeneration):
        mini_pipeline(PROMPT, num_inference_steps=4, seed=1, on_step=preview)
    assert [picture.size for picture in previews] == [(64, 64)] * 2


@pytest.mark.parametrize("num_latents", [1, 2, 3, 6])
def test_preview_shows_a_frame_of_the_middle_latent(wan_pipeline: HuMoPipeline, num_latents: int) -> None:
    assert wan_pipeline.preview(torch.randn(1, 4, num_latents, 4, 6)).size == (48, 32)


def test_masks(mini_pipeline: HuMoPipeline) -> None:
    video = mini_pipeline(PROMPT, seed=1, return_masks=True, image=tiny.picture(), num_inference_steps=5)
    assert video.masks.shape == (3, 4, 4)
    assert 0 < video.masks.min() <= video.masks.max() < 1
    assert mini_pipeline(PROMPT, seed=1).masks is None


def test_guidance_as_a_rule_or_as_data(mini_pipeline: HuMoPipeline) -> None:
    settings = {"rule": "constant", "text": 2.0, "image": 1.0, "audio": 3.0}
    videos = [mini_pipeline(PROMPT, guidance=rule, seed=1) for rule in (settings, constant(2.0, 1.0, 3.0))]
    assert videos[0].settings["guidance"] == videos[1].settings["guidance"] == settings
    assert (videos[0].frames == videos[1].frames).all()


def test_saving_a_video(mini_pipeline: HuMoPipeline, tmp_path) -> None:
    video = mini_pipeline(PROMPT, audio=tiny.voice(0.4), seed=1)
    path = video.save(tmp_path / "out.mp4")
    assert path.stat().st_size > 1000
    assert b"ftyp" in path.read_bytes()[:12]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mini", "17B"])
def test_a_saved_pipeline_makes_the_same_video(form: str, tmp_path) -> None:
    config = {"default_guidance": {"rule": "constant", "text": 2.0}, "supported_sizes": [[32, 64], [64, 32]]}
    pipeline = tiny.pipeline(form, **config, default_height=32, default_width=64, default_negative_prompt="blue")
    pipeline.save_pretrained(tmp_path)
    again = HuMoPipeline.from_pretrained(tmp_path)
    public = [{key: value for key, value in each.config.items() if key[0] != "_"} for each in (pipeline, again)]
    assert public[0] == public[1]
    assert (again.focus_head is None) == (pipeline.focus_head is None)
    given = {"image": tiny.picture(), "audio": tiny.voice(0.36), "seed": 5}
    frames = [each(PROMPT, **given).frames.astype(int) for each in (pipeline, again)]
    assert np.abs(frames[0] - frames[1]).max() <= 1  # memory alignment may round a pixel differently
    assert again(PROMPT, **given).settings["negative_prompt"] == "blue"


@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_parts_are_shared_with_another_pipeline_as_diffusers_has_it(form: str, request: pytest.FixtureRequest) -> None:
    pipeline = request.getfixturevalue(form)
    shared, changed = HuMoPipeline.from_pipe(pipeline), HuMoPipeline.from_pipe(pipeline, default_negative_prompt="blue")
    assert all(getattr(each, name) is part for each in (shared, changed) for name, part in pipeline.components.items())
    videos = [each(PROMPT, audio=tiny.voice(0.36), seed=5) for each in (pipeline, shared, changed)]
    assert np.abs(videos[0].frames.astype(int) - videos[1].frames.astype(int)).max() <= 1
    assert [video.settings["negative_prompt"] for video in videos] == ["", "", "blue"]


def test_portrait_and_landscape(wan_pipeline: HuMoPipeline) -> None:
    assert wan_pipeline.size_multiple == 16
    assert wan_pipeline(PROMPT, height=48, width=16, num_frames=5, image=tiny.picture()).frames.shape == (5, 48, 16, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "prompt is empty: describe"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"prompt": "a" * 2001}, "prompt has 2,001 characters but at most 2,000 are allowed: shorten it"),
        ({"negative_prompt": "a" * 2001}, "negative_prompt has 2,001 characters"),
        ({"num_frames": 96}, r"num_frames must be 4k\+1 \(1, 5, … 97\) but is 96: use 97"),
        ({"num_frames": 0}, r"num_frames must be 4k\+1 .* but is 0: use 1"),
        ({"num_frames": -3}, "use 1"),
        ({"num_frames": 21}, "num_frames is 21 but this model makes at most 17: use 17"),
        ({"height": 96}, "height x width is 96x64 but this model makes 64x64, 64x80: use that"),
        ({"width": 80}, "width must be a multiple of 32 but is 80: use 64"),
        ({"num_inference_steps": 0}, "num_inference_steps must be 1 or more but is 0"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"image": [tiny.picture()] * 3}, "image has 3 pictures but this model takes at most 2"),
        ({"image": "nowhere.png"}, "nowhere.png does not exist"),
        ({"audio": "nowhere.wav"}, "nowhere.wav does not exist"),
        ({"guidance": {"rule": "cfg"}}, "guidance rule 'cfg' is unknown"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    limits = {"max_frames": 17, "max_references": 2, "supported_sizes": [[64, 64], [64, 80]]}
    with pytest.raises(ValueError, match=message):
        tiny.pipeline("mini", **limits)(**{"prompt": PROMPT, "seed": 1, **arguments})


def test_refusals_of_other_forms(wan_pipeline: HuMoPipeline) -> None:
    with pytest.raises(ValueError, match="height must be a multiple of 16 but is 40: use 32"):
        wan_pipeline(PROMPT, height=40)
    with pytest.raises(ValueError, match="height must be a multiple of 16 but is 0: use 16"):
        wan_pipeline(PROMPT, height=0)
    with pytest.raises(ValueError, match="return_masks needs a focus head"):
        wan_pipeline(PROMPT, return_masks=True)
