"""Refining the decoder: it learns to draw cleanly from latents as the transformer makes them. Ours.

The codec's training shows the decoder true latents with independent noise. What a transformer gets wrong looks
different: blotches on walls, smeared edges, whole tokens a little off. So clips are redrawn: led part of the way to
noise, and back by the transformer with guidance. They still show the clip, with the transformer's errors in them, and
the decoder learns to draw the clip from that. Latents and encoder stay as they are, so nothing else has to be trained
again.

Legend: b clips, k latent frames, c latent channels, g latent grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from humo.codec import TIME, HuMoVideoCodec
from humo.evaluation.fingerprint import fingerprint
from humo.files import replaced
from humo.guidance import make_rule
from humo.pipeline import HuMoPipeline
from humo.sampling import guided_velocity
from humo.schedules import shift_noise
from humo.training.batches import Batch, BatchSettings, draw_batch
from humo.training.codec import CodecBatch, CodecSettings, decibels, render_batch, to_video, weigh
from humo.training.conditions import conditions_of
from humo.training.data import ClipData
from humo.training.precision import mixed_precision
from humo.training.stages import Stage
from humo.world.clips import plan_clip, render_clip

CODEC = CodecSettings(steps=1200, learning_rate=6e-4, square=1.0, edges=1.0)
"""How the decoder is refined: at a low rate, and blotches count although they are faint."""
_FIRST_STEP = 70_000_000
"""Seeds of these batches, far from those of the trainings."""
_KEPT = 16
"""One of so many shards is kept from the training."""
_SHOWN = Stage(
    name="refining", end=1.0, learns="all", image_share=0.8, audio_start=0.9, audio_end=0.9, latent_frames=(13,)
)
"""What the transformer is told on the way back: nearly everything, so that it goes back to the same clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefiningSettings:
    """What the decoder learns from; all ours."""

    tokens: int = 1800
    """Tokens of a batch of the transformer: 8 clips of 49 frames."""
    steps: int = 5
    """Steps of the way back."""
    noise: tuple[float, float] = (0.4, 0.9)
    """Least and greatest noise level to which a batch is led: less leaves no errors, more another clip."""
    own_share: float = 0.25
    """Share of steps on true latents with noise, as in the codec's own training."""


@torch.no_grad()
def redraw(pipe: HuMoPipeline, batch: Batch, sigma: float, settings: RefiningSettings) -> Tensor:
    """Leads clips to a noise level and back by the transformer, as in SDEdit (arXiv 2108.01073).

    Args:
        pipe: whose transformer, text encoder and guidance are used.
        batch: the clips and what the transformer is told of them.
        sigma: noise level to which they are led, 0..1.
        settings: of the way back.

    Returns:
        Normalised latents, (b, c, k, g, g).
    """
    told, rule = conditions_of(pipe, batch), make_rule(dict(pipe.config.default_guidance))
    shift = pipe.scheduler.config.flow_shift
    even = np.linspace(shift_noise(sigma, 1 / shift), 0.0, settings.steps + 1)
    sigmas = shift_noise(even, shift).tolist()
    noise = batch.noise.to(pipe.device)
    latents = (1 - sigma) * batch.latents.to(pipe.device) + sigma * noise
    for here, there in zip(sigmas, sigmas[1:], strict=False):
        weights = rule(1000 * here, has_image=True, has_audio=True)
        whole = torch.cat([latents, noise[:, :, :1]], dim=2)  # the reference's slot, whose noise is not looked at
        velocity = guided_velocity(pipe.transformer, whole, 1000 * here, weights, told, batch_branches=True)
        latents = latents + (there - here) * velocity[:, :, : latents.shape[2]]
    return latents.cpu()


def write_redrawn(
    pipe: HuMoPipeline, data: ClipData, folder: Path, num_clips: int, settings: RefiningSettings
) -> Iterator[Path]:
    """Redraws clips and keeps them in shards; those that are there already are not made again; yields each path.

    Raises:
        ValueError: if the folder holds clips that another transformer redrew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, fingerprint(pipe.transformer))
    drawing = BatchSettings(tokens=settings.tokens, text_dropout=0.0, hidden_words=0.0)
    made, index = 0, 0
    while made < num_clips:
        path = folder / f"redrawn-{index:04d}.safetensors"
        if not path.exists():
            batch = draw_batch(data, pipe.tokenizer, _SHOWN, 1.0, _FIRST_STEP + index, drawing)
            sigma = np.random.default_rng((13, index)).uniform(*settings.noise)
            latents = redraw(pipe, batch, float(sigma), settings)
            with replaced(path) as part:
                save_file({"latents": latents.half().contiguous(), "seeds": batch.seeds}, part)
        made, index = made + len(load_file(path)["seeds"]), index + 1
        yield path


def _claim(folder: Path, maker: str) -> None:
    path = folder / "transformer.txt"
    if path.exists() and path.read_text().strip() != maker:
        raise ValueError(f"{folder} holds a refining for another transformer: remove it, and this one begins anew.")
    path.write_text(maker + "\n")


def refining_batch(step: int, settings: CodecSettings, folder: Path, own_share: float) -> CodecBatch:
    """Redrawn clips of a step and the truth that they show, or now and then a batch of the codec's own training.

    Args:
        step: seed of what is drawn.
        settings: of the codec's training.
        folder: of `write_redrawn`.
        own_share: share of the steps on the codec's own batches.

    Raises:
        ValueError: if the folder has no redrawn clips.
    """
    rng = np.random.default_rng((17, step))
    if rng.random() < own_share:
        return render_batch(_FIRST_STEP + step, settings)
    shards = _shards(folder)[0]
    chosen = [shards[int(rng.integers(len(shards)))] for _ in range(settings.batch_size)]
    return _read([(shard, float(rng.random())) for shard in chosen], settings)


def measure_redrawn(codec: HuMoVideoCodec, folder: Path, num_clips: int = 24) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB on redrawn clips that were kept from the training: all of them, and faces."""
    kept = _shards(folder)[1]
    places = [(kept[number % len(kept)], (number // len(kept) + 0.5) / num_clips) for number in range(num_clips)]
    errors: dict[str, list[np.ndarray]] = {"redrawn": [], "redrawn_face": []}
    for place in places:
        batch = _read([place], CODEC)
        with torch.no_grad(), mixed_precision("cpu"):
            decoded = codec.decode(codec.denormalize(torch.from_numpy(batch.latents).float())).sample
        error = (decoded.float().clamp(-1, 1) - to_video(batch.frames)).square().mean(1).numpy()
        errors["redrawn"].append(error.ravel())
        errors["redrawn_face"].append(error[batch.weights > 1])
    return decibels(errors)


def _read(places: list[tuple[Path, float]], settings: CodecSettings) -> CodecBatch:
    """Clips from shards, each given by a share of 0..1 of its shard's length."""
    frames, weights, latents = [], [], []
    for path, share in places:
        shard = load_file(path)
        place = int(share * len(shard["seeds"]))
        whole = TIME * (shard["latents"].shape[2] - 1) + 1  # a clip of other length would begin elsewhere
        clip = render_clip(plan_clip(int(shard["seeds"][place])), whole, settings.size)
        frames.append(clip.frames[: settings.num_frames])
        weights.append(weigh(clip, settings)[: settings.num_frames])
        latents.append(shard["latents"][place, :, : (settings.num_frames - 1) // TIME + 1].numpy())
    return CodecBatch(np.stack(frames), np.stack(weights), np.stack(latents))


@lru_cache
def _shards(folder: Path) -> tuple[list[Path], list[Path]]:
    """Shards for the training, and every sixteenth, kept to measure: also when more are made."""
    shards = sorted(folder.glob("redrawn-*.safetensors"))
    if len(shards) < 2:
        raise ValueError(f"{folder} has no redrawn clips: run `python -m humo train refine` from its beginning.")
    return [shard for number, shard in enumerate(shards) if number % _KEPT], shards[::_KEPT]
