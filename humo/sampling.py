"""The denoising loop, one step visible at a time.

Latents stay in float32; the transformer is called once per branch that the guidance rule weighs, in its own
dtype. Time is diffusers': sigma 1 is noise, x = (1 - sigma) x0 + sigma noise, v = noise - x0, timestep =
1000 sigma.

Source: HuMo released code (`generate.py::inference`); UniPC through diffusers.
"""

# b batch, f latent frames (video + references), r references, h w latent grid, z channels of video latents

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from humo.focus import FaceMaskPredictor
from humo.guidance import FIRST_SIGMA, Branch, Rule, Weights
from humo.known.latents import Known, KnownPath, join_known
from humo.layers.guidance_embedding import guidance_scalars
from humo.layers.key_value_cache import ConditionMemory
from humo.layers.step_caches import describe_cache
from humo.layers.windows import blend_windows, plan_windows
from humo.references import assemble_input
from humo.transformer import HuMoTransformer3DModel

_SHARED = {"timestep", "guidance"}
"""Arguments of the transformer that are alike for all of a batch."""


class StopGeneration(Exception):  # noqa: N818 (a wish, not an error)
    """Raised by an `on_step` callback to end a generation; it reaches whoever started it."""


@dataclass(frozen=True)
class Conditions:
    """What the network is told, with the nulls of what it is not."""

    text: Tensor
    """Features of the prompt, padded with zeros, (b, text tokens, c)."""
    negative_text: Tensor
    """Features of the negative prompt, same shape."""
    audio: Tensor | None
    """Audio windows, zero on reference frames, (b, f, 8, 5, c); None without sound."""
    references: Tensor | None
    """Clean latents of the references, (b, z, r, h, w); None without a picture."""
    num_references: int
    """Reference frames at the end of the latents, also without a picture."""
    black_video: Tensor | None = None
    """Latents of a black video, (b, z, f, h, w), references' frames included; 17B form only."""
    guidance: tuple[float, ...] | None = None
    """Scales and span of the step; distilled models only (`humo.layers.guidance_embedding`), for which the loop sets
    it."""
    known: Known | None = None
    """What stays as it is (`humo.known`, ours); None for nothing."""

    def window(self, place: slice) -> Conditions:
        """The conditions of the video frames `place` followed by the references.

        The black video starts anew in every window, for its latents differ with their distance from the
        start.
        """
        length = place.stop - place.start + self.num_references
        audio, black = self.audio, self.black_video
        if audio is not None:
            num_video = audio.shape[1] - self.num_references
            audio = torch.cat([audio[:, place], audio[:, num_video:]], dim=1)
        known = None if self.known is None else self.known.window(place)
        return replace(self, audio=audio, black_video=None if black is None else black[:, :, :length], known=known)

    def with_guidance(self, rule: Rule, sigma: float, next_sigma: float) -> Conditions:
        """The conditions of a distilled model for a step; see `humo.layers.guidance_embedding.guidance_scalars`."""
        return replace(self, guidance=guidance_scalars(rule, sigma, next_sigma))


def join_conditions(parts: Sequence[Conditions]) -> Conditions:
    """The conditions of several videos of equal shape as one batch."""
    joined: dict[str, Any] = {}
    for each in fields(Conditions):
        values = [getattr(one, each.name) for one in parts]
        joined[each.name] = torch.cat(values) if isinstance(values[0], Tensor) else values[0]
    if joined["known"] is not None:
        joined["known"] = join_known([one.known for one in parts if one.known is not None])
    return Conditions(**joined)


@dataclass
class StepState:
    """One step of the loop, as a callback sees it."""

    index: int
    """0 at the first step."""
    num_steps: int
    """Steps in all."""
    timestep: float
    """Timestep at which the velocity was predicted, 1000 (noise) to 0."""
    sigma: float
    """Noise level at which the velocity was predicted."""
    latents: Tensor
    """Video latents after the step, without references, (b, z, video frames, h, w), float32."""
    clean: Tensor
    """Clean latents that the velocity predicts, same shape."""
    weights: Weights
    """Weight of each branch that was run."""
    noisy: Tensor
    """What the network saw: latents before the step, references' slots included, (b, z, f, h, w), float32."""
    conditions: Conditions
    """What the network was told."""
    _windows: list[slice] = field(repr=False)
    _token_grid: tuple[int, int] = field(repr=False)
    _attend: Callable[[slice], tuple[Tensor, ...]] = field(repr=False)

    @property
    def attended(self) -> tuple[Tensor, ...]:
        """Audio-attended states of the last blocks with all conditions shown, (b, n, dim) each, references
        last.

        Costs one more pass of the network at every access; of a windowed video it is the first window.
        """
        return self._attend(self._windows[0])

    def face_mask(self, focus_head: FaceMaskPredictor) -> Tensor:
        """Where the network expects the face, as the focus head reads it from this step.

        Costs one more pass of the network at every call (one per window of a windowed video).

        Args:
            focus_head: the head trained beside the transformer.

        Returns:
            Probabilities (b, video frames, rows, columns), float32, on the head's grid: as many rows and columns
            to a token as its patch size says.
        """
        logits, (rows, columns) = [], self._token_grid
        for place in self._windows:
            states = [part.to(focus_head.dtype) for part in self._attend(place)]
            window_logits = focus_head(states, (states[0].shape[1] // (rows * columns), rows, columns))
            logits.append(window_logits[:, None, : place.stop - place.start])
        return blend_windows(logits, self._windows)[:, 0].sigmoid()


def make_scheduler(shift: float = 5.0) -> UniPCMultistepScheduler:
    """The published solver.

    Args:
        shift: how much of the schedule is spent at high noise; 1 spends it evenly.

    Source: released configs (UniPC, shift 5).
    """
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000
    )


Scheduler = UniPCMultistepScheduler | FlowMatchEulerDiscreteScheduler
"""The published solver, or plain steps for a distilled model, whose velocity is that of the whole step."""


def set_timesteps(scheduler: Scheduler, num_inference_steps: int) -> None:
    """Space the noise levels as released, from sigma 0.999 to 0 before the shift.

    diffusers' own spacing goes from 1 to 0.001, which differs by up to 0.004 at 50 steps.

    Args:
        scheduler: from `make_scheduler`, or Euler's with the same shift.
        num_inference_steps: steps, at least 1.

    Raises:
        ValueError: if the number of steps is below 1.

    Source: released code `FlowUniPCMultistepScheduler`.
    """
    if num_inference_steps < 1:
        raise ValueError(f"num_inference_steps must be 1 or more but is {num_inference_steps}.")
    sigmas = np.linspace(FIRST_SIGMA, 0.0, num_inference_steps + 1)[:-1]
    scheduler.set_timesteps(num_inference_steps, sigmas=sigmas)  # type: ignore[arg-type]  # arrays are taken too


@torch.no_grad()
def denoise(
    transformer: HuMoTransformer3DModel,
    scheduler: Scheduler,
    guidance: Rule,
    conditions: Conditions,
    noise: Tensor,
    num_inference_steps: int = 50,
    on_step: Callable[[StepState], None] | None = None,
    batch_branches: bool = False,
    window: int | None = None,
) -> Tensor:
    """Turn noise into latents.

    Args:
        transformer: the velocity network.
        scheduler: from `make_scheduler`.
        guidance: rule that weighs the branches at every timestep.
        conditions: what the network is told.
        noise: (b, z, f, h, w), reference frames included.
        num_inference_steps: steps.
        on_step: called after every step; it may raise `StopGeneration`.
        batch_branches: run all branches of a step as one batch: faster for a small model, more memory.
        window: most video latent frames that the network sees at once; None for all (see `humo.layers.windows`).

    Returns:
        Clean latents of the video frames, references removed, (b, z, video frames, h, w), float32.

    Raises:
        ValueError: if a shape does not fit.
        StopGeneration: if the callback raised it.
    """
    num_video = noise.shape[2] - conditions.num_references
    windows = plan_windows(num_video, window or num_video)
    _, *patch = transformer.config.patch_size
    token_grid = noise.shape[3] // patch[0], noise.shape[4] // patch[1]
    has_image, has_audio = conditions.references is not None, conditions.audio is not None
    latents, memory = noise.float(), ConditionMemory.on(noise.device)
    set_timesteps(scheduler, num_inference_steps)
    path = KnownPath(conditions.known, latents, num_video, scheduler.sigmas[:-1].tolist(), describe_cache(transformer))
    latents = path.start
    if path.first:
        scheduler.set_begin_index(path.first)
    for count, (index, goes_back) in enumerate(path.visits()):
        timestep, sigma = float(scheduler.timesteps[index]), float(scheduler.sigmas[index])
        latents = path.put_back(latents, sigma)
        if transformer.config.guidance_embeds:  # one pass, which is told what guidance would do
            conditions = conditions.with_guidance(guidance, sigma, float(scheduler.sigmas[index + 1]))
            weights = {Branch(True, has_image, has_audio): 1.0}
        else:
            weights = guidance(timestep, has_image=has_image, has_audio=has_audio)
        velocity = guided_velocity(
            transformer, latents, timestep, weights, conditions, batch_branches, window, index, memory
        )
        velocity, before = path.correct(velocity), latents
        latents = scheduler.step(velocity, scheduler.timesteps[index], latents, return_dict=False)[0]  # type: ignore[arg-type]  # any Tensor will do
        if goes_back:
            latents = path.go_back(latents, float(scheduler.sigmas[index + 1]), sigma, count)
            set_timesteps(scheduler, num_inference_steps)  # forgets a multistep solver's history, of another noise
            scheduler.set_begin_index(index)
            continue
        if on_step is not None:
            on_step(
                StepState(
                    index=index - path.first,
                    num_steps=num_inference_steps - path.first,
                    timestep=timestep,
                    sigma=sigma,
                    latents=latents[:, :, :num_video],
                    clean=(before - sigma * velocity)[:, :, :num_video],
                    weights=weights,
                    noisy=before,
                    conditions=conditions,
                    _windows=windows,
                    _token_grid=token_grid,
                    _attend=partial(_attended, transformer, before, timestep, conditions),
                )
            )
    return latents[:, :, :num_video]


def guided_velocity(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    weights: Weights,
    conditions: Conditions,
    batch_branches: bool = False,
    window: int | None = None,
    step_index: int | None = None,
    memory: ConditionMemory | None = None,
) -> Tensor:
    """Velocity of one step: the weighted sum over branches, blended over windows.

    Args:
        transformer: the velocity network.
        latents: noisy latents, (b, z, f, h, w).
        timestep: 1000 * sigma.
        weights: branch weights that sum to 1.
        conditions: what the network is told.
        batch_branches: run all branches as one batch.
        window: most video latent frames at once; None for all.
        step_index: number of the step, for diffusers' caches.
        memory: keys and values of the same conditions from earlier steps; None keeps none.

    Returns:
        (b, z, f, h, w), float32.
    """
    num_video = latents.shape[2] - conditions.num_references
    windows = plan_windows(num_video, window or num_video)
    groups = [list(weights)] if batch_branches else [[branch] for branch in weights]
    memory = memory or ConditionMemory(max_bytes=0)
    parts = []
    for number, place in enumerate(windows):
        run = partial(_run, transformer, _cut(latents, place, num_video), timestep, conditions.window(place))
        velocities = [each for group in groups for each in run(group, str(number), step_index, memory)]
        parts.append(sum((w * v.float() for w, v in zip(weights.values(), velocities, strict=True)), torch.zeros(())))
    video = [part[:, :, : place.stop - place.start] for part, place in zip(parts, windows, strict=True)]
    references = [part[:, :, part.shape[2] - conditions.num_references :] for part in parts]
    return torch.cat([blend_windows(video, windows), torch.stack(references).mean(0)], dim=2)


def branch_inputs(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    branch: Branch,
    conditions: Conditions,
) -> dict[str, Tensor]:
    """Arguments of the transformer for one branch: what it shows, and nulls for the rest.

    Args:
        transformer: the velocity network.
        latents: noisy latents, (b, z, f, h, w).
        timestep: 1000 * sigma.
        branch: which conditions are shown.
        conditions: what the network is told.

    Returns:
        Keyword arguments of `HuMoTransformer3DModel.forward`, on its device: latents and timestep in float32, the rest
        in its dtype.

    Raises:
        ValueError: if the branch shows a picture or a sound that the conditions lack, or a shape does not
            fit.
    """
    if (branch.image and conditions.references is None) or (branch.audio and conditions.audio is None):
        raise ValueError(f"branch {branch.name} shows a condition that is absent: tell the rule what is present.")
    batch_size, _, num_frames = latents.shape[:3]
    config = transformer.config
    hidden_states = assemble_input(
        latents,
        config.in_channels,
        conditions.num_references,
        conditions.references if branch.image else None,
        conditions.black_video,
    )
    silence = (batch_size, num_frames, config.audio_window, config.audio_bands, config.audio_channels)
    like = torch.empty((), device=latents.device, dtype=transformer.dtype)
    text = conditions.text if branch.text else conditions.negative_text
    audio = conditions.audio if branch.audio else None
    extra = {}
    if conditions.guidance is not None:
        extra["guidance"] = torch.tensor([conditions.guidance], device=latents.device)
    return {
        **extra,
        "hidden_states": hidden_states,
        "timestep": torch.full((1,), timestep, dtype=torch.float32, device=latents.device),
        "encoder_hidden_states": text.to(like),
        "audio_hidden_states": like.new_zeros(silence) if audio is None else audio.to(like),
    }


def _run(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    conditions: Conditions,
    branches: Sequence[Branch],
    place: str,
    step_index: int | None,
    memory: ConditionMemory,
) -> Sequence[Tensor]:
    """Velocities of branches that are run as one batch."""
    inputs = [branch_inputs(transformer, latents, timestep, branch, conditions) for branch in branches]
    stacked = {name: torch.cat([each[name] for each in inputs]) for name in inputs[0].keys() - _SHARED}
    stacked |= {name: inputs[0][name] for name in inputs[0].keys() & _SHARED}
    name = "+".join(branch.name for branch in branches)
    # A cache that met another condition under the same name would hand out that condition's residual.
    with transformer.cache_context(f"{name}/{place}", step_index=step_index):
        velocity = transformer(**stacked, return_dict=False, memory=memory.of(branches, place))[0]
    return velocity.chunk(len(branches))


@torch.no_grad()
def _attended(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    conditions: Conditions,
    place: slice,
) -> tuple[Tensor, ...]:
    part = _cut(latents, place, latents.shape[2] - conditions.num_references)
    shown = Branch(True, conditions.references is not None, conditions.audio is not None)
    inputs = branch_inputs(transformer, part, timestep, shown, conditions.window(place))
    with transformer.cache_context("attended"):
        return transformer(**inputs, return_attended=True).attended


def _cut(latents: Tensor, place: slice, num_video: int) -> Tensor:
    """A window's frames followed by the references."""
    return torch.cat([latents[:, :, place], latents[:, :, num_video:]], dim=2)
