"""The published solver, and its noise levels.

Source: HuMo released code (`FlowUniPCMultistepScheduler`, configs); UniPC through diffusers.
"""

from __future__ import annotations

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from humo.guidance import FIRST_SIGMA


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
