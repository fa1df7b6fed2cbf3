"""The measure of outlines: figures where the right answer is known, and redrawing.

Run: python -m pytest tests/evaluation/test_outlines.py
"""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from scipy.ndimage import gaussian_filter

from humo.evaluation.cases import make_cases
from humo.evaluation.generation import settings_for
from humo.evaluation.outlines import (
    OutlineSettings,
    evaluate_outlines,
    outline_table,
    redraw_cases,
    sharpness,
    wobble,
)
from humo.world.clips import plan_clip, render_clip


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return render_clip(plan_clip(3, "validation"), 5).frames


def _moved(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Every row moved by so many pixels, which may be parts of one."""
    x = np.arange(frames.shape[2])
    moved = [
        [
            [np.interp(x - shift, x, row[:, channel]) for channel in range(3)]
            for row, shift in zip(frame, rows, strict=True)
        ]
        for frame in frames
    ]
    return np.moveaxis(np.array(moved), 2, 3).round().astype(np.uint8)


def test_the_truth_is_sharp_and_a_blur_is_less_so(truth: np.ndarray) -> None:
    blurred = [gaussian_filter(truth, (0, sigma, sigma, 0)) for sigma in (0.5, 1.0, 2.0)]
    steps = [sharpness(frames, truth) for frames in (truth, *blurred, np.full_like(truth, 90))]
    assert steps[0] == 1 and steps[-1] == 0 and steps == sorted(steps, reverse=True) and steps[2] < 0.6
    assert sharpness(_moved(truth, np.ones(128)), truth) < 0.7, "sharp but in the wrong place"
    assert np.isnan(sharpness(truth, np.full_like(truth, 90)))


def test_what_moves_as_a_whole_does_not_wobble(truth: np.ndarray) -> None:
    zigzag = np.where(np.arange(128) // 3 % 2, 0.5, -0.5)
    whole, crooked, more = (wobble(_moved(truth, rows), truth) for rows in (np.full(128, 0.5), zigzag, 2 * zigzag))
    assert wobble(truth, truth) == 0
    blurred = wobble(gaussian_filter(truth, (0, 0.7, 0.7, 0)), truth)
    assert crooked > 2 * max(whole, blurred) and more > 1.5 * crooked
    assert np.isnan(wobble(truth, np.full_like(truth, 90)))


def test_without_noise_a_clip_is_redrawn_as_the_codec_draws_it() -> None:
    pipe = tiny.pipeline("mini", default_height=128, default_width=128)
    cases, settings = make_cases(1, num_frames=5), settings_for(pipe, 5, 40)
    apart = []
    for sigma in (0.1, 0.9):
        ways = redraw_cases(pipe, cases, settings, sigma)
        assert ways["codec"][0].shape == ways["redrawn"][0].shape == (5, 128, 128, 3)
        apart.append(np.abs(ways["codec"][0].astype(int) - ways["redrawn"][0]).mean())
    assert apart[1] > 2 * apart[0]


def test_the_report() -> None:
    torch.manual_seed(0)
    pipe = tiny.pipeline("mini", default_height=128, default_width=128)
    sheets: list = []
    settings = OutlineSettings(num_clips=2, num_frames=5, num_inference_steps=2, batch_size=2)
    report = evaluate_outlines(pipe, settings, sheets.append)
    assert report["settings"]["num_clips"] == 2 and sheets[0].size == (3 * 480, 2 * 480)
    assert report["codec"]["sharpness"] != report["redrawn"]["sharpness"]
    assert "codec" in outline_table(report) and "redrawn" in outline_table(report)
