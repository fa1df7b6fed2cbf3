"""A killed page: what was finished is whole, what was not is nowhere, and the next page tidies up.

Run: python -m pytest tests/abuse/test_kill.py
"""

from __future__ import annotations

import asyncio
import pickle
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import made
import pytest
from pages import process_at, serve
from pictures import written
from raw_api import PLAIN
from sounds import encoded, voice
from visitors import Layout, Tab, link_in

from humo.pipeline import HuMoPipeline
from humo.portrait import Portrait, draw_portrait
from humo.space.links.storage import ReadOnlyStore

pytestmark = pytest.mark.slow

PROMPT = "a man with a beard nods"
SHARE = """
import os, pickle, signal, sys, time
from pathlib import Path
from humo.space.links.share import share
from humo.space.links.storage import FolderStore

folder, made = Path(sys.argv[1]), Path(sys.argv[2])
request, result = pickle.loads(made.read_bytes())
FolderStore(folder)
def begun():
    return [name for name in os.listdir(folder) if name.startswith(".tmp-")]
for moment in map(float, sys.argv[3:]):
    is_late, before = moment < 1, set(os.listdir(folder))
    child = os.fork()
    if child == 0:
        store = FolderStore(folder)
        while True:
            record, _ = share(store, result, request, "0123456789", keep_inputs=True)
            print("shared", record.id, flush=True)
    deadline = time.monotonic() + 200
    while True:
        while is_late and not begun():
            assert time.monotonic() < deadline
        time.sleep(moment if is_late else moment - 1)
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        if begun() or not is_late:
            break
        os.kill(child, signal.SIGCONT)  # it was quicker; the next record will do
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    left = begun()
    store = FolderStore(folder)  # as the next page does
    assert not begun()
    for id in set(os.listdir(folder)) - before - {".lock"}:
        for name in store.read(id).files:
            store.file(id, name)  # compares the hash
        print("whole", id, flush=True)
    print("torn", len(left), flush=True)
"""
"""Shares again and again until it is killed, which happens so many seconds after a record is begun and before it is
finished; from 1 on, so many seconds less one after the start."""


def test_whoever_is_killed_while_sharing_leaves_whole_records_and_no_other(
    tmp_path: Path, mini_pipeline: HuMoPipeline
) -> None:
    request, result = made.video(mini_pipeline, tmp_path / "work")
    (tmp_path / "made").write_bytes(pickle.dumps((request, result)))
    late, early = [number / 2_000 for number in range(12)], [1.2 + number / 20 for number in range(8)]
    moments = [*late, *early]
    command = [sys.executable, "-c", SHARE, str(tmp_path / "links"), str(tmp_path / "made"), *map(str, moments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    shared, whole = ({id for word, id in told if word == kind} for kind in ("shared", "whole"))
    assert shared <= whole, "nothing that a visitor was told is lost"
    torn = [int(number) for word, number in told if word == "torn"]
    assert len(torn) == len(moments) and sum(torn) >= len(late), "those were killed while they wrote"


def test_a_page_killed_at_work_and_while_sharing_loses_nothing_that_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, records = tmp_path / "temporary", tmp_path / "records"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(temporary))
    shared: list[str] = []
    with serve(_folder(tmp_path / "first"), records, is_killed=True) as address, ThreadPoolExecutor() as pool:
        sharing = pool.submit(asyncio.run, _share_until_killed(address, shared))
        _wait_until(lambda: len(shared) >= 3 and [*records.glob(".tmp-*")])
        process_at(address).kill()
        sharing.result(300)
    (dead,) = temporary.iterdir()
    assert [*dead.rglob("voice.wav")], "what its visitors brought is still there"

    with serve(_folder(tmp_path / "second"), records, is_killed=True) as address, ThreadPoolExecutor() as pool:
        assert not dead.exists() and len([*temporary.iterdir()]) == 1, "swept"
        asyncio.run(_check(address, records, shared))
        stage: list[str] = []
        working = pool.submit(asyncio.run, _work_until_killed(address, stage))
        _wait_until(lambda: any(re.search(r"Step \d+ of 50", told) for told in stage))
        process_at(address).kill()
        working.result(300)

    with serve(_folder(tmp_path / "third"), records, is_killed=True) as address:
        assert len([*temporary.iterdir()]) == 1, "swept"
        asyncio.run(_check(address, records, shared))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not is_so():
        assert time.monotonic() < deadline


@asynccontextmanager
async def _tab(address: str) -> AsyncIterator[Tab]:
    async with httpx.AsyncClient(**PLAIN, base_url=address) as client:
        yield Tab(client, Layout.of((await client.get("/config")).json()), "10.0.0.1")


async def _share_until_killed(address: str, shared: list[str]) -> None:
    """Make a video and share it again and again, noting every link that is told."""
    with suppress(httpx.HTTPError):
        async with _tab(address) as tab:
            values = {"prompt-TA": PROMPT, "Steps": 2, "audio-TA": await tab.upload("voice.wav", encoded(voice(0.3)))}
            async for _ in tab.press("generate-TA.click", values):
                pass
            while True:
                async for changed in tab.press("share.click", {"keeps-inputs": True}):
                    shared.append(link_in(changed["link"]))


async def _work_until_killed(address: str, stage: list[str]) -> None:
    """Make a long video, noting what the page shows."""
    with suppress(httpx.HTTPError):
        async with _tab(address) as tab:
            picture_file = await tab.upload("face.png", written(draw_portrait(Portrait())))
            values = {"prompt-TI": PROMPT, "Steps": 50, "Seconds": 10, "image-TI": picture_file}
            async for changed in tab.press("generate-TI.click", values):
                stage.append(str(changed.get("stage")))


async def _check(address: str, records: Path, shared: list[str]) -> None:
    """All records are whole, and those that visitors were told of open."""
    store = ReadOnlyStore(records)
    kept = {path.name for path in records.iterdir()} - {".lock"}
    assert {*shared} <= kept and len(shared) >= 3
    for id in kept:
        names = store.read(id).files
        assert {"video.mp4", "poster.webp", "inputs/voice.flac"} == {*names}
        for name in names:
            store.file(id, name)  # compares the hash
        async with _tab(address) as tab:
            shown = (await tab.load(f"g={id}"))["opened-video"]
            assert (await tab.settings_of(shown["value"])).prompt == PROMPT
