"""A small model compiled while the page is open: in the background, never on a visitor's time, taken up between jobs.

The page starts with the model as written, or with what an earlier start has compiled (`humo.loading.compiling`). Where
nothing is there, a process of lowest priority and one thread compiles first the fast form, then the other, and makes a
clip both ways; it stands still while a job is done. What is proven so is loaded between two jobs, proven once more on
single passes, and used from then on; what is not is refused, and the log says so. A job is computed in one way from its
beginning to its end.

A link makes the same video as before to the eye, not to the bit, as on another processor or with another number of
threads; so neither links nor the settings in a file say which way was used. HUMO_COMPILE=off leaves the model as
written. On GPUs, with large models and with Ray nothing is compiled. All of this file is ours.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

from humo.system.caches import compiled_folder
from humo.system.compiler import find_compiler

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline
    from humo.space.jobs.job import Model
    from humo.space.jobs.manager import JobManager

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
NEEDED = 2 * 2**30
"""Bytes that must be free: the process takes about 1.3 GiB at the most, the C++ compiler's included."""
PRIORITY = 19
"""The lowest."""
_STAYS = "Nothing is compiled, the model is computed as written: "


def is_compilable(pipe: HuMoPipeline) -> bool:
    """Whether compiling ahead pays: for a small model on a CPU."""
    return bool(pipe.device.type == "cpu" and pipe.config.batch_branches)  # which is set for small models


def take_compiled(pipe: HuMoPipeline) -> None:
    """Use what was compiled earlier for a model and its fast form, where there is something."""
    if not is_compilable(pipe):
        return
    try:
        if any(compiled_folder().glob("*.pt2")):  # else what reads it need not be imported
            for form in _forms(pipe).values():
                _swap(form)
    except ValueError as error:
        logger.warning("%s%s", _STAYS, error)


@dataclass(frozen=True, slots=True)
class Swap:
    """A task of `humo.space.jobs.job`: from now on a form is computed by the compiled code that lies in the cache.

    Attributes:
        is_fast: the fast form.
    """

    is_fast: bool

    def run(self, pipe: HuMoPipeline, report: Any) -> bool:
        """Do it; gives whether there was code that could be used."""
        return _swap(_forms(pipe)[self.is_fast])

    def seconds(self, pipe: HuMoPipeline) -> float:
        """Next to nothing."""
        return 0.0


class BackgroundCompiler:
    """Compiles what a page's model lacks.

    Args:
        source: of the model that serves, as `humo.space.jobs.model_choice.load_model` takes it.
        model: the page's.
        manager: of the visitors' jobs.
    """

    def __init__(self, source: str, model: Model, manager: JobManager) -> None:
        self._source, self._model, self._manager = source, model, manager
        self._process: subprocess.Popen[bytes] | None = None
        self._is_busy = False
        self._lock = threading.Lock()

    def start(self) -> threading.Thread:
        """Begin in a thread of its own, which ends with the page."""
        thread = threading.Thread(target=self._run, name="compile", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            pipe = self._model.get()
            missing = [fast for fast, form in _forms(pipe).items() if form.transformer.compiled_pass is None]
            if not is_compilable(pipe) or not missing:
                return
            self._manager.watch(self._give_way)
            for is_fast in sorted(missing, reverse=True):
                if why := self._why_not() or self._compile(is_fast):
                    logger.warning("%s%s", _STAYS, why)
                    return
                if self._manager.run_own(Swap(is_fast)).result:
                    logger.info("Compiled code is used from now on, fast form: %s.", is_fast)
                else:
                    logger.warning("%sthe code that was compiled could not be used.", _STAYS)
        except Exception as error:  # whatever it is, the page goes on as it is
            logger.warning("%s%s", _STAYS, error)

    def _why_not(self) -> str:
        if find_compiler() is None:
            return "no C++ compiler was found. Install g++ or name yours in CXX."
        if (free := psutil.virtual_memory().available) < NEEDED:
            return f"{free >> 20:,} MiB of memory are free and {NEEDED >> 20:,} are needed."
        return ""

    def _compile(self, is_fast: bool) -> str:
        """Compile in another process; gives why that failed, or nothing."""
        command = [sys.executable, "-m", __name__, self._source, *["--fast"] * is_fast]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        with tempfile.TemporaryFile() as told:
            with subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,  # its end tells that the page is gone
                stdout=subprocess.DEVNULL,
                stderr=told,
                process_group=0,  # of this session: a page's death wakes and ends even one that stands still
            ) as process:
                with self._lock:
                    self._process = process
                    self._pause(self._is_busy)
                code = process.wait()
                with self._lock:
                    self._process = None
            return "" if code == 0 else _last_line(told) or f"the compiling process ended with code {code}."

    def _give_way(self, is_busy: bool) -> None:
        with self._lock:
            self._is_busy = is_busy
            self._pause(is_busy)

    def _pause(self, is_pausing: bool) -> None:
        if self._process is not None and self._process.poll() is None:  # with the C++ compiler that it has started
            os.killpg(self._process.pid, signal.SIGSTOP if is_pausing else signal.SIGCONT)


def _forms(pipe: HuMoPipeline) -> dict[bool, HuMoPipeline]:
    """The model, and under True its fast form if it has one."""
    return {False: pipe} | ({} if pipe.fast_form is None else {True: pipe.fast_form})


def _swap(form: HuMoPipeline) -> bool:
    from humo.loading.compiling import find_pass

    found = find_pass(form)
    form.transformer.compiled_pass = found
    return found is not None


def _last_line(file: BinaryIO) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def main(source: str, is_fast: bool) -> int:
    """What the other process does; 0 once compiled code lies in the cache."""
    os.nice(PRIORITY)
    threading.Thread(target=_end_with_input, daemon=True).start()
    import torch

    from humo.loading.compiling import make_pass
    from humo.space.jobs.model_choice import load_model

    torch.set_num_threads(1)
    try:
        return 0 if make_pass(_forms(load_model(source, "cpu").pipe)[is_fast]) else 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def _end_with_input() -> None:
    while os.read(0, 1):  # not by way of sys.stdin, whose lock would spoil this process' own end
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--fast" in sys.argv[2:]))
