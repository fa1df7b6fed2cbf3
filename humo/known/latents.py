"""Known latents: what is put back at every step at that step's noise level, while the rest is made.

A clean latent x0 and a noise that are both known have one straight path, x = (1 - sigma) x0 + sigma noise, with the
velocity noise - x0. Where the mask is 1 the latents stand on that path before the network sees them, and the velocity
that the solver is given is the path's own. So the clean estimates that a multistep solver keeps (UniPC's history and
its corrector) are the truth there, its steps along the path are exact, and what surrounds the known places is made by
the same solver as ever. Putting latents back alone would leave a history of wrong estimates beside right samples.

Where the mask is between 0 and 1, the velocities are blended: such a place ends that far between what is known and what
the network makes, however many steps there are. Blending latents at every step would come near to a hard mask instead.

Replacement ignores that the network's guess at high noise hardly knows what it must agree with. *Resampling* repairs
what that leaves: a step is done, noise is added up to where it began, and it is done again, now beside neighbours that
agree better.

A *guess* repairs more of it, and sooner: what is not known begins from a guess at a noise level below that of pure
noise, as the last known frame held for all that follow. Where the picture is composed is settled then before the
network makes anything, and the steps above that level need not be done at all.

Source: replacement, Song et al. 2020 (arXiv 2011.13456, app. I.2); going back, RePaint (arXiv 2201.09865, alg. 1), both
written for diffusion with fresh noise in every step; the guess, SDEdit (arXiv 2108.01073). One noise for all steps, the
solver's velocity and soft masks are ours.
"""

# b batch, z channels of video latents, f video latent frames, h w latent grid

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from humo.layers.step_caches import TAYLOR

MAX_RESAMPLING = 20
"""Most times that a step is done again."""


@dataclass(frozen=True)
class Known:
    """What stays as it is."""

    latents: Tensor
    """Clean normalised latents, (b, z, f, h, w), without references; where the mask is 0 the guess, which is ignored
    without a `start_sigma` below 1."""
    mask: Tensor
    """How far each place is known, 0 to 1, (b, 1, f, h, w)."""
    resampling: int = 0
    """How often each step is done again; 1 doubles the time. 0 for none."""
    start_sigma: float = 1.0
    """Noise level at which what is not known begins from its guess, 0 to 1; 1 to begin from noise."""

    def window(self, place: slice) -> Known:
        """What is known of the video frames `place`."""
        return replace(self, latents=self.latents[:, :, place], mask=self.mask[:, :, place])

    def check(self, shape: Sequence[int], cache: str | None = None) -> None:
        """Refuse what does not fit.

        Args:
            shape: of the video's latents, (b, z, f, h, w).
            cache: name of the transformer's cache (`humo.layers.step_caches`).

        Raises:
            ValueError: if a shape differs, the mask leaves 0..1, or the resampling is none that can be done.
        """
        wanted = tuple(shape)
        if tuple(self.latents.shape) != wanted:
            raise ValueError(f"known has latents of {tuple(self.latents.shape)} but this video's are {wanted}.")
        if tuple(self.mask.shape) != (wanted[0], 1, *wanted[2:]):
            fitting = (wanted[0], 1, *wanted[2:])
            raise ValueError(f"known has a mask of {tuple(self.mask.shape)} but this video's is {fitting}.")
        if not (self.mask.min() >= 0 and self.mask.max() <= 1):  # not a number neither
            raise ValueError("known has a mask outside of 0 to 1: 1 is known, 0 is made.")
        if not isinstance(self.resampling, int) or not 0 <= self.resampling <= MAX_RESAMPLING:
            raise ValueError(f"resampling must be 0 to {MAX_RESAMPLING} but is {self.resampling}.")
        if not 0 <= self.start_sigma <= 1:
            raise ValueError(f"start_sigma must be 0 to 1 but is {self.start_sigma}.")
        if self.resampling and cache is not None and cache.startswith(TAYLOR):
            raise ValueError(f"The cache {cache} continues lines that resampling breaks: leave one of them out.")


def join_known(parts: Sequence[Known]) -> Known:
    """What is known of several videos of equal shape as one batch."""
    latents, mask = (torch.cat([getattr(part, name) for part in parts]) for name in ("latents", "mask"))
    return replace(parts[0], latents=latents, mask=mask)


def first_step(sigmas: Sequence[float], start_sigma: float) -> int:
    """Number of the first step that is done, counted from 0: the highest that is not above where one begins.

    Args:
        sigmas: noise level of every step, falling.
        start_sigma: see `Known`.
    """
    return next((i for i, sigma in enumerate(sigmas) if sigma <= start_sigma), len(sigmas) - 1)


class KnownPath:
    """The straight path from noise to what is known; with nothing known it hands back what it is given.

    Args:
        known: what stays; None for nothing.
        noise: from which the generation starts, references' frames at the end, (b, z, f + references, h, w).
        num_video: video frames, f.
        sigmas: noise level of every step.
        cache: name of the transformer's cache (`humo.layers.step_caches`).

    Attributes:
        first: number of the first step that is done.
        start: what it begins from, as `noise`.

    Raises:
        ValueError: as of `Known.check`.
    """

    def __init__(
        self, known: Known | None, noise: Tensor, num_video: int, sigmas: Sequence[float], cache: str | None = None
    ) -> None:
        self.first, self.start = 0, noise
        self._is_known, self._num_steps = known is not None, len(sigmas)
        self._noise = self._first_noise = noise
        self._rounds = 1 if known is None else 1 + known.resampling
        if known is None:
            return
        known.check((*noise.shape[:2], num_video, *noise.shape[3:]), cache)
        self._mask, self._clean = known.mask.to(noise), known.latents.to(noise)
        if known.start_sigma < 1:
            self.first = first_step(sigmas, known.start_sigma)
            video = self._at(sigmas[self.first])
            self.start = torch.cat([video, self._split(noise)[1]], dim=2)
        else:  # what nobody knows may be anything, also not a number
            self._clean = torch.where(self._mask > 0, self._clean, torch.zeros_like(self._clean))

    def visits(self) -> list[tuple[int, bool]]:
        """Numbers of the steps in the order in which they are done, and whether one goes back after it."""
        rounds = range(1, self._rounds + 1)
        return [(index, number < self._rounds) for index in range(self.first, self._num_steps) for number in rounds]

    def put_back(self, latents: Tensor, sigma: float) -> Tensor:
        """Latents (b, z, f + references, h, w) at a noise level with what is wholly known on its path."""
        if not self._is_known:
            return latents
        video, references = self._split(latents)
        return torch.cat([torch.where(self._mask == 1, self._at(sigma), video), references], dim=2)

    def correct(self, velocity: Tensor) -> Tensor:
        """The network's velocity (b, z, f + references, h, w) with that of the path as far as it is known."""
        if not self._is_known:
            return velocity
        video, references = self._split(velocity)
        own = self._split(self._noise)[0] - self._clean
        return torch.cat([torch.lerp(video, own, self._mask), references], dim=2)

    def go_back(self, latents: Tensor, sigma: float, higher: float, number: int) -> Tensor:
        """Add noise to latents until they are at a higher noise level, and move the path along.

        The noise added is the first one in another order of its numbers, the same on every device and in every batch.

        Args:
            latents: (b, z, f + references, h, w) at `sigma`.
            sigma: noise level.
            higher: noise level to go to.
            number: of this jump; another one gives other noise.

        Returns:
            Latents at `higher`, same shape.
        """
        first = self._first_noise.flatten(1)
        order = torch.randperm(first.shape[1], generator=torch.Generator().manual_seed(number))
        # without its mean, which no order changes and which would add up over many jumps
        fresh = (first - first.mean(1, keepdim=True))[:, order.to(first.device)].view_as(self._noise)
        keep = (1 - higher) / (1 - sigma)
        added = max(higher**2 - (keep * sigma) ** 2, 0.0) ** 0.5
        self._noise = (keep * sigma * self._noise + added * fresh) / higher
        return keep * latents + added * fresh

    def _at(self, sigma: float) -> Tensor:
        return (1 - sigma) * self._clean + sigma * self._split(self._noise)[0]

    def _split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        num_video = self._mask.shape[2]
        return latents[:, :, :num_video], latents[:, :, num_video:]
