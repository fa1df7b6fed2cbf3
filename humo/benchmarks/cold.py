"""Where a cold start goes: seconds of a fresh Python until the model can be asked, by package. Ours."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass

from humo.system.tables import markdown_table

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")
SHOWN = ("torch", "transformers", "diffusers", "peft", "humo")


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One start.

    Attributes:
        total: seconds from starting Python to its end.
        imports: seconds that the modules of each package of `SHOWN` take themselves, and "others".
        rest: seconds that are no import: reading the weights, starting and ending Python.
    """

    total: float
    imports: dict[str, float]
    rest: float


def measure_cold_start(preset: str = "mini") -> ColdStart:
    """Start Python, load a model, end."""
    command = [sys.executable, "-X", "importtime", "-c", f"import humo; humo.load({preset!r})"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return read_import_times(done.stderr, time.perf_counter() - start)


def read_import_times(log: str, total: float) -> ColdStart:
    """What `python -X importtime` wrote.

    Args:
        log: its lines, others between them.
        total: seconds of the whole process.
    """
    seconds = dict.fromkeys((*SHOWN, "others"), 0.0)
    for micros, module in _LINE.findall(log):
        package = module.partition(".")[0]
        seconds[package if package in SHOWN else "others"] += int(micros) / 1e6
    return ColdStart(total, seconds, total - sum(seconds.values()))


def describe_cold_start(cold: ColdStart) -> str:
    """A table in markdown."""
    rows = [("whole", cold.total), *((f"import of {name}", value) for name, value in cold.imports.items())]
    rows.append(("weights, starting and ending Python", cold.rest))
    return markdown_table(("part", "s"), ((name, f"{value:.1f}") for name, value in rows))
