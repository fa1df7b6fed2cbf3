"""Several processes make the same video as one: two gloo processes on the CPU, and four, started once for all tests.

Ring attention needs a kernel that reports its log-sum-exp. diffusers calls PyTorch's flash kernel for it, which exists
for CUDA alone, so `humo.layers.context_parallel.start` refuses a ring on the CPU. What is ours in a ring (who holds
which tokens and whose sound they hear) is tested here all the same: PyTorch's CPU flash kernel is registered for the
operator that diffusers calls. NCCL and the CUDA kernel are not tested here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import ContextParallelConfig, FirstBlockCacheConfig
from ports import free_port

from humo.__main__ import main
from humo.guidance import published_17b
from humo.known import Known
from humo.layers import context_parallel as parallel
from humo.pipeline import HuMoPipeline
from humo.sampling import Conditions, denoise, make_scheduler
from humo.transformer import HuMoTransformer3DModel

FORMS = {"1.7B": {"in_channels": 8, "latent_std": tiny.LATENT_STD, "detail_layers": 1}, "17B": {"in_channels": 20}}
GRIDS = {"odd": (3, 6, 6), "frames that do not divide": (3, 4, 4), "even": (4, 4, 6)}
"""Latent frames (the last a reference), rows, columns: 27 tokens, 12 in three frames, 24 in four."""
Results = dict[str, Any]


def inputs(in_channels: int, grid: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    """Random arguments of the transformer, batch size 2."""
    return {
        "hidden_states": torch.randn(2, in_channels, *grid),
        "timestep": torch.tensor([100.0, 900.0]),
        "encoder_hidden_states": torch.randn(2, 5, tiny.TEXT_DIM),
        "audio_hidden_states": 3 * torch.randn(2, grid[0], 8, 5, tiny.AUDIO_CHANNELS),
    }


def conditions(form: str) -> Conditions:
    """Text, sound and one reference for three latent frames of 6x6."""
    black = None if form == "1.7B" else torch.randn(1, 8, 3, 6, 6)
    text, negative = torch.randn(2, 1, 5, tiny.TEXT_DIM)
    audio = 3 * torch.randn(1, 3, 8, 5, tiny.AUDIO_CHANNELS)
    return Conditions(text, negative, audio, torch.randn(1, 8, 1, 6, 6), 1, black)


def split_transformer(form: str, split: dict[str, int] | None) -> HuMoTransformer3DModel:
    """The same tiny model in every process, its tokens split or whole."""
    torch.manual_seed(0)
    model = tiny.transformer(**FORMS[form])
    if model.detail_head is not None:
        torch.nn.init.normal_(model.detail_head.out.weight)
    if split:
        parallel.split_tokens(model, **split, device_type="cpu")
    return model


@torch.no_grad()
def run_grids(form: str, split: dict[str, int] | None, grids: Iterable[str] = GRIDS) -> Results:
    """One pass of the model for every grid, and what the focus head would read."""
    model, results = split_transformer(form, split), {}
    for name in grids:
        torch.manual_seed(1)
        output = model(**inputs(model.config.in_channels, GRIDS[name]), return_attended=True)
        results[name] = (output.sample, *output.attended)
    return results


def run_denoise(form: str, split: dict[str, int] | None) -> Results:
    """Two guided steps, branch by branch, in one batch, and beside what is known."""
    model = split_transformer(form, split)
    told, noise = conditions(form), torch.randn(1, 8, 3, 6, 6)
    arguments = model, make_scheduler(), published_17b(), told, noise, 2
    known = Known(torch.randn(1, 8, 2, 6, 6), torch.rand(1, 1, 2, 6, 6).round(), resampling=1)
    beside = model, make_scheduler(), published_17b(), replace(told, known=known), noise, 2
    return {
        "denoise": denoise(*arguments),
        "denoise in one batch": denoise(*arguments, batch_branches=True),
        "denoise what is not known": denoise(*beside),
    }


def make_video(pipe: HuMoPipeline, seed: int | None) -> Results:
    """A call of the whole pipeline, with sound and picture."""
    masked = {"return_masks": True} if pipe.focus_head is not None else {}
    voice = tiny.voice(0.2)
    output = pipe("a woman talks", image=tiny.picture(), audio=voice, num_frames=5, seed=seed, **masked)
    return {"frames": torch.from_numpy(output.frames), "masks": output.masks, "seed": output.seed}


def use_the_cpu_flash_kernel() -> torch.library.Library:
    """Let the operator that diffusers' ring calls run on the CPU; forgotten with the returned object."""

    def attend(query, key, value, dropout_p=0.0, is_causal=False, return_debug_mask=False, *, scale=None):
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, log_sum_exp = kernel(query, key, value, dropout_p, is_causal, scale=scale)
        none = query.new_empty(0)
        return out, log_sum_exp, none, none, query.shape[2], key.shape[2], none, none, none

    library = torch.library.Library("aten", "IMPL")
    library.impl("_scaled_dot_product_flash_attention", attend, "CPU")
    return library


def make_in_two() -> Results:
    """What each of two processes does."""
    results: Results = {"is main": parallel.is_main()}
    for form in ("mini", "17B"):
        pipe = tiny.pipeline(form)
        parallel.start(pipe)
        results[f"video of {form}"] = make_video(pipe, seed=None)
    for way, split in {"ulysses": {"ulysses": 2}, "ring": {"ulysses": 1, "ring": 2}}.items():
        for form in FORMS:
            results[f"{way} {form}"] = run_grids(form, split) | run_denoise(form, split)
    return results


def make_in_four() -> Results:
    """What each of four processes does."""
    dist.init_process_group(parallel._backend(torch.device("cpu")))
    both = {"ulysses": 2, "ring": 2}
    results: Results = {}
    for form in FORMS:
        results[f"ring {form}"] = run_grids(form, {"ulysses": 1, "ring": 4})
        results[f"both {form}"] = run_grids(form, both, ["frames that do not divide", "even"])
    try:
        run_grids("1.7B", both, ["odd"])
    except ValueError as error:
        results["error"] = str(error)
    return results


def work(rank: int, make: Callable[[], Results], num_processes: int, port: int, folder: Path) -> None:
    """Write into the folder what a process makes."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_processes)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    library = use_the_cpu_flash_kernel()
    torch.save(make(), folder / f"{rank}.pt")
    del library
    parallel.stop()


def run_processes(make: Callable[[], Results], num_processes: int, folder: Path) -> list[Results]:
    """The results of every process; all are forked from one clean process that has imported what they need."""
    port = free_port()
    mp.set_forkserver_preload(["tiny", "humo.layers.context_parallel"])
    mp.start_processes(work, (make, num_processes, port, folder), nprocs=num_processes, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(num_processes)]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Results]:
    """The results of two processes."""
    return run_processes(make_in_two, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> list[Results]:
    """The results of four processes."""
    return run_processes(make_in_four, 4, tmp_path_factory.mktemp("four"))


@pytest.fixture(scope="module", params=list(FORMS))
def alone(request) -> tuple[str, Results]:
    """A form and the results of a single process."""
    return request.param, run_grids(request.param, None) | run_denoise(request.param, None)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ulysses", "ring"])
@pytest.mark.parametrize("what", [*GRIDS, "denoise", "denoise in one batch", "denoise what is not known"])
def test_two_processes_equal_one(two, alone, way: str, what: str) -> None:
    form, expected = alone
    for results in two:
        torch.testing.assert_close(results[f"{way} {form}"][what], expected[what], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ring", "both"])
def test_four_processes_equal_one(four, alone, way: str) -> None:
    form, expected = alone
    for results in four:
        for name, given in results[f"{way} {form}"].items():
            torch.testing.assert_close(given, expected[name], rtol=1e-5, atol=1e-5)
        assert "27 tokens cannot be shared by 2 x 2" in results["error"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mini", "17B"])
def test_a_whole_video_with_a_seed_that_the_first_process_draws(two, form: str) -> None:
    first, second = (results[f"video of {form}"] for results in two)
    assert first["seed"] == second["seed"]
    expected = make_video(tiny.pipeline(form), first["seed"])
    for video in (first, second):
        difference = (video["frames"].int() - expected["frames"].int()).abs()
        assert difference.max() <= 1  # a value at the border of two whole numbers
        if form == "mini":
            torch.testing.assert_close(torch.from_numpy(video["masks"]), torch.from_numpy(expected["masks"]))


def test_only_the_first_process_speaks(two, monkeypatch) -> None:
    assert [results["is main"] for results in two] == [True, False]
    assert parallel.is_main()
    monkeypatch.setenv("RANK", "1")
    assert not parallel.is_main()


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_every_process_finds_that_there_are_too_few_gpus(rank: int, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert parallel.local_index(4) == rank
    with pytest.raises(ValueError, match=r"^torchrun started 4 processes .* has 2 GPUs: use .*--nproc-per-node 2\.$"):
        parallel.local_index(2)


def test_a_mistake_that_only_another_process_meets_is_told(monkeypatch, capsys) -> None:
    wrong = ["generate", "--prompt", "a man talks", "--out", "out.gif"]
    for name, value in {"RANK": "3", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert main(wrong) == 2
    assert capsys.readouterr().err.startswith("[process 3] Error: the video's name out.gif must end in .mp4")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main(wrong) == 2
    assert capsys.readouterr().err.startswith("Error: the video's name")


def test_not_started_by_torchrun(mini_pipeline, monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match="start with torchrun"):
        parallel.start(mini_pipeline)


@pytest.mark.parametrize(
    ("world_size", "degrees", "message"),
    [
        (3, {}, r"3 processes cannot share 2 attention heads evenly: start 1, 2 processes, or .* ulysses=1 and ring=3"),
        (4, {"ulysses": 2}, "2 x 1 but there are 4 processes"),
        (4, {"ring": 0}, "must be that"),
        (2, {"ring": 2}, "A ring needs CUDA and bfloat16"),
    ],
)
def test_degrees_that_cannot_be(mini_pipeline, monkeypatch, world_size: int, degrees: dict, message: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    with pytest.raises(ValueError, match=message):
        parallel.start(mini_pipeline, **degrees)


def test_a_cache_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    pipe = tiny.pipeline("mini")
    pipe.transformer.enable_cache(FirstBlockCacheConfig())
    with pytest.raises(ValueError, match="disable_cache"):
        parallel.start(pipe)


def test_tokens_that_cannot_be_shared() -> None:
    both = ContextParallelConfig(ulysses_degree=2, ring_degree=2)
    parallel.check_tokens(both, 28)
    with pytest.raises(ValueError, match="27 tokens cannot be shared by 2 x 2 .* use ulysses=4 or ring=4 alone"):
        parallel.check_tokens(both, 27)
    with pytest.raises(ValueError, match="1 tokens"):
        parallel.check_tokens(ContextParallelConfig(ulysses_degree=2), 1)
