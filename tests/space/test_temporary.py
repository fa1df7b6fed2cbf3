"""The page's temporary folder: gone with its process, however that ends.

Run: python -m pytest tests/space/test_temporary.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from humo.space.temporary import HOUR, OLDEST, DiskQuota, claim_folder, sweep

HOLD = """
import sys
from humo.space.temporary import claim_folder
folder = claim_folder(sys.argv[1])
(folder / "upload.png").write_bytes(b"x")
print(folder, flush=True)
sys.stdin.read()
"""
FILLED = """
import sys, tempfile
from multiprocessing.util import get_temp_dir  # before the folder is claimed: what is set up last ends first
from humo.space.temporary import claim_folder
tempfile.tempdir = str(claim_folder(sys.argv[1]))
assert get_temp_dir().startswith(tempfile.tempdir)
"""


def _hold(parent: Path) -> tuple[subprocess.Popen, Path]:
    """A process that holds a folder until its input ends."""
    command = [sys.executable, "-c", HOLD, str(parent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("is_killed", [False, True])
def test_nothing_stays_of_an_ended_process(tmp_path: Path, is_killed: bool) -> None:
    living, kept = _hold(tmp_path)
    ended, left = _hold(tmp_path)
    assert (left / "upload.png").is_file()
    if is_killed:
        ended.kill()
    ended.communicate()
    assert left.exists() == is_killed
    sweep(tmp_path)
    assert not left.exists() and (kept / "upload.png").is_file()
    living.communicate()
    assert not kept.exists() and list(tmp_path.iterdir()) == []


def test_what_multiprocessing_keeps_in_it_goes_before_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILLED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == "" and list(tmp_path.iterdir()) == []


def test_folders_of_others_and_links_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".lock").touch()
    parent = tmp_path / "new" / "parent"
    folder = claim_folder(parent)
    (parent / "humo-page-link").symlink_to(outside)
    (parent / "humo-page-empty").mkdir()
    (parent / "other").mkdir()
    sweep(parent)
    assert {each.name for each in parent.iterdir()} == {folder.name, "humo-page-link", "humo-page-empty", "other"}
    assert (outside / ".lock").exists()


def _write(folder: Path, name: str, size: int) -> Path:
    (folder / name).mkdir(parents=True)
    path = folder / name / "video.mp4"
    path.write_bytes(bytes(size))
    time.sleep(0.02)  # for the disk's clock
    return path


def test_the_oldest_files_make_room_and_the_pages_own_stay(tmp_path: Path) -> None:
    quota, own = DiskQuota(tmp_path, 1_000), _write(tmp_path, "own", 5_000)
    quota.keep()
    files = [_write(tmp_path, f"visitor {number}", 300) for number in range(3)]
    quota.make(100)
    assert own.exists() and all(file.exists() for file in files)
    quota.make(101)
    assert not files[0].parent.exists() and files[1].exists()
    files[1].with_name("other.png").write_bytes(b"")
    quota.make(1_000)
    assert {path for path in tmp_path.rglob("*.*")} == {own, files[1].with_name("other.png")}


def test_empty_folders_go_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - HOUR - 1,) * 2)
    DiskQuota(tmp_path, 1_000).make()
    assert [*tmp_path.iterdir()] == [new]


def test_no_file_stays_for_more_than_a_day_but_the_pages_own(tmp_path: Path) -> None:
    later = [0.0]
    quota = DiskQuota(tmp_path, 1_000, clock=lambda: time.time() + later[0])
    own = _write(tmp_path, "own", 10)
    quota.keep()
    video = _write(tmp_path, "visitor", 10)
    kept = video.with_suffix(".npz")  # what a video is gone on from, which Gradio knows nothing of
    kept.write_bytes(b"x")
    os.utime(kept, (0, 0))  # a copy of an old file is new here
    later[0] = OLDEST - HOUR
    quota.make()
    assert video.exists() and kept.exists()
    later[0] = OLDEST + 1
    quota.make()
    assert own.exists() and not video.parent.exists()


def test_it_is_looked_at_without_anybody_asking(tmp_path: Path) -> None:
    file, looks = _write(tmp_path, "visitor", 10), threading.Semaphore(0)

    def clock() -> float:
        looks.release()
        return time.time() + OLDEST + 1

    before, quota = set(threading.enumerate()), DiskQuota(tmp_path, 1_000, clock)
    quota.watch(every=0.01)
    (thread,) = set(threading.enumerate()) - before
    try:
        for _ in range(20):  # the clock is asked a few times a look
            assert looks.acquire(timeout=60)
    finally:
        quota.close()
    thread.join(60)
    assert not thread.is_alive() and not file.exists()
