"""The noise that a seed draws: on the CPU, so that it is the same on every device, and another one for every seed.

A seed is a whole number from 0 to `humo.system.ranges.LARGEST_SEED`. Those of 32 bits draw from torch's generator, a
Mersenne Twister that reads no more of a seed than that. Longer ones draw from NumPy's twister, which reads all of them,
by `RandomState`, whose numbers NumPy has promised not to change. All of this file is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humo.requests.checks import Request
from humo.timing import count_latents

_BITS = 32
"""Of a seed that torch's generator reads."""


def draw_noise(shape: Sequence[int], seed: int) -> Tensor:
    """Standard normal noise.

    Args:
        shape: of the noise.
        seed: 0 to 2**63 - 1.

    Returns:
        Noise of that shape, float32, on the CPU.
    """
    lower, upper = seed % 2**_BITS, seed >> _BITS
    if not upper:
        return torch.randn(tuple(shape), generator=torch.Generator("cpu").manual_seed(lower))
    drawn = np.random.RandomState([lower, upper]).standard_normal(tuple(shape))
    return torch.from_numpy(drawn.astype(np.float32))


def draw_video_noise(pipe: Any, request: Request, num_references: int) -> Tensor:
    """The noise that a video begins from, references' slots included, (1, z, f, h, w), float32, on the CPU.

    Args:
        pipe: any HuMo pipeline.
        request: numbers and seed.
        num_references: slots at the end of latent time.
    """
    scale = pipe.vae.config.scale_factor_spatial
    size = request.height // scale, request.width // scale
    num_latents = count_latents(request.num_frames) + num_references
    return draw_noise((1, pipe.transformer.config.out_channels, num_latents, *size), request.seed)
