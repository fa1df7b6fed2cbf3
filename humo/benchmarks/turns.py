"""Ways to make the same step that take turns pass by pass, so that a slower minute of the machine meets all. Ours."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from humo.benchmarks.instruments import now
from humo.guidance import Branch, Weights


@dataclass(slots=True)
class Way:
    """A way to make the passes of a step.

    Attributes:
        run: gives the velocity of a step, for these weights.
        weights: of the branches of a step; each is run alone.
        rounds: seconds by round and branch.
        velocity: of the last step, None before the first.
        peak: bytes on the GPU at the most, None on a CPU.
    """

    run: Callable[[Weights], Tensor]
    weights: Weights
    rounds: list[dict[Branch, float]] = field(default_factory=list)
    velocity: Tensor | None = None
    peak: int | None = None

    @property
    def steps(self) -> list[float]:
        """Seconds of each step."""
        return [sum(seconds.values()) for seconds in self.rounds]

    @property
    def step(self) -> float:
        """Seconds of a step, the median."""
        return median(self.steps)

    def share_of(self, other: Way) -> float:
        """Our passes as shares of those beside them in the same turn, the median; both have the same branches."""
        turns = zip(self.rounds, other.rounds, strict=True)
        return median(own[branch] / their[branch] for own, their in turns for branch in own)

    def pass_of(self, branch: Branch, device: torch.device) -> tuple[Tensor, float]:
        """The velocity of a branch, and its seconds."""
        start = now(device)
        with torch.no_grad():
            velocity = self.run({branch: 1.0})
        return velocity, now(device) - start

    def warm_up(self, device: torch.device) -> None:
        """Run the first branch, and note the GPU's memory."""
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        self.pass_of(next(iter(self.weights)), device)
        self.peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def take_turns(ways: Sequence[Way], device: torch.device, rounds: int) -> None:
    """Make a step in every way, pass by pass in turn, so many times over."""
    branches = list(dict.fromkeys(branch for way in ways for branch in way.weights))
    for _ in range(rounds):
        for way in ways:
            way.rounds.append({})
            way.velocity = None
        for branch in branches:
            for way in ways:
                if branch in way.weights:
                    velocity, way.rounds[-1][branch] = way.pass_of(branch, device)
                    part = way.weights[branch] * velocity
                    way.velocity = part if way.velocity is None else way.velocity + part
