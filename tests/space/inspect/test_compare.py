"""Two schedules, one seed: which rules are compared, what is written, what is said."""

from __future__ import annotations

import re
import subprocess
from functools import partial

import numpy as np
import pytest
from video_requests import video_request

from humo.explain.schedules import schedule
from humo.guidance import make_rule
from humo.space.inspect.compare import Pair, compare, make_pair, side_by_side
from humo.space.jobs.job import Stopped
from humo.space.links.settings import read_settings

SCALES = {"text": 2.5, "image": 2.0, "audio": 3.0}
MINI = {"rule": "paper", **SCALES, "early": [4.5, 3.5, 1.0], "switch": 900.0}
CONSTANT = {"rule": "constant", "text": 2.5, "image": 2.0, "audio": 3.0}
ask = partial(video_request, num_inference_steps=3, guidance=MINI, seed=3)


def streams(path) -> str:
    from imageio_ffmpeg import get_ffmpeg_exe

    return subprocess.run([get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    "guidance", [MINI, {"rule": "published_17b"}, {"rule": "published_17b", "text": 6, "audio": 4}]
)
@pytest.mark.parametrize("given", [(True, True), (True, False)])
def test_the_constant_rule_is_the_other_ones_late_one(guidance: dict, given: tuple[bool, bool]) -> None:
    pair = make_pair(guidance, guidance)
    for timestep in (900.0, 500.0, 10.0):
        late, constant = (make_rule(rule)(timestep, *given) for rule in (pair.adaptive, pair.constant))
        assert late.keys() == constant.keys() and all(late[b] == pytest.approx(constant[b]) for b in late)
    assert not schedule(make_rule(pair.constant), 50, 5.0, *given).changes
    assert pair.adaptive == guidance and "after its switch" in pair.words


def test_ramps_are_taken_in_their_middle() -> None:
    pair = make_pair(
        {"rule": "published_1_7b", "text": {"ramp": "linear", "early": 8, "late": 4}}, {"rule": "constant"}
    )
    assert pair.constant == {"rule": "published_1_7b", "text": 6.0, "image": 4.0, "audio": 7.5}
    assert "middle of its way: text 6, picture 4, voice 7.5" in pair.words
    stepped = {"rule": "constant", "text": {"ramp": "step", "early": 8, "late": 4, "switch": 900}}
    assert make_pair(stepped, stepped).constant == {"rule": "constant", "text": 4, "image": 2.0, "audio": 2.5}


def test_both_rules_end_where_the_compared_one_does() -> None:
    pair = make_pair(MINI | {"until": 600.0}, MINI)
    assert pair.constant == {"rule": "constant", "text": 2.5, "image": 2.0, "audio": 3.0, "until": 600.0}
    for timestep in (890.0, 600.0, 590.0):
        assert make_rule(pair.constant)(timestep) == make_rule(pair.adaptive)(timestep)
    with pytest.raises(ValueError, match="Neither your rule constant nor the model's own changes"):
        make_pair(CONSTANT | {"until": 600.0}, {"rule": "published_1_7b"})


def test_a_constant_rule_is_compared_with_the_models_own() -> None:
    pair = make_pair({"rule": "published_1_7b"}, MINI)
    assert pair.constant == {"rule": "published_1_7b"} and pair.adaptive == MINI
    assert "your rule: text 7.5, picture 4, voice 7.5" in pair.words and "model's own rule, paper" in pair.words
    with pytest.raises(ValueError, match="Neither your rule constant nor the model's own changes"):
        make_pair(CONSTANT, {"rule": "published_1_7b"})


@pytest.mark.parametrize("mode", ["T", "TI", "TA", "TIA"])
def test_both_videos_are_the_rules_own(mini_pipeline, tmp_path, mode: str) -> None:
    request = ask(mode, tmp_path)
    both = compare(mini_pipeline, request, tmp_path / "both.mp4")
    constant = ask(mode, tmp_path, guidance=CONSTANT).run(mini_pipeline).frames.astype(int)
    expected = np.abs(constant - request.run(mini_pipeline).frames).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(both.difference, expected)
    assert both.difference.mean() > 0 and both.seed == 3
    told = streams(both.path)
    assert ("Audio: aac" in told) == ("A" in mode) and "AI-generated" in told and "1032x552" in told
    assert b'"compared_with": {"rule": "constant"' in both.path.read_bytes()
    assert read_settings(both.path).guidance == MINI
    words = " ".join(both.words)
    passes = [shown.passes for shown in both.schedules]
    assert f"took {passes[0]} passes of the network, the time-adaptive one {passes[1]}" in words
    differ = int(re.search(r"differ at (\d) of 3 steps", words).group(1))
    assert differ == schedule(make_rule(MINI), 3, 5.0, "I" in mode, "A" in mode).changes[0]


def test_one_seed_is_drawn_for_both(mini_pipeline, tmp_path) -> None:
    both = compare(mini_pipeline, ask("T", tmp_path, seed=None), tmp_path / "both.mp4")
    again = compare(mini_pipeline, ask("T", tmp_path, seed=both.seed), tmp_path / "again.mp4")
    assert np.array_equal(both.difference, again.difference)


def test_rules_of_ones_own_can_be_compared(mini_pipeline, tmp_path) -> None:
    pair = Pair({"rule": "published_1_7b", "text": 5.0}, {"rule": "published_17b"}, "Both as published.")
    both = compare(mini_pipeline, ask("TIA", tmp_path), tmp_path / "both.mp4", pair=pair)
    assert [shown.passes for shown in both.schedules] == [12, 9] and "Both as published." in both.words[0]


def test_nothing_to_compare_is_said_before_anything_runs(mini_pipeline, tmp_path) -> None:
    told: list[int] = []
    for request in (
        ask("TA", tmp_path, guidance={"rule": "published_17b"}),
        ask("TI", tmp_path, num_inference_steps=1),
        ask("TI", tmp_path, num_inference_steps=4, guidance=MINI | {"switch": 999.5, "until": 600.0}),
    ):
        with pytest.raises(ValueError, match="does not change with time: move its switch"):
            compare(mini_pipeline, request, tmp_path / "both.mp4", lambda *part: told.append(part[0]))
    assert not told and not (tmp_path / "both.mp4").exists()


def test_progress_goes_through_both_and_stops(mini_pipeline, tmp_path) -> None:
    told: list[tuple[int, int, str]] = []

    def tell(*part) -> None:
        told.append(part)
        if part[0] == 5:
            raise Stopped

    with pytest.raises(Stopped):
        compare(mini_pipeline, ask("T", tmp_path), tmp_path / "both.mp4", tell)
    assert [done for done, *_ in told] == [1, 2, 3, 4, 5] and {total for _, total, _ in told} == {6}
    assert told[0][2] == "constant: step 1 of 3" and told[-1][2] == "time-adaptive: step 2 of 3"
    assert not (tmp_path / "both.mp4").exists()


def test_videos_stand_beside_each_other_under_their_names() -> None:
    left, right = np.full((2, 64, 32, 3), 250, np.uint8), np.full((2, 64, 32, 3), 90, np.uint8)
    sheet = side_by_side(left, right)
    assert sheet.shape == (2, 512 + 40, 2 * 256 + 8, 3)
    assert (sheet[:, 40:, :256] == 250).all() and (sheet[:, 40:, 264:] == 90).all()
    assert sheet[0, :40, :256].max() > 200 and sheet[0, :40, 264:].max() > 200  # letters
    assert (sheet[:, :, 256:264] < 40).all()
