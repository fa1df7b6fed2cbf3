"""How many threads a computation gets while other programs want the processor too. All of it is ours.

Every operation of PyTorch on a CPU ends with its threads waiting for one another. They wait by spinning, and on a core
that somebody else has the spinning is in vain: beside one busy program a clip of two threads on two cores takes four
to nine times as long, one of one thread not twice (`python -m humo benchmark --against`). So there are as many threads
as cores are free, looked up anew while a video is made.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Iterator, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

WINDOW = 0.15
"""Seconds over which the load is taken; the system counts in hundredths."""
GLANCES, BETWEEN = 4, 0.004
"""At a beginning: how often it is counted who wants a core, and the seconds between; the least counts."""
SHARE = 0.6
"""Of a core that must be free for another thread."""
OPENMP = "OMP_NUM_THREADS"
"""The variable that PyTorch and NumPy read when they are imported."""
_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Cores that this process may use at most: of its affinity, and of the quota of its container; 1 or more.

    Args:
        cgroups: where Linux shows control groups.
        own: the file that names those of this process.
    """
    return max(1, math.ceil(_room(cgroups, own)))


def share_of_cores(processes: int, cores: int | None = None) -> float:
    """Cores of each of so many processes, so that all fit: whole ones, or hundredths of one where there are too few.

    Args:
        processes: 1 or more.
        cores: of the machine; None for those that this process may use whole, as Ray counts them too.
    """
    cores = max(1, math.floor(_room(_CGROUPS, _OWN))) if cores is None else cores
    return float(cores // processes) or max(1, 100 * cores // processes) / 100


def tell_quota(environment: MutableMapping[str, str], cgroups: Path = _CGROUPS, own: Path = _OWN) -> None:
    """Tell the libraries that compute of the container's quota, before they are imported: they count cores alone.

    Two threads on the quota of one core take 1.4 times as long as one, for each waits for the other. A number of
    threads that the environment has already stays.

    Args:
        environment: of this process, whose own processes get it too.
        cgroups: as for `usable_cores`.
        own: as for `usable_cores`.
    """
    if (cores := usable_cores(cgroups, own)) < len(_affinity()):
        environment.setdefault(OPENMP, str(cores))


def set_threads(wanted: int) -> None:
    """Give PyTorch so many threads, no more than cores may be used."""
    import torch

    torch.set_num_threads(min(wanted, usable_cores()))


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds until a moment: of the clock, of this process, and of its cores without work."""

    clock: float
    own: float
    idle: float


class ThreadGovernor:
    """Gives PyTorch as many threads as cores are free, which may change while it computes.

    Attributes:
        most: the largest number of threads, at least 1.
        threads: the number now.
    """

    def __init__(self, most: int | None = None) -> None:
        """Begin with all.

        Args:
            most: the largest number; None for the smaller of PyTorch's own choice and `usable_cores`.
        """
        import torch

        self.most = min(torch.get_num_threads(), usable_cores()) if most is None else most
        self.threads = self.most
        self._before = _times()

    def adjust(self) -> int:
        """Look at the load since the last look, if that was long enough ago, and set PyTorch's threads.

        Returns:
            Their number.
        """
        if (elapsed := time.monotonic() - self._before.clock) >= WINDOW:
            now = _times()
            free = (now.own - self._before.own + now.idle - self._before.idle) / elapsed
            self.threads, self._before = threads_for(free, self.most), now
        return self._set()

    def begin(self) -> int:
        """Choose anew for a computation that begins, by who wants a core at this moment; `adjust` follows.

        Returns:
            The number of threads.
        """
        others = _others_running()
        for _ in range(GLANCES - 1):
            if others == 0:
                break
            time.sleep(BETWEEN)
            others = min(others, _others_running())
        self.threads, self._before = threads_for(len(_affinity()) - others, self.most), _times()
        return self._set()

    def limit(self, most: int) -> int:
        """Never take more than so many, from now on.

        Returns:
            The number of threads.
        """
        self.most = max(1, min(most, usable_cores()))
        self.threads = min(self.threads, self.most)
        return self._set()

    def _set(self) -> int:
        import torch

        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        return self.threads


def begin_threads() -> None:
    """Choose the threads for a computation that begins, in the thread that computes: each has a number of its own.

    What is computed differs in rounding only: of mini's pixels one in 20,000 by one level of 255.
    """
    _governor().begin()


def adjust_threads() -> None:
    """Look at the load again, in the thread that computes."""
    _governor().adjust()


def limit_threads(most: int) -> None:
    """Never choose more than so many, where several processes of ours share the cores of a machine."""
    _governor().limit(most)


@lru_cache(maxsize=1)
def _governor() -> ThreadGovernor:
    return ThreadGovernor()


def threads_for(free: float, most: int) -> int:
    """Threads for a number of cores that are free or ours already, 1 to `most`."""
    return max(1, min(most, int(free + 1 - SHARE)))


def _times() -> _Times:
    own = psutil.Process().cpu_times()
    cores = psutil.cpu_times(percpu=True)
    return _Times(
        time.monotonic(), own.user + own.system, sum(cores[core].idle for core in _affinity() if core < len(cores))
    )


def _others_running(status: Path = Path("/proc/stat")) -> int:
    """Threads of other programs that want a core at this moment; 0 where the system does not tell."""
    lines = status.read_text().splitlines() if status.is_file() else []
    running = [int(line.split()[1]) for line in lines if line.startswith("procs_running ")]
    return max(0, running[0] - 1) if running else 0


def _room(cgroups: Path, own: Path) -> float:
    """Cores that this process may use at most, where a quota may be a part of one."""
    return min([len(_affinity()), *_quotas(cgroups, own)])


def _affinity() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Cores that each control group of this process may use, where it has a limit; of both versions of Linux'."""
    lines = own.read_text().splitlines() if own.is_file() else []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        root = cgroups / controllers if controllers else cgroups
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            words = _words(folder / "cpu.max") or [
                *_words(folder / "cpu.cfs_quota_us"),
                *_words(folder / "cpu.cfs_period_us"),
            ]
            if len(words) == 2 and words[0] not in ("max", "-1"):
                yield int(words[0]) / int(words[1])


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.is_file() else []
