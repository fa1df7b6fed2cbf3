"""Training of the probes, ten to twenty minutes on one core, and their own accuracy on held-out renders. Ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from humo.assets import PROBES
from humo.evaluation.probes.examples import (
    IGNORED,
    Examples,
    batches,
    corrupt_faces,
    draw_empty,
    draw_examples,
    draw_track,
    to_unit,
    without_second,
)
from humo.evaluation.probes.networks import (
    FRAME_ATTRIBUTES,
    MOTION_STRIDE,
    OPTIONS,
    Probes,
    ProbeSettings,
    probe_key,
)
from humo.system.fingerprint import fingerprint
from humo.training.precision import mixed_precision
from humo.world.clips import plan_clip

MOTION_FRAMES = 49
_CACHE = Path("runs/probes")
_MOUTH_WEIGHT, _PLACE_WEIGHT = 20.0, 200.0  # bring errors of about 0.1 and 0.02 to the size of the other losses


def get_probes(folder: Path | None = None, settings: ProbeSettings | None = None, codec: Any = None) -> Probes:
    """Loads the probes that fit the world, the settings and the codec, or trains them.

    Those that come with the project are taken where nothing else is asked for, so that everybody's figures are read by
    the same eyes.

    Args:
        folder: of the cache, where each kind of probes has a folder; or of one kind, which is then taken whatever its
            settings and codec. None for the bundled ones or, where settings or a codec are given, for runs/probes.
        settings: of the training.
        codec: a video codec through which half of the training frames pass. Without it the probes fit every model, and
            they read what comes out of mini's codec nearly as well as renders (openness 0.97 against 0.98).

    Raises:
        ValueError: if `folder` holds none, and no settings or codec say how to train them; or if they learned from
            another world than this one.
    """
    if folder is not None and (folder / "probes.json").is_file():
        return Probes.load(folder)
    is_asked = settings is not None or codec is not None
    if folder is None and not is_asked:
        return Probes.load(PROBES)
    folder, settings = folder or _CACHE, settings or ProbeSettings()
    place = folder / probe_key(settings, "none" if codec is None else fingerprint(codec))
    if not (place / "probes.json").is_file():
        if not is_asked:
            raise ValueError(
                f"{folder} holds no probes: leave it out for the bundled ones, or train some by "
                f"`python -m humo.evaluation.probes --out {folder}`."
            )
        train_probes(settings, codec).save(place, settings)
    return Probes.load(place)


def train_probes(settings: ProbeSettings, codec: Any = None) -> Probes:
    """Draws the examples, trains both networks, rounds their weights and measures what is left of their accuracy."""
    torch.manual_seed(0)
    probes = Probes()
    with tqdm(desc="probes: drawing", total=settings.num_plans, unit="clip") as bar:
        examples = draw_examples(range(settings.num_plans), "train", settings, codec, bar.update)
    empty = draw_empty(max(64, settings.num_plans // 12), np.random.default_rng(5))
    _train_frame_probe(probes, examples, empty, settings)
    _train_motion_probe(probes, settings)
    probes.eval().requires_grad_(False)
    probes.round_weights()
    probes.accuracy = measure_probes(probes, settings, codec)
    return probes


def probe_loss(read: dict[str, Tensor], batch: Examples) -> Tensor:
    """Sum of the losses of all heads; heads other than the face's learn on frames with a face only."""
    loss = F.binary_cross_entropy_with_logits(read["face"], batch.face)
    for name in FRAME_ATTRIBUTES:
        loss = loss + F.cross_entropy(read[name], batch.labels[name], ignore_index=IGNORED) / 2
    shown = batch.face > 0
    loss = loss + _MOUTH_WEIGHT * F.mse_loss(read["mouth"][shown], batch.mouth[shown])
    return loss + _PLACE_WEIGHT * F.mse_loss(read["places"][shown], batch.places[shown])


def measure_probes(probes: Probes, settings: ProbeSettings, codec: Any = None) -> dict[str, Any]:
    """How well the probes read renders of the test split, which they have never seen.

    Returns:
        "renders" and, with a codec, "codec" (the same after encoding and decoding): share of right readings by
        attribute, correlation of "openness" and "width", "faces" found and "false_faces" claimed; "motion" counts in
        both; "clips" measured.
    """
    plain = replace(settings, codec_share=0.0)
    figures: dict[str, Any] = {"clips": settings.num_test, "renders": _measure(probes, plain, None, settings.num_test)}
    if codec is not None:
        through = replace(settings, codec_share=1.0, codec_noise=0.0)
        figures["codec"] = _measure(probes, through, codec, settings.num_test // 2)
    return figures


def _measure(probes: Probes, settings: ProbeSettings, codec: Any, count: int) -> dict[str, float]:
    examples = draw_examples(range(count), "test", settings, codec)
    read = _read_all(probes, to_unit(examples.frames))
    shown = examples.face > 0
    figures = {name: _accuracy(read[name], examples.labels[name]) for name in FRAME_ATTRIBUTES}
    tracks, labels = _draw_tracks(range(10**6, 10**6 + max(8, count // 4)), "test")
    figures["motion"] = _accuracy(probes.motion(_read_places(probes, tracks)), labels)
    for index, name in enumerate(("openness", "width")):
        pair = torch.stack([read["mouth"][shown, index], examples.mouth[shown, index]])
        figures[name] = round(float(torch.corrcoef(pair)[0, 1]), 4)
    bare = torch.cat(
        [
            to_unit(draw_empty(max(16, count // 8), np.random.default_rng(6))),
            corrupt_faces(to_unit(examples.frames[shown][: count // 2]), torch.Generator().manual_seed(1)),
        ]
    )
    figures["faces"] = round(float((read["face"][shown] > 0).float().mean()), 4)
    figures["false_faces"] = round(float((_read_all(probes, bare)["face"] > 0).float().mean()), 4)
    return figures


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    known = labels != IGNORED
    return round(float((logits.argmax(-1) == labels)[known].float().mean()), 4)


def _train_frame_probe(probes: Probes, examples: Examples, empty: Tensor, settings: ProbeSettings) -> None:
    network = probes.frame.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch takes it
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps + 1, pct_start=0.1
    )
    source = batches(examples, empty, settings)
    with tqdm(range(settings.steps), desc="probes: frames", unit="step") as steps:
        for _ in steps:
            batch = next(source)
            with mixed_precision("cpu"):
                read = network(batch.frames)
            loss = probe_loss({name: value.float() for name, value in read.items()}, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            steps.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    network.eval()


def _train_motion_probe(probes: Probes, settings: ProbeSettings) -> None:
    """Learns from the frame network's own readings, with their places a little shaken."""
    with tqdm(desc="probes: motion", total=settings.num_motion_clips, unit="clip") as bar:
        tracks, labels = _draw_tracks(range(settings.num_motion_clips), "train", bar.update)
    places = _read_places(probes, tracks)
    optimizer = torch.optim.AdamW(probes.motion.parameters(), lr=3e-3, weight_decay=0.02)
    generator = torch.Generator().manual_seed(2)
    for step in range(settings.motion_steps):
        chosen = torch.randint(0, len(places), (128,), generator=generator)
        length = int(torch.randint(17, places.shape[1] + 1, (1,), generator=generator))
        start = int(torch.randint(0, places.shape[1] - length + 1, (1,), generator=generator))
        seen = places[chosen, start : start + length]
        shaken = seen + 0.004 * torch.rand((128, 1, 1), generator=generator) * torch.randn(
            seen.shape, generator=generator
        )
        loss = F.cross_entropy(probes.motion(shaken), labels[chosen])
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / settings.motion_steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _draw_tracks(seeds: range, split: str, show: Callable[[int], Any] | None = None) -> tuple[list[np.ndarray], Tensor]:
    rng = np.random.default_rng((12, seeds.start, len(seeds)))
    plans = [without_second(plan_clip(seed, split)) for seed in seeds]
    tracks = []
    for plan in plans:
        tracks.append(draw_track(plan, rng, MOTION_FRAMES, MOTION_STRIDE))
        if show is not None:
            show(1)
    return tracks, torch.tensor([OPTIONS["motion"].index(plan.setting.motion) for plan in plans])


@torch.no_grad()
def _read_places(probes: Probes, tracks: list[np.ndarray]) -> Tensor:
    """Places of clips of equal length, (n, t, 6)."""
    frames = [torch.from_numpy(track.transpose(0, 3, 1, 2)) for track in tracks]
    return torch.stack([probes.frame(to_unit(clip))["places"] for clip in frames])


@torch.no_grad()
def _read_all(probes: Probes, frames: Tensor) -> dict[str, Tensor]:
    parts = [probes.frame(part) for part in frames.split(128)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
