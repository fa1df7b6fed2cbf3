"""Workers of a pool end with their parent, also if that is killed.

Run: python -m pytest tests/system/test_processes.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from humo.system.processes import follow_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context(sys.argv[1]), follow_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_no_worker_outlives_a_killed_parent(tmp_path: Path, way: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), way]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) as parent:
        worker = int(parent.stdout.readline())
        assert _is_alive(worker)
        parent.kill()
    deadline = time.monotonic() + 60
    while _is_alive(worker):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked after does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
