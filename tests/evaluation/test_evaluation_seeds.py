"""Several evaluations and their spread.

Run: python -m pytest tests/evaluation/test_evaluation_seeds.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from humo.__main__ import main
from humo.evaluation.probes.networks import ProbeSettings
from humo.evaluation.probes.training import get_probes
from humo.evaluation.seeds import cases_in_words, spread_of, spread_table
from humo.pipeline import HuMoPipeline
from humo.system.dtypes import DTYPES

QUICK = ProbeSettings(steps=1, batch_size=40, num_plans=16, size=64, num_motion_clips=4, motion_steps=2, num_test=16)


def test_seeds_tell_how_far_figures_move() -> None:
    def report(seed: int, text: float, sync: float) -> dict:
        modes = {"T": {"text": text, "faces": 1.0}, "TIA": {"text": text, "sync": sync, "identity": 0.5}}
        return {
            "modes": modes,
            "frechet": {"T": 0.1, "TIA": 0.2, "renders": 0.0},
            "mask_iou": {"500": text},
            "settings": {"seed": seed},
        }

    spread = spread_of([report(4, 0.8, 0.7), report(5, 0.9, 0.9)])
    assert spread["seeds"] == [4, 5]
    assert spread["modes"]["TIA"]["sync"]["mean"] == pytest.approx(0.8)
    assert spread["modes"]["TIA"]["sync"]["deviation"] == pytest.approx(0.1 * 2**0.5)
    assert "sync" not in spread["modes"]["T"] and spread["mask_iou_500"]["values"] == [0.8, 0.9]
    table = spread_table(spread)
    assert "| sync |  | 0.800 ± 0.141 |" in table and "timestep 500: 0.850 ± 0.071" in table


@pytest.mark.slow
def test_command_measures_several_seeds(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    probes = get_probes(tmp_path, QUICK, tiny.codec())
    mini_pipeline.save_pretrained(tmp_path / "model")
    probes.save(tmp_path / "probes", QUICK)
    command = ["evaluate", "--preset", str(tmp_path / "model"), "--out", str(tmp_path / "out"), "--videos", "6"]
    command += ["--modes", "TA", "--frames", "9", "--probes", str(tmp_path / "probes")]
    assert main([*command, "--seeds", "2", "--seed", "3"]) == 0
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["settings"]["seed"] == 3 and figures["spread"]["seeds"] == [3, 4]
    text = figures["spread"]["modes"]["TA"]["text"]["values"]
    assert text[0] == pytest.approx(figures["modes"]["TA"]["text"], abs=1e-3)
    told = (tmp_path / "out" / "report.md").read_text()
    assert "Over 2 seeds" in told and told.count("(TA.webp)") == 1, "the first seed's videos are shown"
    for dtype in DTYPES:
        assert main([*command, "--dtype", dtype]) == 0
        told = (tmp_path / "out" / "report.md").read_text()
        figures = json.loads((tmp_path / "out" / "report.json").read_text())
        assert figures["settings"]["dtype"] == dtype and f"steps, computed in {dtype}, guidance" in told
        assert f"6 videos a mode, computed in {dtype}." == cases_in_words(figures)
