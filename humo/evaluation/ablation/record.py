"""results.json: what was measured so far, how it was asked for, and how long it took. Ours."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from humo.evaluation.ablation.running import AblationSettings
from humo.evaluation.ablation.variants import APPEARS, BASE, LOOKS, RULES, VARIANTS
from humo.evaluation.probes.networks import Probes
from humo.system.digests import digest_data
from humo.system.files import write_json
from humo.system.fingerprint import fingerprint

T = TypeVar("T")


def recipe() -> str:
    """Ten letters from all that is compared, so that results of other stages or scales are never mixed with these."""
    variants = {name: asdict(variant) for name, variant in VARIANTS.items()}
    told = [[asdict(stage) for stage in BASE], variants, RULES, LOOKS, APPEARS]
    return digest_data(told)[:10]


@dataclass(slots=True)
class Record:
    """Results by variant and seed, written after each.

    Attributes:
        path: results.json.
        values: its content.
    """

    path: Path
    values: dict[str, Any]

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: AblationSettings,
        videos: int,
        frames: int,
        clips: int,
        probes: Probes,
        device: str,
        start_weights: str,
    ) -> Record:
        """Reads the record of a folder or begins one, and writes down at once what was asked.

        Args:
            folder: of the results.
            settings: of the trainings.
            videos, frames: held-out videos a seed, and frames of each.
            clips: that all learn from.
            probes: that measure.
            device: "cpu" or "cuda".
            start_weights: fingerprint of the transformer that `settings.start` names.

        Raises:
            ValueError: if the folder holds results of other settings.
        """
        asked = {
            "settings": asdict(settings),
            "start_weights": start_weights,
            "recipe": recipe(),
            "clips": clips,
            "videos": videos,
            "frames": frames,
            "probes": fingerprint(probes),
            "device": torch.cuda.get_device_name() if device == "cuda" else f"CPU ({platform.machine()})",
        }
        path = folder / "results.json"
        folder.mkdir(parents=True, exist_ok=True)
        values = json.loads(path.read_text()) if path.exists() else {**asked, "hours": 0.0, "runs": {}}
        for name, value in asked.items():
            if values.get(name) != value:
                raise ValueError(
                    f"{folder.name} holds results with other {name} ({values.get(name)}): give a new folder."
                )
        values["command"] = " ".join(["python -m humo ablate", *sys.argv[2:]])
        record = cls(path, values)
        record._write()
        return record

    def has(self, name: str, seed: int) -> bool:
        """Whether a result is there."""
        return str(seed) in self.values["runs"].get(name, {})

    def add(self, name: str, seed: int, figures: dict[str, float]) -> None:
        """Keeps a result and writes the file."""
        self.values["runs"].setdefault(name, {})[str(seed)] = figures
        self._write()

    @contextmanager
    def clock(self) -> Iterator[None]:
        """Adds the time inside to the hours."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.values["hours"] += (time.monotonic() - started) / 3600
            self._write()

    def timed(self, results: Iterator[T]) -> Iterator[T]:
        """Adds the time in which results are waited for to the hours."""
        while True:
            with self.clock():
                result = next(results, None)
            if result is None:
                return
            yield result

    def _write(self) -> None:
        write_json(self.path, self.values)
