"""The velocity of a step: branches of guidance, each with its nulls, weighed and blended over windows.

The transformer is called once per branch that the guidance rule weighs, in its own dtype.

Source: HuMo released code (`generate.py::inference`).
"""

# b batch, f latent frames (video + references), h w latent grid, z channels of video latents

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from humo.guidance import Branch, Weights
from humo.layers.key_value_cache import ConditionMemory, token_bytes
from humo.layers.windows import blend_windows, plan_windows
from humo.references import assemble_input
from humo.sampling.conditions import Conditions
from humo.transformer import HuMoTransformer3DModel

_SHARED = {"timestep", "guidance"}
"""Arguments of the transformer that are alike for all of a batch."""


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
    kept = memory.of(branches, place, *_condition_bytes(transformer, stacked))
    name = "+".join(branch.name for branch in branches)
    # A cache that met another condition under the same name would hand out that condition's residual.
    with transformer.cache_context(f"{name}/{place}", step_index=step_index):
        velocity = transformer(**stacked, return_dict=False, memory=kept)[0]
    return velocity.chunk(len(branches))


def _condition_bytes(transformer: HuMoTransformer3DModel, inputs: Mapping[str, Tensor]) -> tuple[int, int]:
    """Bytes that the keys and values of a pass' texts and sounds take."""
    text, audio = inputs["encoder_hidden_states"], inputs["audio_hidden_states"]
    each = token_bytes(transformer.config, text.element_size())
    return each * text.shape[:2].numel(), each * audio.shape[:2].numel() * transformer.config.audio_tokens


@torch.no_grad()
def attend(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    timestep: float,
    conditions: Conditions,
    place: slice,
) -> tuple[Tensor, ...]:
    """Audio-attended states of the last blocks with all conditions shown; see `humo.sampling.StepState.attended`."""
    part = _cut(latents, place, latents.shape[2] - conditions.num_references)
    shown = Branch(True, conditions.references is not None, conditions.audio is not None)
    inputs = branch_inputs(transformer, part, timestep, shown, conditions.window(place))
    with transformer.cache_context("attended"):
        return transformer(**inputs, return_attended=True).attended


def _cut(latents: Tensor, place: slice, num_video: int) -> Tensor:
    """A window's frames followed by the references."""
    return torch.cat([latents[:, :, place], latents[:, :, num_video:]], dim=2)
