"""What every training shares: a folder that can be resumed, a log, and a line that tells how long it still takes."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from humo.system.files import atomic_write

NOT_RECORDED = "not recorded"
"""Of a training's part that kept no note of its machine."""


def machine_name(device: str) -> str:
    """This machine in words, for logs and cards; `device` is "cpu" or "cuda"."""
    if device == "cpu":
        return f"CPU, {torch.get_num_threads()} threads ({platform.machine()})"
    return torch.cuda.get_device_name(device)


class RunningMeans(dict[str, float | Tensor]):
    """Figures of many steps, smoothed for the log."""

    def update_with(self, figures: Mapping[str, float | Tensor]) -> None:
        """Take in the figures of a step, which count a twentieth. What lies on a GPU stays there until it is logged."""
        for name, value in figures.items():
            self[name] = value if name not in self else 0.95 * self[name] + 0.05 * value


class Run:
    """A training's folder: `state.pt` (all that a resume needs), `log.jsonl`, and whatever the training adds.

    Args:
        folder: created if missing.
        total_steps: where the training ends.
    """

    def __init__(self, folder: Path, total_steps: int) -> None:
        self.folder = folder
        self.total_steps = total_steps
        self.folder.mkdir(parents=True, exist_ok=True)
        self._started: tuple[float, int] | None = None

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None in a fresh folder. Only tensors and plain values are read."""
        path = self.folder / "state.pt"
        return torch.load(path, weights_only=True, map_location="cpu") if path.exists() else None

    def save(self, **state: Any) -> None:
        """Writes the state, so that a killed run leaves a whole file: this one or the one before."""
        with atomic_write(self.folder / "state.pt") as part:
            torch.save(state, part)

    def machines(self) -> dict[str, str]:
        """On which machines the training ran, by the step from which on."""
        path = self.folder / "machines.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def note_machine(self, step: int, machine: str) -> None:
        """Keeps on which machine the training goes on."""
        known = self.machines()
        if machine != (list(known.values()) or [""])[-1]:
            before = known.get(str(step))  # where a training began once more, both have their part in it
            known[str(step)] = machine if before is None else f"{before}, then {machine}"
            (self.folder / "machines.json").write_text(json.dumps(known) + "\n")

    def log(self, step: int, **values: float | Tensor) -> None:
        """Appends a line to log.jsonl and shows progress with the time left."""
        numbers = {name: float(value) for name, value in values.items()}
        record = {"step": step, "time": round(time.time(), 1)} | {k: round(v, 5) for k, v in numbers.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._show(step, numbers)

    def _show(self, step: int, values: dict[str, float]) -> None:
        now = time.monotonic()
        if self._started is None:
            self._started = (now, step)
        began, first = self._started
        left = "" if step == first else _clock((now - began) / (step - first) * (self.total_steps - step)) + " left"
        filled = int(24 * step / self.total_steps)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {step}/{self.total_steps}  {left}  {numbers}"
        end = "\r" if sys.stderr.isatty() else "\n"
        sys.stderr.write(line + end)
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
