"""A data set becomes shards: rows are examined by many processes, encoded by one, and written unit by unit.

A unit is a group of successive rows of the table. What is in it depends on the rows alone, so that any number of
processes and machines gives the same shards, and a run that was killed goes on with the first unit that is missing.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from humo.finetuning.dataset.clips.encode import ClipEncoder, describe
from humo.finetuning.dataset.clips.examine import Examined, examine
from humo.finetuning.dataset.clips.faces import face_finder
from humo.finetuning.dataset.dropping import Drop
from humo.finetuning.dataset.report import write_report
from humo.finetuning.dataset.rows import MASK, Row, RowTable
from humo.finetuning.dataset.settings import PrepareSettings
from humo.finetuning.dataset.shards import NULL_TEXT, claim, is_done, tensor_name, write_index, write_unit
from humo.pipeline import HuMoPipeline
from humo.system.files import atomic_write
from humo.system.processes import follow_parent

AHEAD = 2
"""Rows that are examined before they are needed, for each process."""


def share_from_environment(machine: int = 0, num_machines: int = 1) -> tuple[int, int]:
    """Which units this process takes: every `total`-th, from `share` on.

    `accelerate launch` and torchrun number their processes in RANK and WORLD_SIZE; each machine may have such a group.

    Returns:
        (share, total).
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return machine * world + rank, num_machines * world


def prepare_dataset(
    table: RowTable,
    pipe: HuMoPipeline,
    out: Path,
    settings: PrepareSettings,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    on_unit: Callable[[int, dict[str, Any]], object] = lambda index, facts: None,
) -> dict[str, Any]:
    """Prepare the units of a table that are this process's and not done yet, then write index and report.

    Args:
        table: of the data set.
        pipe: whose codec and encoders are used.
        out: folder of the preparation.
        settings: what is kept; `humo.finetuning.dataset.command.settings_for` fits them to a pipeline.
        workers: processes that examine rows; 0 examines in this one.
        share: (number of this process, processes in all).
        on_unit: told each unit that is written and its facts.

    Returns:
        The report over all units that are done, by whichever process (`humo.finetuning.dataset.report`).

    Raises:
        ValueError: if the folder holds a preparation with other settings, or a detector is missing.
    """
    has_masks = (table.folder / MASK).is_dir()
    face_finder(has_masks, settings.face_weights)  # a missing library or file is told before the first row
    encoder = ClipEncoder(pipe, settings)
    writer = f"-{share[0]}"
    described = {"name": table.folder.name, "rows": len(table), "face_masks": has_masks}
    claim(out, {"settings": asdict(settings), "model": describe(pipe), "table": described}, writer)
    if not (out / NULL_TEXT).is_file():
        with atomic_write(out / NULL_TEXT, writer) as part:
            save_file({"text": encoder.null_text()}, part)
    todo = (
        (index, rows)
        for index, rows in table.units(settings.rows_per_unit)
        if index % share[1] == share[0] and not is_done(out, index)
    )
    with _Examiners(table.folder, settings, workers) as examiners:
        encoder.warm_up()
        where = {"workers": workers, "device": pipe._execution_device.type}
        begin = time.perf_counter()
        for index, clips in examiners.units(todo):
            tensors, facts = encode_unit(clips, encoder)
            facts["seconds"]["wall"], begin = time.perf_counter() - begin, time.perf_counter()
            write_unit(out, index, tensors, facts | where)
            on_unit(index, facts)
    write_index(out, writer)
    return write_report(out, writer)


def encode_unit(clips: Iterable[Examined], encoder: ClipEncoder) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Encode the clips of a unit.

    Args:
        clips: in order, the dropped ones too.
        encoder: of the model.

    Returns:
        Tensors by `tensor_name`; facts: "samples" (row, key, bucket (k, h, w, r), size, scores, bytes), "dropped"
        (row, key, reason, detail), "seconds" by part.
    """
    tensors: dict[str, Tensor] = {}
    seconds: dict[str, Any] = {"examine": {}, "encode": {}}
    samples, dropped = [], []
    for clip in clips:
        for name, value in clip.seconds.items():
            seconds["examine"][name] = seconds["examine"].get(name, 0.0) + value
        try:
            if clip.reason:
                raise Drop(clip.reason, clip.detail)
            encoded = encoder(clip, seconds["encode"])
        except Drop as drop:
            dropped.append({"row": clip.number, "key": clip.key, "reason": drop.reason, "detail": drop.detail})
            continue
        tensors |= {tensor_name(clip.number, name): tensor for name, tensor in encoded.items()}
        samples.append(_facts(clip, encoded, encoder))
    return tensors, {"samples": samples, "dropped": dropped, "seconds": seconds}


def _facts(clip: Examined, encoded: dict[str, Tensor], encoder: ClipEncoder) -> dict[str, Any]:
    _, k, h, w = encoded["latents"].shape
    return {
        "row": clip.number,
        "key": clip.key,
        "bucket": [k, h, w, encoded["references"].shape[1]],
        "frames": list(clip.frames.shape[:3]),
        "scores": {name: round(value, 4) for name, value in clip.scores.items()},
        "bytes": {name: tensor.nbytes for name, tensor in encoded.items()},
        "caption_cut": encoder.is_cut(clip.caption),
    }


class _Examiners:
    """Processes that examine rows ahead of their use and give them back in order."""

    def __init__(self, folder: Path, settings: PrepareSettings, workers: int) -> None:
        self.folder, self.settings, self.workers = folder, settings, workers
        self.pool = self._make_pool() if workers else None

    def __enter__(self) -> _Examiners:
        return self

    def __exit__(self, *error: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def units(self, todo: Iterator[tuple[int, list[Row]]]) -> Iterator[tuple[int, Iterator[Examined]]]:
        """Units with their examined rows; a unit's rows must be used before the next is asked for."""
        if self.pool is None:
            for index, rows in todo:
                yield index, (examine(row, self.folder, self.settings) for row in rows)
            return
        ahead: deque[tuple[int, bool, Row, Future[Examined]]] = deque()
        each = ((index, row is unit[-1], row) for index, unit in todo for row in unit)
        while self._fill(ahead, each):
            yield ahead[0][0], self._unit(ahead, each)

    def _unit(self, ahead: deque[Any], rows: Iterator[tuple[int, bool, Row]]) -> Iterator[Examined]:
        is_last = False
        while not is_last:
            self._fill(ahead, rows)
            _, is_last, row, future = ahead.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                yield self._alone(row, ahead)

    def _fill(self, ahead: deque[Any], rows: Iterator[tuple[int, bool, Row]]) -> bool:
        while len(ahead) < AHEAD * self.workers:
            if (following := next(rows, None)) is None:
                break
            ahead.append((*following, self._submit(following[2])))
        return bool(ahead)

    def _submit(self, row: Row) -> Future[Examined]:
        try:
            return self.pool.submit(examine, row, self.folder, self.settings)
        except BrokenProcessPool:  # a process died since; the rows it had are done again when their turn comes
            self.pool = self._make_pool()
            return self.pool.submit(examine, row, self.folder, self.settings)

    def _alone(self, row: Row, ahead: deque[Any]) -> Examined:
        """After a process died: this row once more with nobody beside it, then all others in a new pool."""
        self.pool.shutdown()
        self.pool = self._make_pool()
        try:
            result = self._submit(row).result()
        except BrokenProcessPool:
            result = Examined(row.number, row.key or "", reason="reader died")
            self.pool.shutdown()
            self.pool = self._make_pool()
        for place, (index, is_last, other, _) in enumerate(ahead):
            ahead[place] = (index, is_last, other, self._submit(other))
        return result

    def _make_pool(self) -> ProcessPoolExecutor:
        # Fresh processes: a fork would copy the threads' locks of torch and of the GPU's driver.
        return ProcessPoolExecutor(self.workers, get_context("spawn"), follow_parent)
