"""Fine-tuning in two gloo processes on the CPU, started once: DDP and FSDP2 give what one process gives.

FSDP2 runs through accelerate as on GPUs, with the first process alone reading the weights. NCCL and the kernels of GPUs
are not tested here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import recipe
import torch
import torch.multiprocessing as mp
from ports import free_port
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from humo.finetuning.checkpoint import find_states
from humo.finetuning.model import learned
from humo.finetuning.settings import FinetuneSettings

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
KINDS = ("whole", "lora", "bf16")


def settings(kind: str, **changes) -> FinetuneSettings:
    """A few steps of stage 2."""
    kinds = {
        "whole": {"steps": 4},
        "lora": {"steps": 2, "lora_rank": 2},
        "bf16": {"steps": 1, "mixed_precision": "bf16"},
    }
    return recipe.settings(2, **{"batch_size": 1, "checkpoint_every": 2, **kinds[kind], **changes})


def work(rank: int, ports: list[int], folder: Path) -> None:
    """What each of two processes does; the end of a training takes its group apart, so each meets at its own port."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": str(ports.pop())}
    recipe.training(folder / "wan", folder / "ddp", settings("whole")).run()
    os.environ |= FSDP
    for kind in KINDS:
        for stop_at in (3, None) if kind == "whole" else (None,):
            os.environ["MASTER_PORT"] = str(ports.pop())
            split = recipe.training(folder / "wan", folder / f"fsdp-{kind}", settings(kind), is_split=True)
            assert split.step == (3 if kind == "whole" and stop_at is None else 0)
            assert all(isinstance(parameter, DTensor) for parameter in learned(split.model).values())
            split.run(stop_at)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The runs of two processes, and those of one with the doubled batch."""
    folder = tmp_path_factory.mktemp("runs")
    recipe.wan_folder(folder / "wan")
    ports = [free_port() for _ in range(2 + len(KINDS))]
    mp.spawn(work, args=(ports, folder), nprocs=2)
    for kind in KINDS:
        recipe.training(folder / "wan", folder / f"one-{kind}", settings(kind, batch_size=2)).run()
    return folder


def check_equal(mine: Path, theirs: Path, tolerance: float) -> None:
    """Same log, same exported weights, same averages and moments."""
    for here, there in zip(recipe.read_log(mine), recipe.read_log(theirs), strict=True):
        compared = [name for name in there if name != "iou"]  # a mean over clips that have faces in each process
        assert [here[name] for name in compared] == pytest.approx([there[name] for name in compared], rel=tolerance)
    files = [file.relative_to(theirs) for file in theirs.rglob("*.safetensors")]
    assert len(files) >= 6
    for file in files:
        one, other = load_file(mine / file), load_file(theirs / file)
        assert one.keys() == other.keys()
        for name in other:
            torch.testing.assert_close(one[name], other[name], rtol=tolerance, atol=tolerance, msg=f"{file} {name}")


@pytest.mark.slow
def test_two_processes_are_one_with_the_doubled_batch(runs: Path) -> None:
    check_equal(runs / "ddp", runs / "one-whole", 2e-4)


@pytest.mark.parametrize("kind", ["whole", "lora"])
def test_a_split_model_is_a_whole_one(runs: Path, kind: str) -> None:
    """The whole-weight run is resumed after step 3: its split state is put together and split again."""
    check_equal(runs / f"fsdp-{kind}", runs / f"one-{kind}", 2e-4)


def test_a_split_model_trains_in_bfloat16(runs: Path) -> None:
    split, one = (recipe.read_log(runs / f"{name}-bf16") for name in ("fsdp", "one"))
    assert [line["flow"] for line in split] == pytest.approx([line["flow"] for line in one], rel=0.02)


def test_a_state_of_a_split_model_is_a_whole_models(runs: Path, tmp_path: Path) -> None:
    """The files say nothing of how the tensors were split; only the number of processes is held against them."""
    out = Path(shutil.copytree(runs / "fsdp-whole", tmp_path / "out"))
    assert find_states(out / "states")
    with pytest.raises(ValueError, match="begun with 2 processes and not 1"):
        recipe.training(runs / "wan", out, settings("whole"))
    state = out / "states" / "step-000004" / "state.json"
    state.write_text(state.read_text().replace('"processes": 2', '"processes": 1'))
    assert recipe.training(runs / "wan", out, settings("whole")).step == 4
