"""The benchmark's figures add up, for a real pipeline of tiny size.

Run: python -m pytest tests/test_benchmark.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from humo import benchmark
from humo.__main__ import main
from humo.pipeline import HuMoPipeline

SECONDS = 0.4


@pytest.fixture(scope="module")
def figures(mini_pipeline: HuMoPipeline) -> dict:
    return benchmark.measure_pipeline(mini_pipeline, SECONDS, num_inference_steps=3)


def test_every_part_is_timed(figures: dict):
    seconds = figures["seconds"]
    assert list(seconds) == ["text", "audio", "picture", "transformer", "decode", "other", "write", "total"]
    assert all(value > 0 for value in seconds.values())
    total = seconds.pop("total")
    assert sum(seconds.values()) == pytest.approx(total)


def test_passes_are_counted(figures: dict):
    passes = figures["passes"]
    assert passes["count"] == 3, "mini runs the branches of a step as one batch"
    assert passes["count"] < passes["branches"] <= 4 * passes["count"]
    assert passes["longest"] >= passes["median"] > 0


def test_rates_are_ratios_of_each_other(figures: dict):
    rates = figures["rates"]
    assert rates["of_square_product"] == pytest.approx(rates["transformer"] / rates["square_product"])
    assert 0 < rates["of_square_product"] < 1
    assert rates["flops_per_branch"] * figures["passes"]["branches"] == pytest.approx(
        rates["transformer"] * figures["seconds"]["transformer"]
    )


def test_flops_agree_with_the_feed_forward_layers(figures: dict, mini_pipeline: HuMoPipeline):
    config = mini_pipeline.transformer.config
    latent_frames = (figures["settings"]["frames"] - 1) // 4 + 1 + 1  # and one reference
    tokens = latent_frames * (figures["settings"]["height"] // 32) * (figures["settings"]["width"] // 32)
    dim = config.num_attention_heads * config.attention_head_dim
    feed_forward = config.num_layers * 2 * 2 * tokens * dim * config.ffn_dim
    assert feed_forward < figures["rates"]["flops_per_branch"] < 100 * feed_forward


def test_settings_tell_what_was_measured(figures: dict):
    settings = figures["settings"]
    assert settings["frames"] == 9 and settings["steps"] == 3 and settings["dtype"] == "float32"
    assert settings["threads"] == torch.get_num_threads()


def test_wan_form_is_measured_too(wan_pipeline: HuMoPipeline):
    figures = benchmark.measure_pipeline(wan_pipeline, SECONDS, num_inference_steps=1)
    assert figures["passes"]["count"] == figures["passes"]["branches"] > 1


def test_command_loads_measures_and_writes(mini_pipeline: HuMoPipeline, tmp_path: Path):
    mini_pipeline.save_pretrained(tmp_path / "model")
    report = tmp_path / "figures.json"
    # A process of its own: what the tests have imported must not be what makes loading work.
    command = [sys.executable, "-m", "humo", "benchmark", "--preset", str(tmp_path / "model"), "--seconds", "0.4"]
    done = subprocess.run([*command, "--steps", "1", "--json", str(report)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())
    assert figures["seconds"]["load"] > 0
    assert "9 frames of 64 x 64 in 1 steps" in done.stdout
    assert "GFLOP/s" in done.stdout and "peak memory" in done.stdout


def test_command_without_the_model_says_so(capsys, tmp_path: Path):
    assert main(["benchmark", "--preset", str(tmp_path / "nowhere")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_example_inputs_have_the_length_that_was_asked_for():
    inputs = benchmark.example_inputs(2.0)
    waveform, rate = inputs["audio"]
    assert len(waveform) == 2 * rate and abs(waveform).max() <= 1
    assert inputs["image"].mode == "RGB"


def test_world_is_drawn():
    rates = benchmark.world_rates(sizes=(32,), seconds=0.05)
    assert list(rates) == ["32"] and rates["32"] > 0
    assert "world at 32 x 32" in benchmark.describe({"world": rates})


def test_page_that_cannot_start_is_told(tmp_path: Path):
    with pytest.raises(ValueError, match="does not exist"):
        benchmark.page_start(tmp_path / "app.py")
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    with pytest.raises(ValueError, match="ended with code 3"):
        benchmark.page_start(broken)


def test_page_start_is_the_time_to_the_first_answer(tmp_path: Path):
    program = tmp_path / "page.py"
    program.write_text(
        "import sys\n"
        "from http.server import HTTPServer, SimpleHTTPRequestHandler\n"
        "HTTPServer(('127.0.0.1', int(sys.argv[2])), SimpleHTTPRequestHandler).serve_forever()\n"
    )
    assert 0 < benchmark.page_start(program) < 60
