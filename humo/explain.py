"""What happens inside a generation, as data, figures and words: the page and the lessons show the same.

- `Trace` is an `on_step` callback that keeps, step by step, the weights that guidance used, the predicted clean latents
  and the face mask that the network expects.
- `schedule` tells the weights of a rule before anything runs.
- `senses` asks the network the same question with one sense taken away, and shows what that sense did.
- `sound_map` tells where in the frame the audio attention adds something.

Every figure has words: `describe_...` gives what the picture shows as a table in markdown, for who cannot see it.
Nothing here runs unless it is called, and nothing is kept in the pipeline. Ours; the paper shows the masks and the
schedule in figures of its own, made by the same quantities.
"""

# b batch (1), f video latent frames, r references, h w latent grid, g side of the mask grid, s steps

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.guidance import Branch, Rule, Weights
from humo.references import decode_latents, to_frames
from humo.sampling import Conditions, StepState, branch_inputs, make_scheduler, set_timesteps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from humo.pipeline import HuMoPipeline
    from humo.transformer import HuMoTransformer3DModel

COLOURS = {"text": "#0072B2", "image": "#D55E00", "audio": "#009E73", "null": "#8C8C8C", "mask": "#7B3294"}
"""Colour of each concept, safe for the colour-blind; the lessons and the page use the same."""
_BRANCH_STYLES = {
    "TIA": ("#009E73", ""),
    "TA": ("#56B4E9", "//"),
    "TI": ("#D55E00", "\\\\"),
    "T": ("#0072B2", ".."),
    "I": ("#E69F00", "xx"),
    "null": ("#8C8C8C", ""),
}
SENSES = ("text", "image", "audio")


# 1. The schedule


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
    scheduler = make_scheduler(shift)
    set_timesteps(scheduler, num_inference_steps)
    timesteps = scheduler.timesteps.tolist()
    return _schedule(timesteps, [rule(t, has_image=has_image, has_audio=has_audio) for t in timesteps])


def _schedule(timesteps: Sequence[float], weights: Sequence[Weights]) -> Schedule:
    used = {branch for step in weights for branch in step}
    branches = sorted(used, key=lambda branch: (-len(branch.name.replace("null", "")), branch.name))
    table = np.array([[step.get(branch, 0.0) for branch in branches] for step in weights])
    return Schedule(np.array(timesteps), tuple(branch.name for branch in branches), table)


def draw_schedule(shown: Schedule) -> Figure:
    """Stacked weights over the steps: what adds above zero, what is subtracted below."""
    figure, axes = _figure(7, 3.2)
    steps = np.arange(len(shown.timesteps))
    above, below = np.zeros(len(steps)), np.zeros(len(steps))
    for name, weights in zip(shown.branches, shown.weights.T, strict=True):
        colour, hatch = _BRANCH_STYLES[name]
        bottom = np.where(weights >= 0, above, below)
        axes.bar(steps, weights, bottom=bottom, width=0.85, color=colour, hatch=hatch, edgecolor="white", label=name)
        above, below = above + weights.clip(min=0), below + weights.clip(max=0)
    axes.axhline(0, color="0.2", linewidth=0.8)
    every = max(1, len(steps) // 8)
    axes.set_xticks(steps[::every], [f"{timestep:.0f}" for timestep in shown.timesteps[::every]])
    axes.set_xlabel("timestep (1000 is noise)")
    axes.set_ylabel("weight of the branch")
    axes.legend(title="shown to the network", ncols=len(shown.branches), loc="upper center", fontsize=8)
    axes.margins(y=0.25)
    return figure


def describe_schedule(shown: Schedule) -> str:
    """The schedule as a table; steps with the same weights share a row."""
    lines = ["| timestep | " + " | ".join(shown.branches) + " |", "|---" * (1 + len(shown.branches)) + "|"]
    start = 0
    for index in range(1, len(shown.timesteps) + 1):
        if index == len(shown.timesteps) or not np.allclose(shown.weights[index], shown.weights[start]):
            first, last = shown.timesteps[start], shown.timesteps[index - 1]
            place = f"{first:.0f}" if index - start == 1 else f"{first:.0f} to {last:.0f}"
            lines.append(f"| {place} | " + " | ".join(f"{weight:g}" for weight in shown.weights[start].round(3)) + " |")
            start = index
    return "\n".join([*lines, "", f"{shown.passes} passes of the network in {len(shown.timesteps)} steps."])


# 2. What was done, step by step


@dataclass
class Trace:
    """Keeps what a generation did: give it as `on_step`.

    Args:
        pipeline: the one that is called.
        masks: whether to ask the focus head after every step: one more pass of the network each.
    """

    pipeline: HuMoPipeline
    masks: bool = False
    timesteps: list[float] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    clean: list[Tensor] = field(default_factory=list)
    """Predicted clean latents of each step, (1, z, f, h, w), float16 on the CPU."""
    face_masks: list[np.ndarray] = field(default_factory=list)
    """Probability of the face at each step, (f, g, g) float32."""

    def __post_init__(self) -> None:
        if self.masks and self.pipeline.focus_head is None:
            raise ValueError("masks needs a focus head but this model has none: leave it out.")

    def __call__(self, state: StepState) -> None:
        """Keeps a step."""
        self.timesteps.append(state.timestep)
        self.weights.append(state.weights)
        self.clean.append(state.clean[:1].half().cpu())
        if self.masks:
            self.face_masks.append(state.face_mask(self.pipeline.focus_head)[0].cpu().numpy())

    @property
    def schedule(self) -> Schedule:
        """The weights that were used."""
        return _schedule(self.timesteps, self.weights)

    @torch.no_grad()
    def frames(self, step: int) -> np.ndarray:
        """The video as it was predicted at a step, (frames, height, width, 3) uint8."""
        return _decode(self.pipeline, self.clean[step])


def mask_overlay(frame: np.ndarray, mask: np.ndarray, strength: float = 0.55) -> Image.Image:
    """A frame with the face mask laid over it in purple.

    Args:
        frame: (height, width, 3) uint8.
        mask: probability, (g, g).
        strength: how much the colour covers where the probability is 1.

    Returns:
        RGB picture of the frame's size.
    """
    height, width = frame.shape[:2]
    wide = Image.fromarray((mask * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    share = strength * np.asarray(wide, dtype=np.float32)[..., None] / 255
    colour = np.array([int(COLOURS["mask"][i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)
    return Image.fromarray((frame * (1 - share) + colour * share).round().astype(np.uint8))


def describe_masks(masks: Sequence[np.ndarray], timesteps: Sequence[float]) -> str:
    """Where the face was expected, step by step, as a table: share of the frame, and its middle."""
    lines = ["| timestep | share of the frame | middle (across, down) |", "|---|---|---|"]
    for timestep, mask in zip(timesteps, masks, strict=True):
        across, down = _middle(mask.mean(0))
        lines.append(f"| {timestep:.0f} | {mask.mean():.0%} | {across:.0%}, {down:.0%} |")
    return "\n".join(lines)


def _middle(mask: np.ndarray) -> tuple[float, float]:
    """Centre of mass of a mask (g, g), as shares of width and height."""
    total = mask.sum() or 1.0
    rows, columns = np.indices(mask.shape) + 0.5
    return float((mask * columns).sum() / total / mask.shape[1]), float((mask * rows).sum() / total / mask.shape[0])


# 3. What each sense did


@dataclass(frozen=True, slots=True)
class Senses:
    """The predicted clean video with everything shown, and with one sense taken away at a time.

    Attributes:
        frames: with everything, (frames, height, width, 3) uint8.
        without: sense: the same without it.
        change: sense: mean absolute difference per pixel in levels of 255, (frames, height, width).
    """

    frames: np.ndarray
    without: dict[str, np.ndarray]
    change: dict[str, np.ndarray]


@torch.no_grad()
def senses(pipeline: HuMoPipeline, latents: Tensor, timestep: float, conditions: Conditions) -> Senses:
    """What text, picture and voice each make of the same noise.

    Args:
        pipeline: the model.
        latents: noisy latents with the references' slots, (1, z, f + r, h, w).
        timestep: at which they are, 1000 to 0.
        conditions: what the network is told (`HuMoPipeline.encode_conditions`).

    Returns:
        The senses that are given; text always is.
    """
    full = Branch(True, conditions.references is not None, conditions.audio is not None)
    shown = [name for name in SENSES if getattr(full, name)]
    video = _predict(pipeline, latents, timestep, full, conditions)
    without = {}
    for name in shown:
        rest = Branch(**{other: getattr(full, other) and other != name for other in SENSES})
        without[name] = _predict(pipeline, latents, timestep, rest, conditions)
    change = {name: np.abs(video.astype(np.int16) - other).mean(-1) for name, other in without.items()}
    return Senses(video, without, change)


def describe_senses(seen: Senses) -> str:
    """How much each sense changed, and where, as a table."""
    lines = ["| sense | mean change of 255 | middle of the change (across, down) |", "|---|---|---|"]
    for name, change in seen.change.items():
        across, down = _middle(change.mean(0))
        lines.append(f"| {name} | {change.mean():.1f} | {across:.0%}, {down:.0%} |")
    return "\n".join(lines)


def draw_senses(seen: Senses, frame: int) -> Figure:
    """One frame: with everything, and for each sense without it and what it changed."""
    figure, axes = _figure(2.1 * (1 + len(seen.change)), 4.4, rows=2, columns=1 + len(seen.change))
    axes[0, 0].imshow(seen.frames[frame])
    axes[0, 0].set_title("everything shown")
    axes[1, 0].axis("off")
    for column, (name, change) in enumerate(seen.change.items(), start=1):
        axes[0, column].imshow(seen.without[name][frame])
        axes[0, column].set_title(f"without {name}", color=COLOURS[name])
        axes[1, column].imshow(change[frame], cmap="magma", vmin=0, vmax=max(30.0, float(change.max())))
        axes[1, column].set_title(f"what {name} did")
    for each in axes.flat:
        each.set_xticks([])
        each.set_yticks([])
    return figure


def _predict(
    pipeline: HuMoPipeline, latents: Tensor, timestep: float, branch: Branch, conditions: Conditions
) -> np.ndarray:
    inputs = branch_inputs(pipeline.transformer, latents, timestep, branch, conditions)
    velocity = pipeline.transformer(**inputs, return_dict=False)[0].float()
    clean = (latents - timestep / 1000 * velocity)[:, :, : latents.shape[2] - conditions.num_references]
    return _decode(pipeline, clean)


# 4. Where the sound acts


@torch.no_grad()
def sound_map(pipeline: HuMoPipeline, latents: Tensor, timestep: float, conditions: Conditions) -> np.ndarray:
    """How much the audio attention adds at each place of each frame.

    The attention's weights over a frame's audio tokens sum to 1 at every place, so they do not say where sound matters;
    the length of what it adds does, as a share of the state that it is added to.

    Args:
        pipeline: the model.
        latents: noisy latents with the references' slots, (1, z, f + r, h, w).
        timestep: at which they are.
        conditions: with a sound.

    Returns:
        (blocks, f, rows, columns) on the transformer's tokens, float32, 0 and above.

    Raises:
        ValueError: if the conditions hold no sound.
    """
    if conditions.audio is None:
        raise ValueError("The conditions hold no sound: give one to see where it acts.")
    transformer = pipeline.transformer
    branch = Branch(True, conditions.references is not None, True)
    with _audio_shares(transformer) as shares:
        transformer(**branch_inputs(transformer, latents, timestep, branch, conditions), return_dict=False)
    patch = transformer.config.patch_size
    grid = latents.shape[2], latents.shape[3] // patch[1], latents.shape[4] // patch[2]
    maps = torch.stack(shares)[:, 0].unflatten(1, grid)
    return maps[:, : grid[0] - conditions.num_references].float().cpu().numpy()


@contextmanager
def _audio_shares(transformer: HuMoTransformer3DModel) -> Iterator[list[Tensor]]:
    shares: list[Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        shares.append(output.float().norm(dim=-1) / args[0].float().norm(dim=-1).clamp_min(1e-6))

    handles = [block.audio_attn.register_forward_hook(keep) for block in transformer.blocks]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


def _decode(pipeline: HuMoPipeline, latents: Tensor) -> np.ndarray:
    return to_frames(decode_latents(latents.to(pipeline._execution_device), pipeline.vae)[0])


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure  # half a second, and only whoever draws needs it

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, columns)
