"""Mini's training data: clips of the world, rendered and encoded once, in shards that any run can read.

A shard holds what does not change between epochs: latents, references, sound, masks. Captions are written anew each
time a clip is drawn, so that the text encoder sees the whole grammar.

Legend: n clips, k latent frames, c latent channels, g side of the mask grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperFeatureExtractor

from humo.audio import AudioEncoder, merge_bands
from humo.codec import TIME, HuMoVideoCodec
from humo.files import replaced
from humo.training.codec import to_video
from humo.world.clips import plan_clip, render_clip
from humo.world.speech import SAMPLE_RATE
from humo.world.visemes import FPS

MASK_SIDE = 16
"""Side of the face masks that the focus head learns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """Which clips are rendered; all ours."""

    num_clips: int = 16_000
    """Clips in all."""
    clips_per_shard: int = 500
    """Clips a file."""
    num_frames: int = 49
    """Frames a clip at 25 a second."""
    size: int = 128
    """Side of the frames, pixels."""
    split: str = "train"
    """Split of the world."""


@torch.no_grad()
def render_shard(index: int, settings: DataSettings, codec_folder: Path) -> dict[str, Tensor]:
    """Renders and encodes one shard.

    Returns:
        Tensors: seeds (n,) int64; latents (n, c, k, h, w) and references (n, c, 1, h, w) float16, normalised; sounds
        (n, samples) float16; face (n, k, g, g) and mouth (n, k, h, w) uint8, shares of 255.
    """
    torch.set_num_threads(1)
    codec = HuMoVideoCodec.from_pretrained(codec_folder)
    seeds = range(index * settings.clips_per_shard, (index + 1) * settings.clips_per_shard)
    parts: dict[str, list[Tensor]] = {name: [] for name in ("latents", "references", "face", "mouth", "sounds")}
    for seed in seeds:
        clip = render_clip(plan_clip(seed, settings.split), settings.num_frames, settings.size)
        parts["latents"].append(_encode(codec, clip.frames))
        parts["references"].append(_encode(codec, clip.reference[None]))
        parts["face"].append(shrink_mask(clip.face, MASK_SIDE))
        parts["mouth"].append(shrink_mask(clip.features == 2, codec_grid(settings.size)))
        parts["sounds"].append(torch.from_numpy(clip.waveform).half())
    tensors = {name: torch.stack(values) for name, values in parts.items()}
    return tensors | {"seeds": torch.tensor(list(seeds))}


def _encode(codec: HuMoVideoCodec, frames: np.ndarray) -> Tensor:
    latents = codec.encode(to_video(frames)[None]).latent_dist.mode()
    return codec.normalize(latents)[0].half()


def codec_grid(size: int) -> int:
    """Side of the latent grid of a picture."""
    return size // 16


def shrink_mask(mask: np.ndarray, side: int) -> Tensor:
    """Mask of frames (f, s, s) to the share of each cell per latent frame, (k, side, side) uint8 of 255."""
    groups = np.concatenate([np.repeat(mask[:1], TIME - 1, axis=0), mask])
    cell = mask.shape[1] // side
    shares = groups.reshape(-1, TIME, side, cell, side, cell).mean((1, 3, 5))
    return torch.from_numpy(np.rint(255 * shares).astype(np.uint8))


@torch.no_grad()
def hear(sounds: Tensor, extractor: WhisperFeatureExtractor, encoder: AudioEncoder, batch_size: int = 50) -> Tensor:
    """Band features of sounds (n, samples) of at most one chunk, (n, frames, 5, channels) float16.

    The same as `humo.audio.encode_audio` on each, but batched.
    """
    frames = sounds.shape[1] * FPS // SAMPLE_RATE
    chunk = encoder.config.max_source_positions * 2 * extractor.hop_length
    heard = []
    for batch in sounds.float().split(batch_size):
        mel = extractor(
            list(batch.numpy()), sampling_rate=SAMPLE_RATE, max_length=chunk, return_tensors="pt"
        ).input_features
        states = torch.stack(encoder(mel, output_hidden_states=True).hidden_states, dim=2)
        heard.append(merge_bands(states[:, : 2 * frames]).half())
    return torch.cat(heard)


def write_shard(index: int, folder: Path, settings: DataSettings, codec_folder: Path) -> Path:
    """Writes a shard unless it is there already; a killed run leaves no half file."""
    path = folder / f"clips-{index:04d}.safetensors"
    if not path.exists():
        with replaced(path) as part:
            save_file(render_shard(index, settings, codec_folder), part)
    return path


def write_shards(folder: Path, settings: DataSettings, codec_folder: Path, workers: int) -> Iterator[Path]:
    """Writes all shards with several processes; yields each path as it is done.

    Raises:
        ValueError: if the clips do not fill whole shards.
    """
    if settings.num_clips < 1 or settings.num_clips % settings.clips_per_shard:
        raise ValueError(
            f"{settings.num_clips} clips do not fill shards of {settings.clips_per_shard}: give a multiple."
        )
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(write_shard, folder=folder, settings=settings, codec_folder=codec_folder)
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, range(settings.num_clips // settings.clips_per_shard))


class ClipData:
    """The shards of a folder in memory, with the sounds heard by the audio encoder.

    Args:
        folder: of `write_shards`; shards that appear later are read by `refresh`.
        extractor, encoder: the audio encoder; its features are not stored.

    Raises:
        ValueError: if the folder has no shards.
    """

    def __init__(self, folder: Path, extractor: WhisperFeatureExtractor, encoder: AudioEncoder) -> None:
        self.folder, self.extractor, self.encoder = folder, extractor, encoder
        self.shards: dict[str, dict[str, Tensor]] = {}
        self.refresh()
        if not self.shards:
            raise ValueError(f"{folder} has no clips: run `python -m humo train data` first.")

    def refresh(self) -> int:
        """Reads shards that are new; returns the number of clips."""
        for path in sorted(self.folder.glob("clips-*.safetensors")):
            if path.name not in self.shards:
                shard = load_file(path)
                shard["audio"] = hear(shard.pop("sounds"), self.extractor, self.encoder)
                self.shards[path.name] = shard
        return len(self)

    def latent_std(self) -> list[float]:
        """Root mean square of each latent channel over the first shard."""
        latents = next(iter(self.shards.values()))["latents"].float()
        return latents.square().mean((0, 2, 3, 4)).sqrt().tolist()

    def __len__(self) -> int:
        return sum(len(shard["seeds"]) for shard in self.shards.values())

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One clip's tensors, without the batch axis."""
        for shard in self.shards.values():
            if index < len(shard["seeds"]):
                return {name: tensor[index] for name, tensor in shard.items()}
            index -= len(shard["seeds"])
        raise IndexError(index)
