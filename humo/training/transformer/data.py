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

from humo.audio import AudioEncoder, merge_bands, window_audio
from humo.layers.autoencoder import TIME, HuMoVideoCodec
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint
from humo.system.processes import follow_parent
from humo.timing import FPS, SAMPLE_RATE
from humo.training.autoencoder.training import to_video
from humo.training.claim import claim
from humo.world.clips import plan_clip, render_clip

MASK_SIDE = 16
"""Side of the face masks that the focus head learns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """Which clips are rendered; all ours."""

    num_clips: int = 16_000
    """Clips in all."""
    clips_per_shard: int = 500
    """Clips a file; where many processes render, small files are there sooner."""
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
    """Band features of sounds (n, samples) of at most one chunk, (n, frames, 5, channels) float16, on the encoder's
    device.

    The same as `humo.audio.encode_audio` on each, but batched.
    """
    frames = sounds.shape[1] * FPS // SAMPLE_RATE
    chunk = encoder.config.max_source_positions * 2 * extractor.hop_length
    heard = []
    for batch in sounds.float().split(batch_size):
        mel = extractor(
            list(batch.numpy()), sampling_rate=SAMPLE_RATE, max_length=chunk, return_tensors="pt"
        ).input_features
        states = torch.stack(encoder(mel.to(encoder.device), output_hidden_states=True).hidden_states, dim=2)
        heard.append(merge_bands(states[:, : 2 * frames]).half())
    return torch.cat(heard)


def write_shard(index: int, folder: Path, settings: DataSettings, codec_folder: Path) -> Path:
    """Writes a shard unless it is there already; a killed run leaves no half file."""
    path = folder / f"clips-{index:04d}.safetensors"
    if not path.exists():
        with atomic_write(path) as part:
            save_file(render_shard(index, settings, codec_folder), part)
    return path


def write_shards(folder: Path, settings: DataSettings, codec_folder: Path, workers: int) -> Iterator[Path]:
    """Writes all shards with several processes; yields each path as it is done.

    Raises:
        ValueError: if the clips do not fill whole shards, or the folder has shards of another size or codec.
    """
    if settings.num_clips < 1 or settings.num_clips % settings.clips_per_shard:
        raise ValueError(
            f"{settings.num_clips} clips do not fill shards of {settings.clips_per_shard}: give a multiple."
        )
    latents = fingerprint(HuMoVideoCodec.from_pretrained(codec_folder).components)
    claim(folder, f"codec {latents}, {settings.clips_per_shard} clips a shard", "clips")
    work = partial(write_shard, folder=folder, settings=settings, codec_folder=codec_folder)
    with ProcessPoolExecutor(workers, initializer=follow_parent) as pool:
        yield from pool.map(work, range(settings.num_clips // settings.clips_per_shard))


class ClipData:
    """The clips of a folder in memory, with the sounds heard by the audio encoder.

    Args:
        folder: of `write_shards`; shards that appear later are read by `read_new` and taken in by `add`.
        extractor, encoder: the audio encoder; its features are not stored.
        device: where the clips lie, about 220 kB each.

    Raises:
        ValueError: if the folder has no shards.
    """

    def __init__(
        self,
        folder: Path,
        extractor: WhisperFeatureExtractor,
        encoder: AudioEncoder,
        device: str | torch.device = "cpu",
    ) -> None:
        self.folder, self.extractor, self.encoder = folder, extractor, encoder.to(device)
        self.device = torch.device(device)
        self.seeds = np.zeros(0, np.int64)
        """Of the clips' plans, (n,)."""
        self._known: set[str] = set()
        self._tensors: dict[str, Tensor] = {}
        self.add(self.read_new())
        if not len(self):
            raise ValueError(f"{folder} has no clips: run `python -m humo train data` first.")

    def read_new(self) -> list[dict[str, Tensor]]:
        """Shards that were not read before, on the device; may run beside the training, which goes on meanwhile."""
        shards = []
        for path in sorted(self.folder.glob("clips-*.safetensors")):
            if path.name not in self._known:
                self._known.add(path.name)
                shard = load_file(path)
                audio = hear(shard.pop("sounds"), self.extractor, self.encoder)
                shards.append({name: each.to(self.device) for name, each in (shard | {"audio": audio}).items()})
        return shards

    def add(self, shards: list[dict[str, Tensor]]) -> None:
        """Takes in shards from `read_new`, and empties them."""
        if not shards:
            return
        first = len(self)
        self.seeds = np.concatenate([self.seeds, *(shard["seeds"].cpu().numpy() for shard in shards)])
        for name in list(shards[0]):
            room = self._tensors.get(name)
            if room is None or len(room) < len(self):  # room for as many again, so that clips are seldom moved
                size = len(self) if room is None else max(len(self), 2 * first)
                larger = shards[0][name].new_empty(size, *shards[0][name].shape[1:])
                if room is not None:
                    larger[:first] = room[:first]
                self._tensors[name] = room = larger
            place = first
            for shard in shards:
                tensor = shard.pop(name)
                room[place : place + len(tensor)] = tensor
                place += len(tensor)

    def latent_std(self, num_clips: int = 500) -> list[float]:
        """Root mean square of each latent channel over the first clips."""
        latents = self._tensors["latents"][: min(len(self), num_clips)].float()
        return latents.square().mean((0, 2, 3, 4)).sqrt().tolist()

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, chosen: Tensor, length: int) -> dict[str, Tensor]:
        """Clips by their places (b,), cut to a length of latent frames; the sound in windows, (b, k, 8, 5, c)."""
        kept = self._tensors
        cut = {"latents": kept["latents"][:, :, :length]} | {name: kept[name][:, :length] for name in ("face", "mouth")}
        whole = {name: kept[name] for name in ("references", "seeds")}
        clips = {name: tensor[chosen] for name, tensor in (whole | cut).items()}
        heard = kept["audio"][chosen].transpose(0, 1).flatten(1, 2)  # (frames, b 5, c): one long row of bands
        windows = window_audio(heard, TIME * (length - 1) + 1).unflatten(2, (len(chosen), -1))  # (k, 8, b, 5, c)
        return clips | {"audio": windows.permute(2, 0, 1, 3, 4)}
