"""The page as the client of two replicas on Ray, one of which is killed in the middle of its job.

Run: python -m pytest tests/space/jobs/test_ray_serve.py
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from held import HeldFfmpeg
from pages import PATIENCE, ROOT, Visit, chromium, serve
from playwright.sync_api import expect

from humo.space.jobs.job import Moment
from humo.space.jobs.transfer import pack, unpack_back, unpack_here
from humo.system.threads import share_of_cores, usable_cores

pytestmark = pytest.mark.slow

REPLICAS = 2
AT_WORK = re.compile("Step [2-9]|Frame")


@contextmanager
def _workers(folder: Path, held: HeldFfmpeg) -> Iterator[dict[str, str]]:
    """Two replicas of the bundled model on a Ray of their own, with this ffmpeg; yields the page's settings."""
    temporary = tempfile.mkdtemp(prefix="r", dir="/tmp")  # short, for a socket's name has 107 characters at most
    settings = {"RAY_TMPDIR": temporary, "RAY_USAGE_STATS_ENABLED": "0", "HUMO_RAY": "1"}
    command = [str(Path(sys.executable).with_name("serve")), "run", "--name", "humo", "humo.space.jobs.ray_serve:build"]
    command += ["model=mini", f"replicas={REPLICAS}", f"least={REPLICAS}"]
    environment = {**os.environ, **settings, **held.settings, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    log = folder / "workers.txt"
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 600
        while "is ready" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-5000:]
            time.sleep(0.5)
        yield settings
    finally:
        process.terminate()
        process.wait(300)
        shutil.rmtree(temporary, ignore_errors=True)


def _replicas(temporary: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        name = " ".join(process.info["cmdline"] or [])
        with suppress(psutil.NoSuchProcess):
            if "ServeReplica:humo" in name and temporary in process.environ().get("RAY_TMPDIR", ""):
                found.append(process)
    return found


def test_a_replica_dies_in_mid_job_and_another_one_begins_it_again(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    held = HeldFfmpeg(tmp_path)
    with (
        _workers(tmp_path, held) as settings,
        serve(tmp_path / "page", settings=settings) as address,
        chromium() as browser,
    ):
        held.hold()  # no job ends before a replica is killed
        visits = [Visit(browser.new_context().new_page(), address).watch() for _ in range(REPLICAS)]
        for visit in visits:
            visit.set_steps(30)
            visit.page.locator(".humo-examples:visible button").first.click()
            visit.page.locator("#image-TI img").wait_for()
            visit.set_number("Seconds", 1)
            visit.page.locator("#generate-TI").click()
        for visit in visits:
            expect(visit.page.locator("#stage [role=status]")).to_have_text(AT_WORK, timeout=PATIENCE)
        replicas = _replicas(settings["RAY_TMPDIR"])
        assert len(replicas) == REPLICAS, "both are at work"
        replicas[0].kill()
        told = [visit.page.get_by_text("Begun again: the machine that made it was lost") for visit in visits]
        deadline = time.monotonic() + 180
        while not any(words.is_visible() for words in told):
            assert time.monotonic() < deadline, "nobody is told"
        held.release()
        for visit in visits:
            facts = visit.video_facts()
            assert abs(facts["duration"] - 1) < 0.1 and facts["moved"]
            assert not visit.complaints
        _stop_ends_the_work(visits[0], settings["RAY_TMPDIR"])


def _stop_ends_the_work(visit: Visit, temporary: str) -> None:
    """Stop reaches the replica: soon no one of them computes."""
    visit.set_steps(50)
    visit.set_number("Seconds", 4)
    visit.page.locator("#generate-TI").click()
    status = visit.page.locator("#stage [role=status]")
    expect(status).to_have_text(AT_WORK, timeout=PATIENCE)
    visit.page.locator("#stop").dispatch_event("click")  # at once, before the video is done
    expect(status).to_have_text("Stopped", timeout=PATIENCE)
    deadline = time.monotonic() + 180
    while any(process.cpu_percent(0.5) > 40 for process in _replicas(temporary)):
        assert time.monotonic() < deadline, "a replica still computes what nobody wants any more"


IS_INSIDE, MAY_END, HAS_ENDED = (threading.Event() for _ in range(3))


@dataclass(frozen=True)
class Held:
    """A task whose second step ends when the test says so."""

    def run(self, pipe: None, report: Callable[[Moment], None]) -> None:
        try:
            report(Moment(1, 3))
            IS_INSIDE.set()
            MAY_END.wait()
            report(Moment(2, 3))
        finally:
            HAS_ENDED.set()


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning")  # Ray's own
def test_a_replica_that_is_told_to_stop_is_free_only_when_the_step_is_done() -> None:
    from humo.space.jobs.ray_serve import Replica

    replica = Replica.__new__(Replica)  # without Ray and a model
    replica._pipe = None

    async def stop_within_a_step() -> None:
        moments = replica.moments(pack(Held()))
        assert (await anext(moments))[0] is False
        waiting = asyncio.ensure_future(anext(moments))
        await asyncio.to_thread(IS_INSIDE.wait)
        waiting.cancel()
        try:
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done and not HAS_ENDED.is_set()
        finally:
            MAY_END.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert HAS_ENDED.is_set()

    asyncio.run(stop_within_a_step())


REPLICAS_OF_A_MACHINE = """
import json, sys
import ray, torch
from humo.space.jobs.ray_serve import Replica, Settings, build

kept = [build(given)._bound_deployment.ray_actor_options["num_cpus"] for given in ({"replicas": 2}, {"cpus": 3})]
told = {"env_vars": {"OMP_NUM_THREADS": "7"}}  # where somebody has set it, Ray leaves it
ray.init(num_cpus=4, include_dashboard=False, _temp_dir=sys.argv[1], log_to_driver=False, runtime_env=told)
threads = []
for cpus in (0.5, 1, 2):
    replica = ray.remote(num_cpus=cpus)(Replica).remote(Settings(model="mini"))
    threads.append(ray.get(replica.__ray_call__.remote(lambda _: torch.get_num_threads())))
    ray.kill(replica)
ray.shutdown()
print(json.dumps([kept, threads]))
"""


def test_a_replica_computes_with_the_cores_that_ray_keeps_for_it(tmp_path: Path) -> None:
    temporary = tempfile.mkdtemp(prefix="r", dir="/tmp")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", REPLICAS_OF_A_MACHINE, temporary]
    try:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-5000:]
    kept, threads = json.loads(done.stdout.splitlines()[-1])
    assert kept == [share_of_cores(2), 3]
    assert threads == [1, 1, min(2, usable_cores())], "as many as whole cores, at least one, and no more than there are"


def test_files_travel_with_a_task_and_come_back_with_its_result(tmp_path: Path) -> None:
    given, made = tmp_path / "voice.wav", tmp_path / "film.mp4"
    given.write_bytes(b"a voice")
    sent = pack({"sound": given, "out": made, "again": given, "number": 3})
    (tmp_path / "worker").mkdir()
    task, files = unpack_here(sent, tmp_path / "worker")
    assert task["sound"].read_bytes() == b"a voice" and task["again"] == task["sound"] != given
    assert task["number"] == 3 and task["out"].name == "film.mp4" and not task["out"].exists()
    task["out"].write_bytes(b"a film")
    back = pack([task["out"], task["sound"]], files)
    assert back.files == (b"a film", None), "what the page has does not travel again"
    given.write_bytes(b"changed meanwhile")
    assert unpack_back(back, sent) == [made, given]
    assert made.read_bytes() == b"a film" and given.read_bytes() == b"changed meanwhile"


def test_a_worker_writes_no_file_that_it_was_not_asked_for(tmp_path: Path) -> None:
    sent = pack({"out": tmp_path / "film.mp4"})
    (tmp_path / "other.txt").write_bytes(b"evil")
    back = pack(tmp_path / "other.txt")
    with pytest.raises(ValueError, match="not asked for"):
        unpack_back(back, sent)


def test_without_workers_the_page_says_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": ""}
    command = [sys.executable, str(ROOT / "app.py"), "--ray"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "no workers answer on Ray: start them with `serve run" in done.stderr
    assert "Traceback" not in done.stderr
