"""Photographs given to a model of drawn people: pipeline, shots and command line.

Run: python -m pytest tests/portrait/test_portrait_calls.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tiny
from PIL import Image

from humo.__main__ import main
from humo.pipeline import HuMoPipeline
from humo.portrait import Portrait, draw_portrait, read_portrait
from humo.requests.call import read_call
from humo.shots.generation import make_shots, plan_shots
from humo.space.links.settings import read_settings

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def drawn_people() -> HuMoPipeline:
    return tiny.pipeline("mini", draws_photographs=True)


def test_a_photograph_is_drawn_and_the_text_completed(drawn_people: HuMoPipeline, tmp_path: Path):
    video = drawn_people("a woman talks", image=PHOTOGRAPH, num_frames=5, num_inference_steps=1, seed=3)
    seen = Portrait.of_plain(json.loads(json.dumps(video.settings["portrait"])))
    assert seen == read_portrait(PHOTOGRAPH)
    read = video.settings["prompt_read"]
    assert seen.colour in read and read.startswith("a woman") and video.settings["prompt"] == "a woman talks"
    first, second = video.notes[:2]
    assert first.startswith("This model knows drawn people only: the photograph was drawn. ") and "guessed:" in first
    assert second.startswith("The text was completed from the picture (") and second.endswith(read)
    given = {"num_frames": 5, "num_inference_steps": 1, "seed": 3}
    drawing = draw_portrait(seen, drawn_people.config.default_height)
    assert np.array_equal(video.frames, drawn_people(read, image=drawing, **given).frames)
    assert read_settings(video.save(tmp_path / "a.mp4")).prompt == "a woman talks"


def test_as_is_drawings_and_other_models_show_the_picture_itself(
    drawn_people: HuMoPipeline, mini_pipeline: HuMoPipeline
):
    drawing = draw_portrait(Portrait(background="red"))
    with Image.open(PHOTOGRAPH) as opened:
        photograph = opened.convert("RGB")
    for pipe, picture, as_is in (
        (drawn_people, photograph, True), (mini_pipeline, photograph, False), (drawn_people, drawing, False),
    ):  # fmt: skip
        call = read_call(pipe, "a woman talks", image=picture, as_is=as_is)
        assert call.portrait is None and "portrait" not in call.settings and call.notes == []
        assert call.request.prompt == "a woman talks" and call.pictures[0].tobytes() == picture.tobytes()


def test_a_picture_without_a_face_is_refused_and_can_be_shown_as_it_is(drawn_people: HuMoPipeline):
    empty = Image.new("RGB", (64, 64), (30, 120, 60))
    with pytest.raises(ValueError, match=r"^No face is found .*, or show it .* as it is \(as_is=True, --as-is\)\.$"):
        read_call(drawn_people, "a woman", image=empty)
    assert read_call(drawn_people, "a woman", image=empty, as_is=True).pictures[0].tobytes() == empty.tobytes()


def test_a_text_that_is_full_stays_as_it_is(drawn_people: HuMoPipeline):
    prompt = "a woman " + "x" * 1990
    call = read_call(drawn_people, prompt, image=PHOTOGRAPH)
    assert call.request.prompt == prompt and len(call.notes) == 1 and call.portrait is not None


def test_different_people_can_be_made_together(drawn_people: HuMoPipeline):
    given = {"num_frames": 5, "num_inference_steps": 1, "seed": 1}
    calls = [read_call(drawn_people, "a woman", image=picture, **given)
             for picture in (PHOTOGRAPH, draw_portrait(Portrait()))]  # fmt: skip
    videos = drawn_people.generate_batch(calls)
    assert ["portrait" in video.settings for video in videos] == [True, False]


@pytest.mark.slow
def test_shots_show_the_same_drawing(drawn_people: HuMoPipeline, tmp_path: Path):
    samples = np.sin(np.arange(8_000) / 20).astype(np.float32)
    cuts = plan_shots(samples, 16_000, 9)
    given = {"image": PHOTOGRAPH, "num_inference_steps": 1, "seed": 2}
    prompts = [f"a woman, number {cut.number}" for cut in cuts]
    video = make_shots(drawn_people, cuts, prompts, tmp_path / "a", (samples, 16_000), **given)
    assert Portrait.of_plain(video.settings["portrait"]) == read_portrait(PHOTOGRAPH)
    assert all(f"number {cut.number}" in text for cut, text in zip(cuts, video.settings["prompt"], strict=True))
    assert all(video.settings["portrait"]["colour"] in text for text in video.settings["prompt_read"])
    assert sum("photograph was drawn" in note for note in video.notes) == 1
    plain = make_shots(drawn_people, cuts, "a woman", tmp_path / "b", (samples, 16_000), as_is=True, **given)
    assert "portrait" not in plain.settings and plain.settings["prompt"] == "a woman"
    assert not np.array_equal(plain.frames, video.frames)


def test_which_models_draw(drawn_people: HuMoPipeline, tmp_path: Path):
    drawn_people.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["draws_photographs"] is True
    assert json.loads((ROOT / "assets" / "humo-mini" / "model_index.json").read_text())["draws_photographs"] is True
    del index["draws_photographs"]  # a folder of an earlier version
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert HuMoPipeline.from_pretrained(tmp_path).config.draws_photographs is False


def test_the_command_tells_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["portrait", str(PHOTOGRAPH), "--out", str(tmp_path / "her.png"), "--size", "96"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^skin +\w+ \(a guess\)$", told, re.MULTILINE)
    assert re.search(r"^glasses +round$", told, re.MULTILINE) and re.search(r"^clothes +not seen$", told, re.MULTILINE)
    assert re.search(r"^caption +a .* talks$", told, re.MULTILINE)
    with Image.open(tmp_path / "her.png") as drawn:
        assert drawn.convert("RGB").tobytes() == draw_portrait(read_portrait(PHOTOGRAPH), 96).tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["portrait", "nobody.jpg"], "nobody.jpg does not exist"),
        (["portrait", str(PHOTOGRAPH), "--out", "her.jpg"], "her.jpg cannot be written: give a name that ends in .png"),
        (["portrait", str(PHOTOGRAPH), "--out", "no/her.png"], "her.png cannot be written"),
    ],
)
def test_the_command_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
