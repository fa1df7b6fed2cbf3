"""Threads of a computation: as many as cores are free, within affinity and quota.

Run: python -m pytest tests/system/test_threads.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from humo.system.threads import (
    OPENMP,
    ThreadGovernor,
    begin_threads,
    set_threads,
    share_of_cores,
    tell_quota,
    threads_for,
    usable_cores,
)

CFS = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("free", "most", "threads"),
    [(2.0, 2, 2), (1.7, 2, 2), (1.5, 2, 1), (1.0, 2, 1), (0.2, 2, 1), (0.0, 2, 1), (9.0, 4, 4), (3.5, 4, 3)],
)
def test_a_core_that_is_mostly_free_gets_a_thread(free: float, most: int, threads: int) -> None:
    assert threads_for(free, most) == threads


@pytest.mark.parametrize(
    ("line", "files", "cores"),
    [
        ("0::/job", {"job/cpu.max": "100000 100000"}, 1),
        ("0::/job", {"job/cpu.max": "max 100000", "cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/job", {}, None),
        ("4:cpu:/job", {"cpu/job/cpu.cfs_quota_us": "100000", "cpu/job/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu,cpuacct:/docker/id", {f"cpu,cpuacct/{name}": "100000" for name in CFS}, 1),
        ("4:cpu:/pod/job/inner", {f"cpu/pod/{name}": "100000" for name in CFS}, 1),
        ("0::/pod/job/inner", {"pod/job/inner/cpu.max": "max 100000", "pod/cpu.max": "100000 100000"}, 1),
        ("4:cpu:/job", {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_a_containers_quota_counts(tmp_path: Path, line: str, files: dict[str, str], cores: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(line + "\n")
    everything = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_cores(tmp_path, tmp_path / "own") == (cores or everything)


def test_a_quota_of_more_than_a_core_is_rounded_up(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "own").write_text("0::/\n")
    assert usable_cores(tmp_path, tmp_path / "own") == min(2, usable_cores(tmp_path, tmp_path / "nothing"))


@pytest.mark.parametrize(("environment", "threads"), [({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")])
def test_libraries_are_told_of_a_quota(tmp_path: Path, environment: dict[str, str], threads: str) -> None:
    (tmp_path / "cpu.max").write_text("10000 100000\n")
    (tmp_path / "own").write_text("0::/\n")
    if usable_cores(tmp_path, tmp_path / "nothing") == 1:  # nothing is less than one core
        environment = {"OMP_NUM_THREADS": threads}
    tell_quota(environment, tmp_path, tmp_path / "own")
    assert environment == {"OMP_NUM_THREADS": threads}


def test_without_a_quota_libraries_count_the_cores_themselves(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    tell_quota(environment, tmp_path, tmp_path / "nothing")
    assert environment == {}


def test_what_the_libraries_are_told_is_what_they_take() -> None:
    program = (
        "import os, sys\nfrom humo.__main__ import main\nos.environ['OMP_NUM_THREADS'] = '1'\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'too late'\n"
        "import torch\nprint(torch.get_num_threads())"
    )
    untold = {name: value for name, value in os.environ.items() if name != OPENMP}  # tests are told of one thread
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=untold)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("turn", ["first", "after one that left more threads"])
def test_every_test_begins_with_one_thread(turn: str) -> None:
    assert torch.get_num_threads() == 1
    begin_threads()
    assert torch.get_num_threads() == 1, "whatever else the machine does"
    torch.set_num_threads(2)


def test_no_more_threads_than_cores_may_be_used(threads: None) -> None:
    set_threads(1)
    assert torch.get_num_threads() == 1
    set_threads(10_000)
    assert torch.get_num_threads() == usable_cores()


def test_a_limit_holds_from_now_on(threads: None) -> None:
    governor = ThreadGovernor(most=usable_cores())
    assert governor.limit(10_000) <= usable_cores() == governor.most
    assert governor.limit(1) == 1 == torch.get_num_threads()
    assert governor.begin() == 1 and governor.adjust() == 1
    assert governor.limit(0) == 1 == governor.most, "half a core is a thread"


@pytest.mark.parametrize(
    ("cores", "processes", "share"), [(2, 1, 2), (2, 2, 1), (8, 3, 2), (2, 3, 0.66), (1, 2, 0.5), (1, 500, 0.01)]
)
def test_processes_share_the_cores_of_a_machine(cores: int, processes: int, share: float) -> None:
    assert share_of_cores(processes, cores) == share
    assert usable_cores() - 1 <= share_of_cores(1) <= usable_cores(), "a part of a core is not shared out"


def test_beside_busy_programs_one_thread_is_left(threads: None) -> None:
    governor = ThreadGovernor(most=2)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        end = time.monotonic() + 120
        for choose in (governor.adjust, governor.begin):
            while choose() != 1:
                assert time.monotonic() < end
                time.sleep(0.2)
            assert torch.get_num_threads() == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_no_more_threads_than_asked_for(threads: None) -> None:
    governor = ThreadGovernor(most=1)
    assert governor.begin() == 1 and governor.adjust() == 1 == torch.get_num_threads()
