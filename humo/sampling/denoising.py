"""The denoising loop, one step visible at a time.

Latents stay in float32. Time is diffusers': sigma 1 is noise, x = (1 - sigma) x0 + sigma noise, v = noise - x0,
timestep = 1000 sigma.

Source: HuMo released code (`generate.py::inference`); UniPC through diffusers.
"""

# b batch, f latent frames (video + references), h w latent grid, n tokens, z channels of video latents

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from humo.focus import FaceMaskPredictor
from humo.guidance import Branch, Rule, Weights
from humo.known.latents import KnownPath
from humo.layers.key_value_cache import ConditionMemory
from humo.layers.step_caches import describe_cache
from humo.layers.windows import blend_windows, plan_windows
from humo.sampling.conditions import Conditions
from humo.sampling.solver import Scheduler, set_timesteps
from humo.sampling.velocity import attend, guided_velocity
from humo.transformer import HuMoTransformer3DModel


class StopGeneration(Exception):  # noqa: N818 (a wish, not an error)
    """Raised by an `on_step` callback to end a generation; it reaches whoever started it."""


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


class Denoising:
    """A generation under way: `denoise` in parts, for whoever puts something between them.

    Args:
        transformer: the velocity network.
        scheduler: from `make_scheduler`.
        conditions: what the network is told.
        noise: (b, z, f, h, w), reference frames included.
        num_inference_steps: steps.
        batch_branches: run all branches of a step as one batch: faster for a small model, more memory.
        window: most video latent frames that the network sees at once; None for all (see `humo.layers.windows`).

    Attributes:
        latents: where it stands, references' slots included, (b, z, f, h, w), float32.
        conditions: what the network is told; of a distilled model for the present step.
        index: number of the present step; 0 is the one at the highest noise level.
        timestep: of the present step, 1000 (noise) to 0.
        sigma: its noise level.
        goes_back: whether noise is added after it, so that it is done once more (`humo.known`).

    Raises:
        ValueError: if a shape does not fit.
    """

    def __init__(
        self,
        transformer: HuMoTransformer3DModel,
        scheduler: Scheduler,
        conditions: Conditions,
        noise: Tensor,
        num_inference_steps: int = 50,
        batch_branches: bool = False,
        window: int | None = None,
    ) -> None:
        self.transformer, self.scheduler, self.conditions = transformer, scheduler, conditions
        self._num_steps, self._batch_branches, self._window = num_inference_steps, batch_branches, window
        self._num_video = noise.shape[2] - conditions.num_references
        self._memory = ConditionMemory.beside(transformer, noise.device)
        set_timesteps(scheduler, num_inference_steps)
        sigmas, cache = scheduler.sigmas[:-1].tolist(), describe_cache(transformer)
        self._path = KnownPath(conditions.known, noise.float(), self._num_video, sigmas, cache)
        self.latents = self._path.start
        if self._path.first:
            scheduler.set_begin_index(self._path.first)
        self.index, self.timestep, self.sigma, self.goes_back = self._path.first, 1000.0, 1.0, False
        self._count, self._weights = 0, Weights()
        self._before = self._velocity = self.latents

    def steps(self) -> Iterator[int]:
        """Numbers of the steps, in the order in which they are done; before each what is known is put in its place."""
        for count, (index, goes_back) in enumerate(self._path.visits()):
            self._count, self.index, self.goes_back = count, index, goes_back
            self.timestep, self.sigma = float(self.scheduler.timesteps[index]), float(self.scheduler.sigmas[index])
            self.latents = self._path.put_back(self.latents, self.sigma)
            yield index

    def weigh(self, rule: Rule) -> Weights:
        """Weights of the branches at this step; a distilled model has one, and is told what guidance would do."""
        has_image, has_audio = self.conditions.references is not None, self.conditions.audio is not None
        if not self.transformer.config.guidance_embeds:
            return rule(self.timestep, has_image=has_image, has_audio=has_audio)
        next_sigma = float(self.scheduler.sigmas[self.index + 1])
        self.conditions = self.conditions.with_guidance(rule, self.sigma, next_sigma)
        return {Branch(True, has_image, has_audio): 1.0}

    def predict(self, weights: Weights) -> Tensor:
        """Velocity at this step, (b, z, f, h, w), float32: that of the branches, and of what is known its own."""
        self._weights = weights
        velocity = guided_velocity(
            self.transformer,
            self.latents,
            self.timestep,
            weights,
            self.conditions,
            self._batch_branches,
            self._window,
            self.index,
            self._memory,
        )
        return self._path.correct(velocity)

    def advance(self, velocity: Tensor) -> Tensor:
        """Latents after this step, as `latents`."""
        self._before, self._velocity = self.latents, velocity
        timestep = self.scheduler.timesteps[self.index]
        self.latents = self.scheduler.step(velocity, timestep, self.latents, return_dict=False)[0]  # type: ignore[arg-type]  # any Tensor will do
        if self.goes_back:
            lower = float(self.scheduler.sigmas[self.index + 1])
            self.latents = self._path.go_back(self.latents, lower, self.sigma, self._count)
            set_timesteps(self.scheduler, self._num_steps)  # forgets a multistep solver's history, of another noise
            self.scheduler.set_begin_index(self.index)
        return self.latents

    def state(self) -> StepState:
        """This step as a callback sees it, once it is done."""
        patch = self.transformer.config.patch_size
        return StepState(
            index=self.index - self._path.first,
            num_steps=self._num_steps - self._path.first,
            timestep=self.timestep,
            sigma=self.sigma,
            latents=self.video,
            clean=(self._before - self.sigma * self._velocity)[:, :, : self._num_video],
            weights=self._weights,
            noisy=self._before,
            conditions=self.conditions,
            _windows=plan_windows(self._num_video, self._window or self._num_video),
            _token_grid=(self.latents.shape[3] // patch[1], self.latents.shape[4] // patch[2]),
            _attend=partial(attend, self.transformer, self._before, self.timestep, self.conditions),
        )

    @property
    def video(self) -> Tensor:
        """Latents of the video frames, references removed, (b, z, video frames, h, w), float32."""
        return self.latents[:, :, : self._num_video]


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
    run = Denoising(transformer, scheduler, conditions, noise, num_inference_steps, batch_branches, window)
    for _ in run.steps():
        run.advance(run.predict(run.weigh(guidance)))
        if on_step is not None and not run.goes_back:
            on_step(run.state())
    return run.video
