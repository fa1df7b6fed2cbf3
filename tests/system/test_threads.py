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

from humo.system.threads import ThreadGovernor, threads_for, usable_cores


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


def test_beside_busy_programs_one_thread_is_left(threads: None) -> None:
    governor = ThreadGovernor(most=2)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        end = time.monotonic() + 60
        while governor.adjust() != 1 and time.monotonic() < end:
            time.sleep(0.2)
        assert governor.adjust() == 1 == torch.get_num_threads()
        while governor.begin() != 1 and time.monotonic() < end:
            time.sleep(0.2)
        assert governor.begin() == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_no_more_threads_than_asked_for(threads: None) -> None:
    governor = ThreadGovernor(most=1)
    assert governor.begin() == 1 and governor.adjust() == 1 == torch.get_num_threads()
