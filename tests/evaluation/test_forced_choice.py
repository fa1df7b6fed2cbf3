"""Probes choose between two ways of drawing the same clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from scipy.ndimage import gaussian_filter

from humo.__main__ import main
from humo.evaluation.forced_choice import ChoiceSettings, choice_sentence, choose, compare_models
from humo.evaluation.outlines import OutlineSettings
from humo.world.clips import plan_clip, render_clip

SETTINGS = ChoiceSettings(steps=60, batch_size=2, width=8)


@pytest.fixture(scope="module")
def truths() -> list[np.ndarray]:
    return [render_clip(plan_clip(seed, "validation"), 5).frames for seed in range(8)]


def _blurred(truths: list[np.ndarray], sigma: float) -> list[np.ndarray]:
    return [gaussian_filter(frames, (0, sigma, sigma, 0)) for frames in truths]


def test_the_less_blurred_way_is_chosen(truths: list[np.ndarray]) -> None:
    soft, softer = _blurred(truths, 0.7), _blurred(truths, 2.0)
    told = choose(truths, [softer, soft], SETTINGS)
    assert told["second"] > 0.6 and min(told["render"]) > 0.6
    assert choose(truths, [soft, softer], SETTINGS)["second"] < 0.4
    assert f"{told['second']:.3f} of the places" in choice_sentence(told)


def test_the_same_way_twice_is_never_chosen_over_itself(truths: list[np.ndarray]) -> None:
    soft = _blurred(truths, 1.0)
    assert choose(truths, [soft, soft], ChoiceSettings(steps=2, width=8))["second"] == 0
    with pytest.raises(ValueError, match="1 clip is too few"):
        choose(truths[:1], [soft[:1], soft[:1]], SETTINGS)


def test_two_models_are_compared() -> None:
    pipe = tiny.pipeline("mini", default_height=128, default_width=128)
    settings = OutlineSettings(num_clips=2, num_frames=5, num_inference_steps=2, batch_size=2)
    told = compare_models([pipe, pipe], settings, ChoiceSettings(steps=2, width=8))
    assert told["second"] == 0 and told["models"][0] == told["models"][1] and told["settings"]["num_clips"] == 2
    json.dumps(told)


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ([], ["--outlines", "4"]):
        assert main(["evaluate", "--out", str(tmp_path / "out"), "--against", str(tmp_path), *extra]) != 0
        assert "give a model's folder, and --outlines beside it" in capsys.readouterr().err
