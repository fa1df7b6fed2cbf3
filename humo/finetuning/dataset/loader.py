"""Prepared shards as training batches: bucketed, shuffled by a seed, split over processes, resumable to the batch.

Shards stay on the disk and are mapped into memory; a batch reads its own clips alone. The order follows from the seed
and the epoch, never from what ran before, so that a training goes on anywhere by its number of batches.
"""

# b clips, k latent frames, h w latent grid, r references, n text tokens, c channels

from __future__ import annotations

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from humo.audio import window_audio
from humo.finetuning.dataset.batch import TrainingBatch
from humo.finetuning.dataset.shards import FORMAT, INDEX, NULL_TEXT, PREPARED, tensor_name, unit_file
from humo.loading.published.shards import read_json
from humo.timing import count_frames

logger = logging.getLogger(__name__)
OPEN_SHARDS = 64
"""Shards that are kept open."""
_FINISH = "run `python -m humo prepare` to its end"
Bucket = tuple[int, int, int, int]
"""Latent frames, latent height and width, references."""


class PreparedDataset:
    """The clips of a folder that `python -m humo prepare` wrote.

    Args:
        folder: with index.json.

    Raises:
        ValueError: if the folder is no preparation, holds no clip, or a shard is missing or cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = read_json(self.folder / INDEX, _FINISH)
        self.prepared = read_json(self.folder / PREPARED, _FINISH)
        if index.get("format") != FORMAT:
            raise ValueError(
                f"{self.folder.name} has format {index.get('format')} but {FORMAT} is read: prepare again."
            )
        if not index["samples"]:
            raise ValueError(f"{self.folder.name} holds no clips: its report.md says why all rows were dropped.")
        if index["units"] < index["units_total"]:
            logger.warning(
                "%s is not finished: %d of %d units.", self.folder.name, index["units"], index["units_total"]
            )
        self._check_shards(index["bytes"])
        self.samples = [(row, key, unit) for row, key, unit, *_ in index["samples"]]
        self.buckets: dict[Bucket, np.ndarray] = _sort(index["samples"])
        self.null_text = load_file(self.folder / NULL_TEXT)["text"].float()[None]
        self._open: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.samples)

    def batches_per_epoch(self, batch_size: int, world_size: int = 1) -> int:
        """Batches after which each process has come round; every clip was then seen at least once by one of them."""
        group = batch_size * world_size
        return sum(-(-len(members) // group) for members in self.buckets.values())

    def batches(
        self, batch_size: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> Iterator[TrainingBatch]:
        """Endless batches of one shape each; all processes have the same shape at the same time.

        In each epoch the clips of each bucket are shuffled and dealt in groups of batch_size x world_size; where the
        last group of a bucket is not full, it is filled from the bucket's first clips (ours).

        Args:
            batch_size: clips of a process.
            seed: of the order.
            rank: number of this process.
            world_size: processes in all.
            start: batches that this process has already had.

        Returns:
            An iterator without end.

        Raises:
            ValueError: if a number is out of range.
        """
        if batch_size < 1 or start < 0 or not 0 <= rank < world_size:
            raise ValueError(
                f"batch_size is {batch_size}, start {start}, rank {rank} of {world_size}: "
                "use batch_size >= 1, start >= 0 and rank from 0 to world_size - 1."
            )
        return self._batches(batch_size, seed, rank, world_size, start)

    def _batches(self, batch_size: int, seed: int, rank: int, world_size: int, start: int) -> Iterator[TrainingBatch]:
        epoch, place = divmod(start, self.batches_per_epoch(batch_size, world_size))
        while True:
            for group in self._groups(batch_size * world_size, seed, epoch)[place:]:
                yield self.read(group[rank * batch_size : (rank + 1) * batch_size])
            epoch, place = epoch + 1, 0

    def _groups(self, size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Groups of clips of one bucket, in the order of an epoch."""
        rng = np.random.default_rng((seed, epoch))
        groups: list[np.ndarray] = []
        for members in self.buckets.values():
            order = rng.permutation(members)
            count = -(-len(order) // size)
            groups += np.split(np.resize(order, count * size), count)  # np.resize goes round
        return [groups[place] for place in rng.permutation(len(groups))]

    def read(self, places: np.ndarray | list[int]) -> TrainingBatch:
        """Read clips of one bucket.

        Args:
            places: of the clips in `samples`.

        Returns:
            The batch.
        """
        clips = [self._read_clip(int(place)) for place in places]
        stacked = {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}
        return TrainingBatch(**stacked, null_text=self.null_text, keys=[self.samples[int(p)][1] for p in places])

    def _read_clip(self, place: int) -> dict[str, Tensor]:
        row, _, unit = self.samples[place]
        shard = self._shard(unit)
        names = ("latents", "references", "text", "audio", "face")
        clip = {name: shard.get_tensor(tensor_name(row, name)).float() for name in names}
        text = torch.zeros(self.null_text.shape[1:])
        text[: len(clip["text"])] = clip["text"]
        windows = window_audio(clip["audio"], count_frames(clip["latents"].shape[1]))
        silence = torch.zeros_like(windows[:1]).expand(clip["references"].shape[1], -1, -1, -1)
        return clip | {"text": text, "audio": torch.cat([windows, silence])}

    def _shard(self, unit: int) -> Any:
        """A shard, mapped into memory; those used longest ago are closed."""
        if unit not in self._open:
            self._open[unit] = safe_open(unit_file(self.folder, unit).with_suffix(".safetensors"), framework="pt")
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(unit)
        return self._open[unit]

    def _check_shards(self, sizes: list[list[int]]) -> None:
        for unit, size in sizes:
            file = unit_file(self.folder, unit).with_suffix(".safetensors")
            if size and not (file.is_file() and file.stat().st_size == size):
                raise ValueError(
                    f"{file.name} in {self.folder.name} is missing or cut short: delete it and its .json, {_FINISH}."
                )


def _sort(samples: list[list[Any]]) -> dict[Bucket, np.ndarray]:
    """Places of the samples of each bucket, in the order of the buckets' shapes."""
    members: dict[Bucket, list[int]] = defaultdict(list)
    for place, (_, _, _, *bucket) in enumerate(samples):
        members[tuple(bucket)].append(place)
    return {bucket: np.array(members[bucket]) for bucket in sorted(members)}
