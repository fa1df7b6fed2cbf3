"""The schedule of a generation as data: which branches are run at which timestep, and with what weight.

Told before anything runs, and without torch: the page draws it while the model is still being loaded.
"""

# s steps

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from humo.guidance import FIRST_SIGMA, NUM_TIMESTEPS, Rule, Weights
from humo.system.tables import markdown_table

COLOURS = {"text": "#0072B2", "image": "#D55E00", "audio": "#009E73", "null": "#8C8C8C", "mask": "#7B3294"}
"""Colour of each concept, safe for the colour-blind; the lessons and the page use the same."""
BRANCH_COLOURS = {
    "TIA": "#009E73",
    "TA": "#56B4E9",
    "TI": "#D55E00",
    "T": "#0072B2",
    "I": "#E69F00",
    "null": "#8C8C8C",
}
"""Colour of each branch; a drawing adds a pattern of its own, for colours alone are not seen by all."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Weights of every branch at every step.

    Attributes:
        timesteps: (s,), 1000 (noise) to 0.
        branches: names, the fullest first.
        weights: (s, branches); each row sums to 1, 0 where a branch is not run.
    """

    timesteps: np.ndarray
    branches: tuple[str, ...]
    weights: np.ndarray

    @property
    def passes(self) -> int:
        """Passes of the network in all."""
        return int((self.weights != 0).sum())

    def begun_at(self, step: int) -> Schedule:
        """The schedule of a generation whose steps before one, counted from 0, are not done."""
        return Schedule(self.timesteps[step:], self.branches, self.weights[step:])

    @property
    def changes(self) -> list[int]:
        """Steps whose weights differ from those of the step before, counted from 0."""
        differs = ~np.isclose(self.weights[1:], self.weights[:-1]).all(axis=1)
        return (1 + np.flatnonzero(differs)).tolist()


def shift_noise(sigmas: Any, shift: float) -> Any:
    """Noise levels of an even schedule moved towards noise; a shift of 1 / `shift` moves them back.

    Args:
        sigmas: 0..1, number, array or tensor.
        shift: above 0; 1 changes nothing.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def solver_sigmas(num_inference_steps: int, shift: float = 5.0) -> np.ndarray:
    """Noise levels of the published solver's steps, (s,) from 1 down.

    Args:
        num_inference_steps: steps of the solver, 1 or more.
        shift: of the schedule of noise (`humo.sampling.make_scheduler`), above 0.

    Raises:
        ValueError: if one of them is not possible.

    Source: `humo.sampling.set_timesteps` with diffusers' UniPCMultistepScheduler, whose shift and rounding these are.
    """
    if num_inference_steps < 1:
        raise ValueError(f"num_inference_steps must be 1 or more but is {num_inference_steps}.")
    if not 0 < shift < np.inf:
        raise ValueError(f"shift must be above 0 but is {shift}: the published models use 5.")
    return shift_noise(np.linspace(FIRST_SIGMA, 0.0, num_inference_steps + 1)[:-1], shift)


def solver_timesteps(num_inference_steps: int, shift: float = 5.0) -> np.ndarray:
    """Timesteps of the published solver, (s,) whole numbers from 999 down; arguments as of `solver_sigmas`.

    Raises:
        ValueError: if one of them is not possible.
    """
    return (solver_sigmas(num_inference_steps, shift) * NUM_TIMESTEPS).astype(np.int64)


def schedule(
    rule: Rule, num_inference_steps: int, shift: float = 5.0, has_image: bool = True, has_audio: bool = True
) -> Schedule:
    """The schedule that a rule would give.

    Args:
        rule: of `humo.guidance`.
        num_inference_steps: steps of the solver.
        shift: of the schedule of noise (`humo.sampling.make_scheduler`).
        has_image: whether a picture is given.
        has_audio: whether a sound is given.
    """
    timesteps = solver_timesteps(num_inference_steps, shift).tolist()
    return make_schedule(timesteps, [rule(t, has_image=has_image, has_audio=has_audio) for t in timesteps])


def make_schedule(timesteps: Sequence[float], weights: Sequence[Weights]) -> Schedule:
    """The schedule of a generation from the weights of its steps, as `humo.guidance` and `StepState` give them."""
    used = {branch for step in weights for branch in step}
    branches = sorted(used, key=lambda branch: (-len(branch.name.replace("null", "")), branch.name))
    table = np.array([[step.get(branch, 0.0) for branch in branches] for step in weights])
    return Schedule(np.array(timesteps), tuple(branch.name for branch in branches), table)


def describe_schedule(shown: Schedule) -> str:
    """The schedule as a table; steps with the same weights share a row."""
    rows = []
    starts = [0, *shown.changes, len(shown.timesteps)]
    for start, end in zip(starts, starts[1:], strict=False):
        first, last = shown.timesteps[start], shown.timesteps[end - 1]
        place = f"{first:.0f}" if end - start == 1 else f"{first:.0f} to {last:.0f}"
        rows.append((place, *(f"{weight:g}" for weight in shown.weights[start].round(3))))
    told = f"{shown.passes} passes of the network in {len(shown.timesteps)} steps."
    return f"{markdown_table(('timestep', *shown.branches), rows)}\n\n{told}"
