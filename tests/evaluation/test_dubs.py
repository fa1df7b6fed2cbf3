"""The measure of dubs: clips and what is wanted of them, and figures where the right answer is known.

Run: python -m pytest tests/evaluation/test_dubs.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tiny
import torch
from PIL import Image

from humo.dubbing.region import Region
from humo.evaluation.known.dubs import Dub, DubSettings, dub_table, edge_of, evaluate_dubs, judge_dubs, make_pairs
from humo.evaluation.probes.networks import Probes

SETTINGS = DubSettings(num_dubs=2, num_frames=25, num_inference_steps=1, batch_size=2)


def test_a_pair_differs_in_what_is_said_alone() -> None:
    pairs = make_pairs(SETTINGS)
    for index, (case, wanted) in enumerate(pairs):
        other = pairs[1 - index][0].clip.plan.sentence
        assert wanted.plan == replace(case.clip.plan, sentence=other) and case.clip.plan.sentence != other
        changed = np.abs(case.clip.frames.astype(int) - wanted.frames).max(-1) > 0
        mouth = (case.clip.features == 2) | (wanted.features == 2)
        assert changed[mouth].mean() > 0.1 > 50 * changed[~mouth].mean()
    assert make_pairs(replace(SETTINGS, seed=1))[0][0].clip.plan != pairs[0][0].clip.plan


def test_the_edge_is_as_steep_as_the_clip_where_nothing_is_laid_over_it() -> None:
    draw = np.random.default_rng(0)
    clip = draw.integers(90, 110, (3, 40, 40, 3)).astype(np.uint8)
    opacity = np.zeros((3, 40, 40), np.uint8)
    opacity[:, 8:32, 8:32], opacity[:, 12:28, 12:28] = 100, 255
    region = Region(opacity)
    assert edge_of(clip, clip, region) == 1
    brighter = clip.copy()
    brighter[:, 12:28, 12:28] += 100
    assert edge_of(brighter, clip, region) > 1.3


def test_figures_of_a_perfect_dub_and_of_none() -> None:
    torch.manual_seed(0)
    probes = Probes().eval()
    whole = Region(np.full((25, 128, 128), 255, np.uint8))
    pairs = make_pairs(SETTINGS)
    perfect = judge_dubs([Dub(case, wanted, wanted.frames, whole) for case, wanted in pairs], probes)
    none = judge_dubs(
        [Dub(case, wanted, case.clip.frames, Region(0 * whole.opacity)) for case, wanted in pairs], probes
    )
    assert perfect["region"] == perfect["mouth_covered"] == 1 and none["region"] == none["mouth_covered"] == 0
    assert none["same_outside"] == 1 and none["identity"] == none["identity_clips"]
    spoilt = [case.clip.frames ^ 1 for case, _ in pairs]
    dubs = [
        Dub(case, wanted, frames, Region(0 * whole.opacity))
        for (case, wanted), frames in zip(pairs, spoilt, strict=True)
    ]
    assert judge_dubs(dubs, probes)["same_outside"] == 0


def test_the_report(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe = tiny.pipeline("mini", default_height=128, default_width=128)
    with torch.no_grad():
        for readout in pipe.focus_head.readouts:
            readout[-1].bias.fill_(9.0)
    report = evaluate_dubs(pipe, Probes().eval(), SETTINGS, sheet=tmp_path / "dubs.png")
    assert report["dubs"] == 2 and report["same_outside"] == 1 and report["settings"]["num_dubs"] == 2
    with Image.open(tmp_path / "dubs.png") as sheet:
        assert sheet.size == (6 * 480, 2 * 480)
    assert "sync_new" in dub_table(report) and "settings" not in dub_table(report)
