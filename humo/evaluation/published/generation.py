"""Videos of a bench: made one by one, and kept so that a stopped run goes on where it was.

A video `ID.mp4` has a note `ID.json` with the key of all that it was made from: the model's weights, the case, the
contents of its files, the settings. It is made again if any of these changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from humo.evaluation.published.cases import BenchCase
from humo.pipeline import HuMoPipeline
from humo.system.digests import digest_data, digest_file
from humo.system.files import read_object, write_json
from humo.system.fingerprint import fingerprint_large_pipeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How videos are generated; None everywhere is the model's own."""

    num_inference_steps: int | None = None
    """Steps of the solver."""
    guidance: dict[str, Any] | None = field(default=None)
    """A rule as plain data (`humo.guidance.make_rule`)."""


def generate_bench(
    pipe: HuMoPipeline,
    cases: Sequence[BenchCase],
    folder: Path,
    settings: Settings,
    show: Callable[[BenchCase, bool], None] | None = None,
) -> dict[str, Path]:
    """Make the videos that are not there yet.

    Args:
        pipe: the judged model.
        cases: what to make.
        folder: where the videos are kept; made if needed.
        settings: how.
        show: called after each case with it and whether it was made now.

    Returns:
        Id: video.

    Raises:
        ValueError: if a case asks for what the model cannot do; the sentence names the case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = fingerprint_large_pipeline(pipe)
    videos = {}
    for case in cases:
        video, note = folder / f"{case.id}.mp4", folder / f"{case.id}.json"
        key = _key(maker, pipe, case, settings)
        is_new = not (video.is_file() and (read_object(note) or {}).get("key") == key)
        if is_new:
            note.unlink(missing_ok=True)  # first, so that no note outlives its video
            start = time.perf_counter()
            _make(pipe, case, settings, video)
            told = {"key": key, "case": case.id, "seconds": round(time.perf_counter() - start, 1)}
            write_json(note, told)
        videos[case.id] = video
        if show is not None:
            show(case, is_new)
    return videos


def digest_case(case: BenchCase) -> str:
    """A case with the contents of its files, whatever their names."""
    told = asdict(case) | {"references": [digest_file(path) for path in case.references]}
    told["audio"] = None if case.audio is None else digest_file(case.audio)
    return digest_data(told)


def _key(maker: str, pipe: HuMoPipeline, case: BenchCase, settings: Settings) -> str:
    told = [maker, digest_case(case), asdict(settings), dict(pipe.scheduler.config), dict(pipe.config)]
    return digest_data(told)[:16]


def _make(pipe: HuMoPipeline, case: BenchCase, settings: Settings, path: Path) -> None:
    height, width = case.size or (None, None)
    try:
        made = pipe(
            prompt=case.prompt,
            image=list(case.references) or None,
            audio=case.audio,
            num_frames=case.frames,
            height=height,
            width=width,
            num_inference_steps=settings.num_inference_steps,
            guidance=settings.guidance,
            seed=case.seed,
        )
    except ValueError as error:
        raise ValueError(f"Case {case.id!r} cannot be made: {error}") from None
    made.save(path)
