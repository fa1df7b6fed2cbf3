"""What happens inside a generation, as data, figures and words: the page and the lessons show the same.

- `Trace` is an `on_step` callback that keeps, step by step, the weights that guidance used, the predicted clean latents
  and the face mask that the network expects.
- `schedule` tells the weights of a rule before anything runs.
- `condition_effects` asks the network the same question without one condition, and shows what that one did.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from humo.explain.overlays import describe_masks as describe_masks
from humo.explain.overlays import in_shares, peak
from humo.explain.overlays import mask_overlay as mask_overlay
from humo.explain.schedules import BRANCH_COLOURS, make_schedule
from humo.explain.schedules import COLOURS as COLOURS
from humo.explain.schedules import Schedule as Schedule
from humo.explain.schedules import describe_schedule as describe_schedule
from humo.explain.schedules import schedule as schedule
from humo.focus import check_masks
from humo.guidance import Branch, Weights
from humo.layers.windows import blend_windows, plan_windows
from humo.references import decode_latents, to_frames
from humo.sampling import Conditions, StepState, branch_inputs
from humo.system.tables import markdown_table
from humo.timing import count_latents, round_up

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from humo.pipeline import HuMoPipeline
    from humo.transformer import HuMoTransformer3DModel

_HATCHES = {"TA": "//", "TI": "\\\\", "T": "..", "I": "xx"}
CONDITIONS = ("text", "image", "audio")


# 1. The schedule


def draw_schedule(shown: Schedule) -> Figure:
    """Stacked weights over the steps: what adds above zero, what is subtracted below."""
    from matplotlib.figure import Figure  # half a second, and only whoever draws needs it

    figure = Figure(figsize=(7, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    steps = np.arange(len(shown.timesteps))
    above, below = np.zeros(len(steps)), np.zeros(len(steps))
    for name, weights in zip(shown.branches, shown.weights.T, strict=True):
        bottom = np.where(weights >= 0, above, below)
        look: dict[str, Any] = {
            "color": BRANCH_COLOURS[name],
            "hatch": _HATCHES.get(name),
            "edgecolor": "white",
            "label": name,
        }
        axes.bar(steps, weights, bottom=bottom, width=0.85, **look)
        above, below = above + weights.clip(min=0), below + weights.clip(max=0)
    axes.axhline(0, color="0.2", linewidth=0.8)
    every = max(1, len(steps) // 8)
    axes.set_xticks(steps[::every], [f"{timestep:.0f}" for timestep in shown.timesteps[::every]])
    axes.set_xlabel("timestep (1000 is noise)")
    axes.set_ylabel("weight of the branch")
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
    axes.legend(title="shown to the network", ncols=len(shown.branches), fontsize=8, **place)
    axes.use_sticky_edges = False  # a bar of weight zero would otherwise keep the margin away from where it stands
    axes.margins(y=0.1)
    return figure


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
        if self.masks:
            check_masks("masks", self.pipeline.focus_head, self.pipeline.transformer)

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
        return make_schedule(self.timesteps, self.weights)

    @torch.no_grad()
    def frames(self, step: int, wanted: Sequence[int] | None = None) -> np.ndarray:
        """The video as it was predicted at a step, all of it or the wanted frames, (frames, height, width, 3) uint8."""
        return _decode(self.pipeline, self.clean[step], wanted)


# 3. What each condition did


@dataclass(frozen=True, slots=True)
class ConditionEffects:
    """The predicted clean video with everything shown, and with one condition taken away at a time.

    Attributes:
        frames: with everything, (frames, height, width, 3) uint8.
        without: condition: the same without it.
        change: condition: mean absolute difference per pixel in levels of 255, (frames, height, width).
    """

    frames: np.ndarray
    without: dict[str, np.ndarray]
    change: dict[str, np.ndarray]


@torch.no_grad()
def condition_effects(
    pipeline: HuMoPipeline,
    latents: Tensor,
    timestep: float,
    conditions: Conditions,
    wanted: Sequence[int] | None = None,
) -> ConditionEffects:
    """What text, picture and voice each make of the same noise.

    Args:
        pipeline: the model.
        latents: noisy latents with the references' slots, (1, z, f + r, h, w).
        timestep: at which they are, 1000 to 0.
        conditions: what the network is told (`HuMoPipeline.encode_conditions`).
        wanted: frames of the video to look at, counted from 0; None for all.

    Returns:
        The conditions that are given; text always is.
    """
    full = Branch(True, conditions.references is not None, conditions.audio is not None)
    shown = [name for name in CONDITIONS if getattr(full, name)]
    asked = {name: Branch(**{other: getattr(full, other) and other != name for other in CONDITIONS}) for name in shown}
    clean = [_predict(pipeline, latents, timestep, branch, conditions) for branch in (full, *asked.values())]
    # Only now, after all passes: network and codec may take turns on the GPU.
    video, *others = (_decode(pipeline, each, wanted) for each in clean)
    without = dict(zip(shown, others, strict=True))
    change = {name: np.abs(video.astype(np.int16) - other).mean(-1) for name, other in without.items()}
    return ConditionEffects(video, without, change)


def describe_condition_effects(seen: ConditionEffects) -> str:
    """How much each condition changed, and where, as a table."""
    rows = ((name, f"{change.mean():.1f}", in_shares(peak(change.mean(0)))) for name, change in seen.change.items())
    return markdown_table(("sense", "mean change of 255", "strongest (across, down)"), rows)


def _predict(
    pipeline: HuMoPipeline, latents: Tensor, timestep: float, branch: Branch, conditions: Conditions
) -> Tensor:
    """Predicted clean latents of the video, (1, z, f, h, w)."""
    windows = _windows(pipeline, latents, conditions)
    parts = [
        _run(pipeline, part, timestep, branch, windowed)[:, :, : place.stop - place.start]
        for place, part, windowed in _cut(latents, conditions, windows)
    ]
    return latents[:, :, : windows[-1].stop] - timestep / 1000 * blend_windows(parts, windows)


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
    windows, parts = _windows(pipeline, latents, conditions), []
    branch = Branch(True, conditions.references is not None, True)
    _, *patch = pipeline.transformer.config.patch_size
    grid = -1, latents.shape[3] // patch[0], latents.shape[4] // patch[1]
    for place, part, windowed in _cut(latents, conditions, windows):
        with _audio_shares(pipeline.transformer) as shares:
            _run(pipeline, part, timestep, branch, windowed)
        parts.append(torch.stack(shares, dim=1).unflatten(2, grid)[:, :, : place.stop - place.start])
    return blend_windows(parts, windows)[0].cpu().numpy()


def describe_sound_map(maps: np.ndarray) -> str:
    """How much the audio attention adds in each block, and where, as a table."""
    rows = ((block, f"{each.mean():.1%}", in_shares(peak(each.mean(0)))) for block, each in enumerate(maps, start=1))
    return markdown_table(("block", "mean share added", "strongest (across, down)"), rows)


def latent_of(frame: int) -> int:
    """The latent frame that holds a video frame, both counted from 0: the first holds one, every other holds four."""
    return count_latents(round_up(frame + 1)) - 1


@contextmanager
def _audio_shares(transformer: HuMoTransformer3DModel) -> Iterator[list[Tensor]]:
    shares: list[Tensor] = []

    def keep(module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        shares.append(output.float().norm(dim=-1) / args[0].float().norm(dim=-1).clamp_min(1e-6))

    handles = [block.get_submodule("audio_attn").register_forward_hook(keep) for block in transformer.blocks]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


def _windows(pipeline: HuMoPipeline, latents: Tensor, conditions: Conditions) -> list[slice]:
    """What the network sees at once of a video that is longer than it was trained for."""
    num_video, trained = latents.shape[2] - conditions.num_references, pipeline.config.max_trained_frames
    return plan_windows(num_video, num_video if trained is None else 1 + latent_of(trained - 1))


def _cut(
    latents: Tensor, conditions: Conditions, windows: Sequence[slice]
) -> Iterator[tuple[slice, Tensor, Conditions]]:
    references = latents[:, :, latents.shape[2] - conditions.num_references :]
    for place in windows:
        yield place, torch.cat([latents[:, :, place], references], dim=2), conditions.window(place)


def _run(pipeline: HuMoPipeline, latents: Tensor, timestep: float, branch: Branch, conditions: Conditions) -> Tensor:
    inputs = branch_inputs(pipeline.transformer, latents, timestep, branch, conditions)
    return pipeline.transformer(**inputs, return_dict=False)[0].float()


def _decode(pipeline: HuMoPipeline, latents: Tensor, wanted: Sequence[int] | None) -> np.ndarray:
    return to_frames(decode_latents(latents.to(pipeline._execution_device), pipeline.vae, wanted)[0])
