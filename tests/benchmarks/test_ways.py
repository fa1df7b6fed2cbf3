"""One job in several ways: the exact ones agree, the shorter ones differ, and the tables say both.

Run: python -m pytest tests/benchmarks/test_ways.py
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny

from humo.__main__ import main
from humo.benchmarks.report import draw_ways
from humo.benchmarks.scaling import describe_scaling, measure_scaling
from humo.benchmarks.ways import Way, compare_ways, describe_ways, plain_numbers, shares_of
from humo.pipeline import HuMoPipeline

OWN = {"rule": "paper", "text": 3.0, "image": 2.0, "audio": 2.5, "early": [4.0, 3.0, 1.0], "switch": 900.0}


@pytest.fixture(scope="module")
def pipe() -> HuMoPipeline:
    pipe = tiny.pipeline("mini", default_guidance=OWN, max_trained_frames=9)
    pipe.register_to_config(default_num_inference_steps=8)
    return pipe


@pytest.fixture(scope="module")
def ways(pipe: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Way]:
    folder = tmp_path_factory.mktemp("no fast form")
    return {way.name: way for way in compare_ways(pipe, folder, num_clips=2, num_frames=9)}


def test_exact_ways_agree_and_shorter_ones_differ(ways: dict[str, Way]) -> None:
    assert ways["ours, exact"].psnr == math.inf and ways["ours, exact"].share == 1
    assert ways["as published: plain passes"].psnr > 90 and ways["ours, branches in turn"].psnr > 90
    for name in ("half the steps", "cache taylor:3", "no guidance below timestep 750"):
        assert 5 < ways[name].psnr < 80, name
    assert ways["half the steps"].steps == 4
    assert all(way.share > 0 and way.seconds > 0 for way in ways.values())


def test_a_slow_minute_of_the_machine_is_no_slow_way() -> None:
    seconds = np.array([[2.0, 20.0, 2.0], [1.0, 10.0, 1.2]])
    assert shares_of(seconds).tolist() == [1.0, 0.5]


def test_nothing_stays_on(pipe: HuMoPipeline, ways: dict[str, Way]) -> None:
    assert not pipe.transformer.is_cache_enabled


def test_tables_and_plot(ways: dict[str, Way], tmp_path: Path) -> None:
    table = describe_ways(list(ways.values()))
    assert "| ours, exact | 8 |" in table and "| the same |" in table and len(table.splitlines()) == 2 + len(ways)
    assert json.loads(json.dumps(plain_numbers(list(ways.values()))))[0]["psnr"] is None
    drawn = draw_ways(list(ways.values()), tmp_path / "ways.svg").read_text()
    assert drawn.count("<svg") == 1 and str(tmp_path) not in drawn


def test_scaling_goes_along_every_axis(pipe: HuMoPipeline) -> None:
    points = measure_scaling(pipe, lengths=(0.2, 0.6), steps=(1, 4), together=(1, 2))
    assert [(point.axis, point.value) for point in points] == [
        ("seconds of video", 0.2),
        ("seconds of video", 0.6),
        ("steps", 1),
        ("steps", 4),
        ("clips at once", 1),
        ("clips at once", 2),
    ]
    assert all(point.seconds > 0 for point in points)
    table = describe_scaling(points)
    assert len(table.splitlines()) == 8 and table.count("| 1.00 |") >= 3


def test_wrong_calls_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--compare", "magic"]) == 2
    assert "compare must be 'plain' or 'float32'" in capsys.readouterr().err
    assert main(["benchmark", "--compare", "plain", "--fast"]) == 2
    assert "leave --fast out" in capsys.readouterr().err
