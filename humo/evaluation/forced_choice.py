"""Which of two models' clips look more like renders? A probe is asked, place by place. Ours.

A probe (the decoder's critic, `humo.training.autoencoder.critic`) learns to tell renders from redrawn clips of both
models, and is then shown both models' drawing of a clip that it never saw, at the same place and time: whichever
answer is higher is its choice. A measure of edges counts what it was made to count; the probe finds for itself what is
unlike a render: soft edges, blotches, grain, flicker.

Legend: f frames, h w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from humo.evaluation.outlines import OutlineSettings, draw_cases, redraw_all
from humo.pipeline import HuMoPipeline
from humo.system.fingerprint import fingerprint_pipeline
from humo.training.autoencoder.critic import FRAMES, PatchCritic
from humo.training.autoencoder.training import to_video

FOLDS = 2
"""Every clip is judged by a probe that learned from the other half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceSettings:
    """How a probe learns."""

    steps: int = 300
    """Of AdamW."""
    learning_rate: float = 1e-3
    """Its rate."""
    batch_size: int = 4
    """Clips a step, of each kind."""
    width: int = 16
    """Channels after its first layer."""
    seed: int = 0
    """Of its weights and batches."""


def choose(
    truths: Sequence[np.ndarray], ways: Sequence[Sequence[np.ndarray]], settings: ChoiceSettings
) -> dict[str, Any]:
    """Lets probes choose between two ways of drawing the same clips.

    Args:
        truths: renders, RGB uint8 (f, h, w, 3) each.
        ways: two drawings of each, same shapes.
        settings: of the probes.

    Returns:
        "second": share of places at which the second way is taken for a render rather than the first, 0.5 where
        nothing tells them apart; "render": share at which the render itself is, rather than each way.

    Raises:
        ValueError: if there are fewer clips than folds.
    """
    if len(truths) < FOLDS:
        raise ValueError(f"{len(truths)} clip is too few for a choice: give {FOLDS} or more.")
    places = np.arange(len(truths)) % FOLDS
    second, render = list[Tensor](), list[list[Tensor]]()
    for fold in range(FOLDS):
        learned, kept = ((places != fold).nonzero()[0], (places == fold).nonzero()[0])
        probe = _learn(truths, ways, learned, settings)
        for place in kept.tolist():
            true, first, other = (_answers(probe, frames[place]) for frames in (truths, *ways))
            second.append((other > first).float().mean())
            render.append([(true > made).float().mean() for made in (first, other)])
    shares = torch.tensor(render).mean(0).tolist()
    return {"second": float(torch.stack(second).mean()), "render": shares}


def _learn(
    truths: Sequence[np.ndarray], ways: Sequence[Sequence[np.ndarray]], places: np.ndarray, settings: ChoiceSettings
) -> PatchCritic:
    """A probe that knows these clips."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        probe = PatchCritic(settings.width)
    rng = np.random.default_rng(settings.seed)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    for _ in tqdm(range(settings.steps), desc="probe", unit="step"):
        chosen = rng.choice(places, settings.batch_size).tolist()
        start = int(rng.integers(1 + len(truths[0]) - FRAMES))
        shown = slice(start, start + FRAMES)
        true = to_video(np.stack([truths[place][shown] for place in chosen]))
        made = to_video(np.stack([ways[int(rng.integers(2))][place][shown] for place in chosen]))
        answers, wrong = probe(torch.cat([true, made])).chunk(2)
        loss = F.softplus(-answers).mean() + F.softplus(wrong).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return probe.eval()


@torch.no_grad()
def _answers(probe: PatchCritic, frames: np.ndarray) -> Tensor:
    """Of every place, above zero: rendered."""
    answers: Tensor = probe(to_video(frames)[None])
    return answers.flatten()


def compare_models(
    pipes: Sequence[HuMoPipeline], settings: OutlineSettings, probes: ChoiceSettings | None = None
) -> dict[str, Any]:
    """Redraws held-out clips by two models, and lets probes choose.

    Args:
        pipes: both, the one that is to be judged last.
        settings: of the clips.
        probes: how they learn.

    Returns:
        As of `choose`, with "models" and "settings".
    """
    cases = draw_cases(settings)
    ways = [[film for _, made in redraw_all(pipe, cases, settings) for film in made["redrawn"]] for pipe in pipes]
    told = choose([case.clip.frames for case in cases], ways, probes or ChoiceSettings())
    return told | {"models": [fingerprint_pipeline(pipe) for pipe in pipes], "settings": asdict(settings)}


def choice_sentence(report: dict[str, Any]) -> str:
    """What came out, in a sentence."""
    before, after = report["render"]
    return (
        f"This model's clips are taken for renders at {report['second']:.3f} of the places rather than the other's; "
        f"a render itself at {before:.3f} rather than the other's, at {after:.3f} rather than this one's."
    )
