"""Training the decoder further: it learns to draw cleanly from latents as the transformer makes them. Ours.

The codec's training shows the decoder true latents with independent noise. What a transformer gets wrong looks
different: blotches on walls, smeared edges, whole tokens a little off. So clips are redrawn: led part of the way to
noise, and back by the transformer with guidance. They still show the clip, with the transformer's errors in them, and
the decoder learns to draw the clip from that. Latents and encoder stay as they are, so nothing else has to be trained
again.

Legend: b clips, k latent frames, c latent channels, g latent grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.explain.schedules import shift_noise
from humo.guidance import make_rule
from humo.layers.autoencoder import TIME, HuMoVideoCodec
from humo.pipeline import HuMoPipeline
from humo.sampling import guided_velocity
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint
from humo.system.processes import follow_parent
from humo.training.autoencoder.training import AutoencoderSettings, CodecBatch, decibels, regions_of, to_video, weigh
from humo.training.claim import claim
from humo.training.precision import mixed_precision
from humo.training.transformer.batches import Batch, BatchSettings, draw_batch
from humo.training.transformer.conditions import conditions_of
from humo.training.transformer.data import ClipData
from humo.training.transformer.stages import Stage
from humo.world.clips import plan_clip, render_clip

CODEC = AutoencoderSettings(steps=1200, learning_rate=6e-4, square=1.0, edges=1.0)
"""How the decoder is refined: at a low rate, and blotches count although they are faint."""
_FIRST_STEP = 70_000_000
"""Seeds of these batches, far from those of the trainings."""
_KEPT = 16
"""One of so many shards is kept from the training."""
_SHOWN = Stage(
    name="decoder", end=1.0, learns="all", image_share=0.8, audio_start=0.9, audio_end=0.9, latent_frames=(13,)
)
"""What the transformer is told on the way back: nearly everything, so that it goes back to the same clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSettings:
    """What the decoder learns from; all ours."""

    tokens: int = 1800
    """Tokens of a batch of the transformer: 8 clips of 49 frames; a GPU takes 16000 and more."""
    steps: int = 5
    """Steps of the way back."""
    noise: tuple[float, float] = (0.4, 0.9)
    """Least and greatest noise level to which a batch is led: less leaves no errors, more another clip."""
    own_share: float = 0.25
    """Share of steps on true latents with noise, as in the codec's own training."""


@torch.no_grad()
def redraw(pipe: HuMoPipeline, batch: Batch, sigma: float, settings: DecoderSettings) -> Tensor:
    """Leads clips to a noise level and back by the transformer, as in SDEdit (arXiv 2108.01073).

    Args:
        pipe: whose transformer, text encoder and guidance are used.
        batch: the clips and what the transformer is told of them.
        sigma: noise level to which they are led, 0..1.
        settings: of the way back.

    Returns:
        Normalised latents, (b, c, k, g, g).
    """
    conditions, rule = conditions_of(pipe, batch), make_rule(dict(pipe.config.default_guidance))
    shift = pipe.scheduler.config.flow_shift
    even = np.linspace(shift_noise(sigma, 1 / shift), 0.0, settings.steps + 1)
    sigmas = shift_noise(even, shift).tolist()
    noise = batch.noise.to(pipe.device)
    latents = (1 - sigma) * batch.latents.to(pipe.device) + sigma * noise
    for here, there in zip(sigmas, sigmas[1:], strict=False):
        weights = rule(1000 * here, has_image=True, has_audio=True)
        whole = torch.cat([latents, noise[:, :, :1]], dim=2)  # the reference's slot, whose noise is not looked at
        velocity = guided_velocity(pipe.transformer, whole, 1000 * here, weights, conditions, batch_branches=True)
        latents = latents + (there - here) * velocity[:, :, : latents.shape[2]]
    return latents.cpu()


def write_redrawn(
    pipe: HuMoPipeline, data: ClipData, folder: Path, num_clips: int, settings: DecoderSettings
) -> Iterator[Path]:
    """Redraws clips and keeps them in shards; those that are there already are not made again; yields each path.

    Raises:
        ValueError: if the folder holds clips that another transformer redrew.
    """
    claim(folder, fingerprint(pipe.transformer), "redrawn clips")
    drawing = BatchSettings(tokens=settings.tokens, text_dropout=0.0, hidden_words=0.0)
    made, index = 0, 0
    while made < num_clips or index < 2:  # one of them is kept from the training
        path = folder / f"redrawn-{index:04d}.safetensors"
        if not path.exists():
            batch = draw_batch(data, pipe.tokenizer, _SHOWN, 1.0, _FIRST_STEP + index, drawing)
            sigma = np.random.default_rng((13, index)).uniform(*settings.noise)
            latents = redraw(pipe, batch, float(sigma), settings)
            with atomic_write(path) as part:
                save_file({"latents": latents.half().contiguous(), "seeds": batch.seeds}, part)
        made, index = made + len(load_file(path)["seeds"]), index + 1
        yield path


class RedrawnClips:
    """Redrawn clips with the truth that they show, in memory: 3.4 MB a clip.

    Args:
        folder: of `write_redrawn`.
        settings: of the decoder's training.
        workers: processes that render the truth.
        device: where the clips lie.

    Raises:
        ValueError: if the folder has too few redrawn clips.
    """

    def __init__(self, folder: Path, settings: AutoencoderSettings, workers: int = 2, device: str = "cpu") -> None:
        shards = [load_file(path) for path in sorted(folder.glob("redrawn-*.safetensors"))]
        if len(shards) < 2:
            raise ValueError(f"{folder} has no redrawn clips: run `python -m humo train decoder` from its beginning.")
        self.settings, self.device = settings, torch.device(device)
        self.latents = torch.cat([shard["latents"] for shard in shards]).to(device)
        # every sixteenth shard is kept from the training: also when more are made
        is_kept = torch.cat(
            [torch.full((len(shard["seeds"]),), number % _KEPT == 0) for number, shard in enumerate(shards)]
        )
        self.kept, self.learned = is_kept.nonzero()[:, 0], (~is_kept).nonzero()[:, 0]
        self._weights = torch.from_numpy(weigh(np.arange(3), settings)).to(device)  # of the three regions
        seeds = torch.cat([shard["seeds"] for shard in shards]).tolist()
        whole = TIME * (self.latents.shape[2] - 1) + 1
        shape = (len(seeds), whole, settings.size, settings.size)
        self.frames = torch.empty((*shape, 3), dtype=torch.uint8, device=device)
        self.regions = torch.empty(shape, dtype=torch.uint8, device=device)
        with ProcessPoolExecutor(workers, get_context("spawn"), follow_parent) as pool:
            truths = pool.map(partial(_render_truth, num_frames=whole, size=settings.size), seeds, chunksize=4)
            for place, (frames, regions) in enumerate(truths):
                self.frames[place], self.regions[place] = torch.from_numpy(frames), torch.from_numpy(regions)

    def take(self, chosen: Tensor, num_frames: int | None = None) -> CodecBatch:
        """Clips by their places (b,), cut to a number of frames."""
        cut = self.frames.shape[1] if num_frames is None else num_frames
        chosen = chosen.to(self.device)
        return CodecBatch(
            self.frames[:, :cut][chosen],
            self._weights[self.regions[:, :cut][chosen].long()],
            self.latents[:, :, : (cut - 1) // TIME + 1][chosen],
        )

    def batches(self, first: int, own_share: float) -> Generator[CodecBatch]:
        """Batches of the steps from `first` on, without an end; each follows from its step's number.

        Args:
            first: number of the first step.
            own_share: share of steps on true latents with noise.
        """
        for step in itertools.count(first):
            rng = np.random.default_rng((17, step))
            places = self.learned[torch.from_numpy(rng.integers(len(self.learned), size=self.settings.batch_size))]
            batch = self.take(places, self.settings.num_frames)
            yield batch._replace(latents=None) if rng.random() < own_share else batch

    @torch.no_grad()
    def measure(self, codec: HuMoVideoCodec, num_clips: int = 24) -> dict[str, float]:
        """Peak signal-to-noise ratio in dB on clips that were kept from the training: all of them, and faces."""
        errors: dict[str, list[np.ndarray]] = {"redrawn": [], "redrawn_face": []}
        num_clips = min(num_clips, len(self.kept))
        for place in self.kept[torch.linspace(0, len(self.kept) - 1, num_clips).long()]:
            batch = self.take(place[None])
            with mixed_precision(codec.device.type):
                decoded = codec.decode(codec.denormalize(batch.latents.float())).sample
            error = (decoded.float().clamp(-1, 1) - to_video(batch.frames)).square().mean(1)
            errors["redrawn"].append(error.flatten().cpu().numpy())
            errors["redrawn_face"].append(error[batch.weights > 1].cpu().numpy())
        return decibels(errors)


def _render_truth(seed: int, num_frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    clip = render_clip(plan_clip(seed), num_frames, size)
    return clip.frames, regions_of(clip)
