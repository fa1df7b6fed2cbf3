"""Takes of three ways: what a seam is, and that each way makes what it says.

Run: python -m pytest tests/evaluation/test_takes.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from humo.evaluation.known.takes import (
    Made,
    TakeSettings,
    evaluate_takes,
    judge_takes,
    jump_at,
    make_some,
    make_takes,
    take_table,
)
from humo.evaluation.probes.networks import Probes

SETTINGS = TakeSettings(num_takes=2, seconds=1.0, overlap=5, num_inference_steps=1, batch_size=2)


def walk(num_frames: int, leap: int | None = None) -> np.ndarray:
    """Frames that grow lighter by 2 a frame, and by 20 at a leap."""
    steps = np.full(num_frames, 2)
    if leap is not None:
        steps[leap] = 20
    return np.broadcast_to(np.cumsum(steps)[:, None, None, None], (num_frames, 8, 8, 3)).astype(np.uint8)


def test_a_jump_is_a_seam_that_changes_more_than_usual() -> None:
    assert jump_at(walk(20), 7) == pytest.approx(1)
    assert jump_at(walk(20, leap=7), 7) == pytest.approx(10) == jump_at(walk(20, leap=7), 7, 1)
    assert jump_at(walk(20, leap=7), 8) == pytest.approx(1)


def test_a_seam_is_compared_with_where_latents_begin() -> None:
    """Frames that change by 20 at every fourth and by 2 elsewhere."""
    changes = np.where(np.arange(20) % 4 == 1, 20, 2)
    frames = np.broadcast_to(np.cumsum(changes)[:, None, None, None], (20, 8, 8, 3)).astype(np.uint8)
    assert jump_at(frames, 9) == pytest.approx(1) and jump_at(frames, 9, 1) == pytest.approx(10)


def test_people_of_takes_speak_all_along() -> None:
    cases = make_takes(SETTINGS, 9)
    assert [case.index for case in cases] == [0, 1] and len(cases[0].clip.frames) == 25
    long = make_takes(replace(SETTINGS, num_takes=1, seconds=8.0), 49)[0].clip
    assert len(long.frames) == 201 and np.abs(long.waveform[-16_000:]).max() > 0.01
    assert make_takes(SETTINGS, 9)[1].clip.plan == cases[1].clip.plan, "the same everywhere"
    other = make_takes(replace(SETTINGS, seed=1), 9)
    assert other[0].clip.plan != cases[0].clip.plan


def test_each_way_makes_what_it_says() -> None:
    pipe = tiny.pipeline("mini", max_trained_frames=9)
    cases = make_takes(SETTINGS, 9)
    for way, seams in (("take", [9, 13, 17, 21]), ("windows", [])):
        together = make_some(pipe, cases, way, SETTINGS)
        alone = make_some(pipe, cases[1:], way, SETTINGS)[0]
        assert together[0].seams == seams and together[0].frames.shape == (25, 64, 64, 3)
        assert np.abs(together[1].frames.astype(int) - alone.frames).max() <= 1
    shots = make_some(pipe, cases[:1], "shots", SETTINGS)[0]
    assert len(shots.frames) == 25 and len(shots.seams) >= 2


def test_the_report(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe, probes = tiny.pipeline("mini", max_trained_frames=9), Probes().eval()
    report = evaluate_takes(pipe, probes, SETTINGS, folder=tmp_path)
    assert list(report["ways"]) == ["take", "windows", "shots", "renders"]
    assert report["ways"]["take"]["seams"] == 8 and "jump" not in report["ways"]["windows"]
    assert {"identity_kept", "sync", "faces", "grain_last"} <= report["ways"]["shots"].keys()
    assert take_table(report).count("\n") == 4
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(kept) == 6 and evaluate_takes(pipe, probes, SETTINGS, folder=tmp_path) == report
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == kept, "found again"
    evaluate_takes(pipe, None, replace(SETTINGS, overlap=1), ("take",), tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 8, "of another overlap are others"


def test_the_largest_jump_and_the_mean() -> None:
    cases = make_takes(SETTINGS, 9)
    takes = [Made(walk(25, leap=7), [7, 15]), Made(walk(25), [9])]
    figures = judge_takes(cases, takes, None)
    assert figures["seams"] == 3
    assert figures["jump_largest"] == pytest.approx(10) and figures["jump"] == pytest.approx((5.5 + 1) / 2)
