"""This revision beside another one of the same repository, measured in turn on one machine: only the ratios travel.

A worktree of the other revision is made for the time; each side runs `humo.benchmarks.workload` in a process of its
own, and the two are asked alternately, so that a slower minute of the machine meets both. Ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import psutil

from humo.benchmarks import workload
from humo.benchmarks.clip import serve_page
from humo.system.tables import markdown_table

ROOT = Path(__file__).parents[2]
PARTS = ("clip", "quick look", "decode")
PAUSE = 0.2
"""Seconds before each measurement: threads of the other side still spin for a moment."""
BUSY = "clip beside a busy process"
GENERATE = ("generate", "--prompt", "a woman with red hair nods", "--frames", "5", "--seed", "0", "--out")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One part in both revisions.

    Attributes:
        part: what was done.
        ours: median of this revision, seconds or MiB.
        theirs: median of the other one.
    """

    part: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Below 1 where this revision takes less."""
        return self.ours / self.theirs


def compare_revisions(revision: str, rounds: int = 5) -> list[Comparison]:
    """Measure this revision and another one in turn.

    Args:
        revision: what git calls a commit.
        rounds: of every part; the median counts.

    Raises:
        ValueError: if this is no checkout, or there is no such revision.
    """
    few = max(1, rounds // 2)
    with worktree(revision) as other:
        folders = (ROOT, other)
        with ExitStack() as stack:
            sides = [stack.enter_context(_answering(folder)) for folder in folders]
            found = [_in_turn(part, [side(part) for side in sides], rounds) for part in PARTS]
            with busy_process():
                found.append(_in_turn(BUSY, [side("clip") for side in sides], few))
        found.append(_in_turn("command line", [_command_line(folder) for folder in folders], few))
        pages = [[_page(folder) for folder in folders] for _ in range(few)]
    for place, part in enumerate(("start of the page", "memory of the page with one visitor, MiB")):
        ours, theirs = (median(both[side][place] for both in pages) for side in range(2))
        found.append(Comparison(part, ours, theirs))
    return found


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A folder with another revision of this checkout, gone afterwards.

    Raises:
        ValueError: if this is no checkout, or there is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="humo-revision-") as scratch:
        folder = Path(scratch) / "humo"
        made = _git("worktree", "add", "--detach", str(folder), revision)
        if made.returncode:
            said = made.stderr.strip().splitlines()[-1:] or ["git is not there"]
            raise ValueError(
                f"revision {revision[:40]!r} cannot be had here ({said[0]}): give a commit of this checkout."
            )
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    """Another program that wants a whole core all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def describe_comparisons(found: Sequence[Comparison], revision: str) -> str:
    """A table in markdown."""
    head = ("part", "here", revision, "ratio")
    return markdown_table(
        head, ((each.part, f"{each.ours:.2f}", f"{each.theirs:.2f}", f"{each.ratio:.2f}") for each in found)
    )


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


@contextmanager
def _answering(folder: Path) -> Iterator[Callable[[str], Callable[[], float]]]:
    """A process of a revision: what it gives is a function of a part, which measures that part once, in seconds."""
    code = Path(workload.__file__).read_text(encoding="utf-8")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def read() -> dict[str, str | float]:
            while line := answers.readline():
                if line.startswith("{"):
                    answer: dict[str, str | float] = json.loads(line)
                    return answer
            raise ValueError(
                f"the measuring process of {folder.name} ended before it answered: see what it wrote above."
            )

        if (home := read()["folder"]) != str(folder):
            raise ValueError(f"the measuring process imports humo from {home}: take PYTHONPATH away.")

        def ask(part: str) -> float:
            asked.write(f"{part}\n")
            asked.flush()
            return float(read()["seconds"])

        try:
            yield lambda part: lambda: ask(part)
        finally:
            asked.close()


def _in_turn(part: str, sides: Sequence[Callable[[], float]], rounds: int) -> Comparison:
    def measure(side: Callable[[], float]) -> float:
        time.sleep(PAUSE)
        return side()

    seconds = [[measure(side) for side in sides] for _ in range(rounds)]
    ours, theirs = (median(each[place] for each in seconds) for place in range(2))
    print(f"{part}: {ours:.2f} s here, {theirs:.2f} s there", file=sys.stderr, flush=True)
    return Comparison(part, ours, theirs)


def _command_line(folder: Path) -> Callable[[], float]:
    def run() -> float:
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            command = [sys.executable, "-m", "humo", *GENERATE, str(Path(out) / "clip.mp4")]
            done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
            seconds = time.perf_counter() - start
        if done.returncode:
            raise ValueError(f"{' '.join(command[1:4])} failed in {folder}: {done.stderr.strip().splitlines()[-1]}")
        return seconds

    return run


def _page(folder: Path) -> tuple[float, float]:
    """Seconds until the page answers, and the most memory of its process until it has made one video, MiB."""
    with serve_page(folder / "app.py") as (address, seconds, process):
        url = f"{address}/gradio_api/call/v2/generate"
        asked = json.dumps({"prompt": "a woman with red hair nods", "seconds": 0.2}).encode()
        with urlopen(Request(url, asked, {"Content-Type": "application/json"})) as begun:
            event = json.load(begun)["event_id"]
        with urlopen(f"{url}/{event}") as told:
            answer = told.read().decode()
        if "event: complete" not in answer:
            raise ValueError(f"the page made no video: {answer[-200:]}")
        return seconds, _most_memory(process)


def _most_memory(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return psutil.Process(process.pid).memory_info().rss / 2**20  # of this moment, where no system keeps the most
