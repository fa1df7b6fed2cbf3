"""The benchmark's figures add up, for a real pipeline of tiny size.

Run: python -m pytest tests/benchmarks/test_benchmark.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tiny
import torch

from humo.__main__ import main
from humo.benchmarks import clip as benchmark
from humo.benchmarks.cold import describe_cold_start, measure_cold_start, read_import_times
from humo.benchmarks.model import describe_model, measure_model, random_conditions, random_transformer
from humo.benchmarks.plain import plain_pass, plain_step
from humo.benchmarks.turns import Way, take_turns
from humo.benchmarks.waiting import describe_jobs, describe_waiting, measure_jobs, measure_waiting
from humo.benchmarks.wan import wan_of, wan_step
from humo.checkpoints import load
from humo.guidance import Branch, Weights, make_rule
from humo.loading.estimates import detail_flops
from humo.pipeline import HuMoPipeline
from humo.sampling import guided_velocity
from humo.space.jobs.job import Model

SECONDS = 0.4


@pytest.fixture(scope="module")
def figures(mini_pipeline: HuMoPipeline) -> dict:
    return benchmark.measure_pipeline(mini_pipeline, SECONDS, num_inference_steps=3)


@pytest.mark.slow
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


def test_the_detail_head_counts_where_it_works():
    pipe = load("mini")
    first, all_of_them = (benchmark.measure_pipeline(pipe, SECONDS, steps) for steps in (1, 4))
    added = all_of_them["rates"]["flops_per_branch"] - first["rates"]["flops_per_branch"]
    tokens = 5 * 16  # 13 frames and a picture, of the last step's two branches
    expected = 2 * detail_flops(pipe.transformer.config, tokens) / all_of_them["passes"]["branches"]
    assert added == pytest.approx(expected, rel=0.01)


def test_settings_tell_what_was_measured(figures: dict):
    settings = figures["settings"]
    assert settings["frames"] == 13 and settings["steps"] == 3 and settings["dtype"] == "float32"
    assert settings["threads"] == torch.get_num_threads()


@pytest.mark.slow
def test_wan_form_is_measured_too(wan_pipeline: HuMoPipeline):
    figures = benchmark.measure_pipeline(wan_pipeline, SECONDS, num_inference_steps=1)
    assert figures["passes"]["count"] == figures["passes"]["branches"] > 1


@pytest.mark.slow
def test_command_loads_measures_and_writes(mini_pipeline: HuMoPipeline, tmp_path: Path):
    mini_pipeline.save_pretrained(tmp_path / "model")
    report = tmp_path / "figures.json"
    # A process of its own: what the tests have imported must not be what makes loading work.
    command = [sys.executable, "-m", "humo", "benchmark", "--preset", str(tmp_path / "model"), "--seconds", "0.4"]
    done = subprocess.run([*command, "--steps", "1", "--json", str(report)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())
    assert figures["seconds"]["load"] > 0
    assert "13 frames of 64 x 64 in 1 steps" in done.stdout
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


# --- random weights

SMALL = {"num_frames": 5, "height": 32, "width": 48}


MINI = {"in_channels": 8, "latent_std": tiny.LATENT_STD, "estimate_gate": True, "detail_layers": 1}


@pytest.mark.parametrize("form", [{"in_channels": 8}, {"in_channels": 20, "cross_attn_norm": False}, MINI])
def test_plain_way_does_the_same_job(form: dict):
    torch.manual_seed(0)
    model = tiny.transformer(**form).requires_grad_(False)
    for parameter in () if model.detail_head is None else model.detail_head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    latents, conditions = random_conditions(model, **SMALL)
    rule = "published_1_7b" if form["in_channels"] == 8 else "published_17b"
    for timestep in (990.0, 300.0):
        arguments = (model, latents, timestep, make_rule({"rule": rule})(timestep), conditions)
        ours, plain = guided_velocity(*arguments), plain_step(*arguments)
        assert (ours - plain).norm() < 1e-5 * ours.norm()


def test_plain_way_in_bfloat16_keeps_a_float32_stream():
    torch.manual_seed(0)
    model = random_transformer(dict(tiny.transformer().config), torch.device("cpu"), torch.bfloat16)
    exact = tiny.transformer().requires_grad_(False)
    exact.load_state_dict(model.state_dict())
    latents, conditions = random_conditions(exact, **SMALL)
    inputs = {
        "hidden_states": latents,
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": conditions.text,
        "audio_hidden_states": conditions.audio,
    }
    narrow = {name: value if name == "timestep" else value.bfloat16() for name, value in inputs.items()}
    expected = exact(**inputs).sample
    plain, ours = plain_pass(model, **narrow), model(**narrow).sample.float()
    assert plain.dtype == torch.float32
    assert (plain - expected).norm() < 0.02 * expected.norm()
    assert (ours - expected).norm() < 0.02 * expected.norm()


def test_random_transformer_has_the_formats_of_a_loaded_one(tmp_path: Path):
    config = {name: value for name, value in tiny.transformer().config.items() if not name.startswith("_")}
    made = random_transformer(config, torch.device("cpu"), torch.bfloat16)
    made.save_pretrained(tmp_path)
    loaded = type(made).from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    formats = {name: value.dtype for name, value in made.named_parameters()}
    assert formats == {name: value.dtype for name, value in loaded.named_parameters()}
    assert set(formats.values()) == {torch.bfloat16, torch.float32}
    assert {name: value.dtype for name, value in made.named_buffers()} == {
        name: value.dtype for name, value in loaded.named_buffers()
    }


@pytest.mark.parametrize("form", [{"in_channels": 8}, {"in_channels": 20, "cross_attn_norm": False}])
def test_wan_does_the_same_job_but_for_the_sound(form: dict):
    torch.manual_seed(0)
    model = tiny.transformer(**form).requires_grad_(False)
    wan = wan_of(model)
    assert {each.data_ptr() for each in wan.parameters()} < {each.data_ptr() for each in model.parameters()}
    latents, conditions = random_conditions(model, **SMALL)
    arguments = (latents, 500.0, make_rule({"rule": "published_1_7b"})(500.0), conditions)
    ours, theirs = guided_velocity(model, *arguments), wan_step(wan, model, *arguments)
    assert (ours - theirs).norm() > 1e-3 * ours.norm(), "ours hears"
    for block in model.blocks:
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].weight)
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].bias)
    assert (guided_velocity(model, *arguments) - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.slow
def test_model_is_measured_beside_wan_in_bfloat16(monkeypatch: pytest.MonkeyPatch):
    small = {name: value for name, value in tiny.transformer().config.items() if not name.startswith("_")}
    monkeypatch.setattr("humo.benchmarks.model.MODELS", {"1.7B": (lambda: small, "published_1_7b")})
    result = measure_model("1.7B", **SMALL, compare=("plain", "wan"), repeats=3, device="cpu", dtype="bfloat16")
    assert result["settings"]["dtype"] == "bfloat16"
    passes = {name: result[name]["passes"] for name in ("ours", "kept", "wan", "plain")}
    assert passes == {"ours": 3, "kept": 3, "wan": 3, "plain": 4}
    assert all(len(result[name]["steps"]) == 3 for name in passes)
    beside = result["beside_wan"]
    operations = {name: result[name]["flops_per_second"] * result[name]["pass"] for name in ("ours", "wan")}
    assert operations["ours"] / operations["wan"] == pytest.approx(1 + beside["sound_operations"])
    assert beside["for_equal_operations"] == pytest.approx(beside["of_a_pass"] / (1 + beside["sound_operations"]))
    assert 0 < beside["sound_operations"] < 1 and beside["of_a_later_pass"] > 0
    assert result["kept"]["flops_per_second"] is None
    text = describe_model(json.loads(json.dumps(result)))
    assert "of a pass of diffusers' Wan" in text and "\nours, later" in text and "\nWan " in text


def test_a_slow_minute_of_the_machine_meets_all_ways():
    branches = [Branch(True, True, True), Branch(True, False, True)]
    one, other = (Way(lambda weights: torch.zeros(1), dict.fromkeys(branches, 0.5)) for _ in range(2))
    for seconds in ((1.0, 10.0), (1.2, 1.0), (1.0, 1.0)):
        one.rounds.append(dict(zip(branches, seconds, strict=True)))
        other.rounds.append({branch: 2 * each for branch, each in zip(branches, seconds, strict=True)})
    assert one.share_of(other) == 0.5 and one.step == 2.2


def test_ways_take_turns_pass_by_pass():
    first, second = Branch(True, True, True), Branch(False, True, True)
    made = []

    def way(name: str, weights: Weights) -> Way:
        def run(asked: Weights) -> torch.Tensor:
            made.append((name, *asked))
            return torch.ones(1)

        return Way(run, weights)

    ways = [way("ours", {first: 3.0}), way("plain", {first: 3.0, second: -2.0})]
    take_turns(ways, torch.device("cpu"), rounds=2)
    assert made == 2 * [("ours", first), ("plain", first), ("plain", second)]
    assert [float(each.velocity) for each in ways] == [3.0, 1.0] and len(ways[0].steps) == 2


@pytest.mark.slow
def test_model_is_measured_beside_the_plain_way(monkeypatch: pytest.MonkeyPatch):
    small = {name: value for name, value in tiny.transformer().config.items() if not name.startswith("_")}
    monkeypatch.setattr("humo.benchmarks.model.MODELS", {"1.7B": (lambda: small, "published_1_7b")})
    result = measure_model("1.7B", **SMALL, compare=["plain"], num_layers=1, device="cpu")
    settings, ours = result["settings"], result["ours"]
    assert settings["layers"] == 1 and settings["tokens"] == 3 * 2 * 3
    assert result["plain"]["passes"] == 4, "as released, also where a branch has no weight"
    assert ours["passes"] == len(make_rule({"rule": "published_1_7b"})(500.0))
    assert ours["flops_per_second"] * ours["pass"] == pytest.approx(settings["flops_per_pass"])
    assert ours["of_ceiling"] == pytest.approx(ours["flops_per_second"] / result["ceiling"]["flops_per_second"])
    assert result["gain"]["of_a_step"] == pytest.approx(result["plain"]["step"] / ours["step"])
    assert result["gain"]["relative_difference"] < 1e-5
    text = describe_model(json.loads(json.dumps(result)))
    assert "plain" in text and "times as fast" in text and "of the matrix product" in text


@pytest.mark.slow
def test_command_times_random_weights(capsys, tmp_path: Path):
    report = tmp_path / "model.json"
    size = ["--frames", "1", "--height", "16", "--width", "32", "--layers", "1"]
    command = ["benchmark", "--preset", "1.7B", "--random-weights", *size, "--compare", "plain", "--json", str(report)]
    assert main(command) == 0
    assert "1 blocks" in capsys.readouterr().out
    assert json.loads(report.read_text())["settings"]["tokens"] == 2 * 1 * 2


@pytest.mark.slow
def test_random_weights_need_no_library_of_the_clip():
    program = (
        "import sys\nfrom humo.__main__ import main\n"
        "main(['benchmark', '--preset', '1.7B', '--random-weights', '--frames', '2'])\n"
        "assert 'humo.benchmarks.model' in sys.modules\n"
        "print([name for name in ('librosa', 'moviepy', 'gradio', 'humo.pipeline') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert "frames must be 4k+1" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preset", "mini", "--random-weights"], "Random weights are for 1.7B and 17B"),
        (["--layers", "1"], "add --random-weights"),
        (["--preset", "1.7B", "--random-weights", "--layers", "1", "--compare", "fast"], "'plain' or 'wan'"),
        (["--compare", "wan"], "compare must be 'plain' or 'float32' without --random-weights"),
        (["--dtype", "bfloat16"], "add --random-weights"),
        (["--preset", "1.7B", "--random-weights", "--layers", "1", "--dtype", "int8"], "float32 or bfloat16"),
        (["--preset", "1.7B", "--random-weights", "--height", "100"], "multiples of 16"),
        (["--preset", "1.7B", "--random-weights", "--layers", "0"], "layers must be 1 or more"),
    ],
)
def test_wrong_options_are_told(options: list[str], sentence: str, capsys):
    assert main(["benchmark", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_what_a_cpu_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="17B model at this size has .* TFLOP, a CPU takes 10 at the most"):
        measure_model("17B", device="cpu")
    small = {name: value for name, value in tiny.transformer().config.items() if not name.startswith("_")}
    vast = {**small, "freq_dim": 5 * 10**10}
    monkeypatch.setattr("humo.benchmarks.model.MODELS", {"1.7B": (lambda: vast, "published_1_7b")})
    with pytest.raises(ValueError, match=r"take 9,600 GB and .* are free: give --dtype bfloat16 or fewer --layers"):
        measure_model("1.7B", **SMALL, device="cpu")


def test_command_prints_the_table_of_estimates(capsys):
    assert main(["benchmark", "--table", "--tflops", "300"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("| model | memory |") and "at 300 TFLOP/s" in out


@pytest.mark.slow
def test_waiting_jobs_are_timed_alone_and_together() -> None:
    pipe = tiny.pipeline("mini")
    pipe.fast_form = tiny.pipeline("mini")
    threads: list[str] = []
    model = Model(lambda: threads.append(threading.current_thread().name) or pipe)
    crowds = measure_waiting(model, waiting=(1, 3), batch=2, seconds=0.4, rounds=1)
    assert threads == ["load"], "once, and not where it is measured"
    assert [(each.form, each.waiting, each.batch) for each in crowds] == [
        *(("full quality", 1, 1), ("full quality", 3, 1), ("full quality", 3, 2)),
        *(("quick look", 1, 1), ("quick look", 3, 1), ("quick look", 3, 2)),
    ]
    assert all(0 < each.mean <= each.last and each.per_minute > 0 for each in crowds)
    table = describe_waiting(crowds)
    assert "| quick look | 3 | 2 |" in table and table.count("\n") == 7


def test_a_job_is_timed_beside_the_pipeline_alone() -> None:
    pipe = tiny.pipeline("mini")
    pipe.fast_form = tiny.pipeline("mini")
    full, quick = measure_jobs(Model(lambda: pipe), seconds=0.4, num_inference_steps=3, turns=2)
    assert [each.form for each in (*full, *quick)] == ["full quality"] * 2 + ["quick look"] * 2
    for each in (*full, *quick):
        assert each.alone > 0 and each.first_preview > 0 and each.ending > 0
        assert each.ratio == each.step / each.alone
    table = describe_jobs([full, quick])
    assert table.count("\n") == 3 and "| full quality |" in table and "| quick look |" in table
    assert "generate_batch" not in vars(pipe), "as it was"


def test_a_single_step_is_not_timed() -> None:
    with pytest.raises(ValueError, match="ask for 2 or more"):
        measure_jobs(Model(lambda: tiny.pipeline("mini")), seconds=0.4, num_inference_steps=1, turns=1)


def test_a_cold_start_is_told_by_package() -> None:
    log = """import time: self [us] | cumulative | imported package
import time:    500000 |     500000 |   torch._C
a warning of somebody
import time:   1000000 |    1500000 | torch
import time:    250000 |     250000 |     numpy.linalg
import time:     20000 |      20000 | humo.pipeline
"""
    cold = read_import_times(log, 2.0)
    told = {"torch": 1.5, "transformers": 0, "diffusers": 0, "peft": 0, "humo": 0.02, "others": 0.25}
    assert cold.imports == pytest.approx(told) and cold.rest == pytest.approx(0.23)
    assert "| import of torch | 1.5 |" in describe_cold_start(cold)


@pytest.mark.slow
def test_a_real_cold_start_is_nearly_all_import() -> None:
    cold = measure_cold_start()
    assert min(cold.imports[name] for name in ("torch", "transformers", "diffusers", "humo")) > 0
    assert 0 < cold.rest < cold.total
