"""Dubbing: the region is found, made anew by a new voice beside the known rest, and laid over the clip."""

# b batch, f video latent frames, h w latent grid, z channels of video latents

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.dubbing import MODE, PROMPT
from humo.dubbing.clip import Clip, longest_frames, read_clip_to_dub
from humo.dubbing.region import Region, lay_over, make_region, read_mask
from humo.dubbing.shape import Shape
from humo.focus import check_masks
from humo.guidance import Branch, Rule, make_rule
from humo.known import know_frames
from humo.layers.decoding import OnFrames
from humo.layers.step_caches import cached
from humo.layers.windows import blend_windows, plan_windows
from humo.media import Sound
from humo.references import encode_video, to_pixels
from humo.requests.call import Call, hear_sound, read_call
from humo.requests.checks import choose_window, fit_samples
from humo.requests.noise import draw_noise
from humo.requests.output import HuMoPipelineOutput
from humo.sampling import Conditions, StepState, branch_inputs
from humo.timing import FPS, SAMPLE_RATE, count_latents, covering_frames

TIMESTEP = 500
"""At which the clip is shown to the network to find the face: the head is surest there."""

START_SIGMA = 0.85
"""Noise level from which the region is made anew: above it the network would compose a picture of its own, with a
second mouth beside the first; much below it the old mouth shows."""


def dub(
    pipe: Any,
    clip: str | Path | np.ndarray | Clip,
    audio: Any,
    prompt: str | None = None,
    mask: Any = None,
    shape: Shape | None = None,
    hold: bool = False,
    num_inference_steps: int | None = None,
    guidance: Rule | Mapping[str, Any] | None = None,
    seed: int | None = None,
    on_step: Callable[[StepState], None] | None = None,
    on_frames: OnFrames | None = None,
    as_is: bool = False,
) -> HuMoPipelineOutput:
    """Give a clip another voice.

    Args:
        pipe: the pipeline.
        clip: an MP4 or WebM file of 25 frames a second, frames, or what `read_clip_to_dub` read.
        audio: the new voice, as of `humo.media.read_sound`.
        prompt: what is seen; `PROMPT` if None.
        mask: instead of the face that is found: a picture of the clip's size, white where it is made anew; or a
            region that was found before.
        shape: what is made of the face that is found: its part, margin and sides.
        hold: hold the clip's last frame as long as a longer voice lasts, which is cut otherwise.
        num_inference_steps: steps of the solver; default from the config.
        guidance: a rule of `humo.guidance`, or its plain data; default from the config.
        seed: 0 to 2**63 - 1; drawn and told if None.
        on_step: called after every step; raise `humo.StopGeneration` in it to stop.
        on_frames: told each stretch of frames of the model as soon as it is decoded.
        as_is: take a clip that shows no drawn person for a model that knows no others.

    Returns:
        The clip with the new voice, in its own size; every pixel outside of the region is the clip's own. Its masks
        are opacities of what is new, uint8 (f, height, width).

    Raises:
        ValueError: if an input is not allowed; the sentence says what to do.
        StopGeneration: if `on_step` raised it.
    """
    asked = read_dub(pipe, clip, audio, prompt, hold, num_inference_steps, guidance, seed, as_is)
    region = choose_region(pipe, asked, mask, shape)
    made = pipe.generate_batch([asked.with_known(pipe, region)], on_step, on_frames and [on_frames])[0]
    frames, laid = asked.clip.frames, lay_made(asked, made, region)
    settings = made.settings | {"mode": MODE, "clip": list(frames.shape[:3])}
    return replace(made, frames=laid, audio=asked.played, settings=settings, masks=region.opacity, latents=None)


@dataclass(frozen=True)
class Asked:
    """A dub as it is asked for, read and checked."""

    clip: Clip
    """With its last frame held where that is wished."""
    call: Call
    """For the pipeline, nothing known yet."""
    played: tuple[np.ndarray, int]
    """The new voice, as long as the clip: (samples, channels) and Hz."""

    def with_known(self, pipe: Any, region: Region) -> Call:
        """The call, with all known that lies outside of a region."""
        small = self.clip.small
        known = region.held(len(small)).known(*small.shape[1:3])
        latents = know_frames(small, known, pipe.vae, pipe._execution_device)
        return replace(self.call, known=replace(latents, start_sigma=START_SIGMA))


def lay_made(asked: Asked, made: HuMoPipelineOutput, region: Region) -> np.ndarray:
    """What a pipeline made of `Asked.with_known`, over the clip, uint8 (f, height, width, 3)."""
    return lay_over(asked.clip.frames, made.frames[: len(asked.clip.frames)], region)


def read_dub(
    pipe: Any,
    clip: Any,
    audio: Any,
    prompt: str | None = None,
    hold: bool = False,
    num_inference_steps: int | None = None,
    guidance: Rule | Mapping[str, Any] | None = None,
    seed: int | None = None,
    as_is: bool = False,
) -> Asked:
    """Read and check what a dub asks for; arguments as of `dub`.

    Raises:
        ValueError: if an input is not allowed; the sentence says what to do.
    """
    if audio is None:
        raise ValueError("No voice is given: add a sound in which somebody says what the clip's person shall say.")
    if not isinstance(clip, Clip):
        clip = read_clip_to_dub(clip, pipe.config, pipe.size_multiple, as_is)
    notes: list[str] = []
    sound = hear_sound(audio, pipe.config, notes)
    clip = _fit(clip, sound, hold, pipe.config, notes)
    seconds, padded = len(clip.frames) / FPS, len(clip.small) / FPS
    heard = fit_samples(sound.waveform[: round(seconds * SAMPLE_RATE)], round(padded * SAMPLE_RATE))
    played = fit_samples(sound.original, round(seconds * sound.rate)), sound.rate
    fitted = replace(sound, waveform=heard, original=fit_samples(played[0], round(padded * sound.rate)), notes=())
    call = read_call(
        pipe,
        PROMPT if prompt is None else prompt,
        image=Image.fromarray(clip.small[0]),
        audio=fitted,
        num_frames=len(clip.small),
        height=clip.small.shape[1],
        width=clip.small.shape[2],
        num_inference_steps=num_inference_steps,
        guidance=guidance,
        seed=seed,
        as_is=True,
    )
    return Asked(clip, replace(call, notes=notes + call.notes), played)


def find_region(
    pipe: Any,
    clip: Any,
    audio: Any,
    shape: Shape | None = None,
    hold: bool = False,
    as_is: bool = False,
) -> tuple[Clip, Region]:
    """What a dub would make anew, to be looked at and corrected; arguments as of `dub`.

    Raises:
        ValueError: as of `dub`.
    """
    asked = read_dub(pipe, clip, audio, hold=hold, seed=0, as_is=as_is)
    return asked.clip, choose_region(pipe, asked, None, shape)


def choose_region(pipe: Any, asked: Asked, mask: Any = None, shape: Shape | None = None) -> Region:
    """The painted region, or the one that the focus head finds.

    Raises:
        ValueError: if the mask is none for the clip, no face is found, or the model cannot look for one.
    """
    num_frames, height, width = asked.clip.frames.shape[:3]
    if isinstance(mask, Region):
        return mask.held(num_frames)
    if mask is not None:
        return read_mask(mask, num_frames, height, width)
    shape = (shape or Shape()).check(height)
    check_masks("to find the face in a clip", pipe.focus_head, pipe.transformer)
    return make_region(face_probabilities(pipe, asked), num_frames, height, width, shape)


@torch.no_grad()
def face_probabilities(pipe: Any, asked: Asked) -> np.ndarray:
    """Where the focus head sees the face that the voice drives: the paper's mask, put to work.

    The clip is made half noisy and shown to the network with all conditions, as in training.

    Args:
        pipe: a pipeline with a focus head.
        asked: clip and voice.

    Returns:
        Probabilities, float32 (latent frames, rows, columns) on the head's grid.
    """
    call = asked.call
    try:
        conditions = pipe.encode_conditions(call.read_request, call.pictures, call.heard)
        clean = encode_video(to_pixels(asked.clip.small).to(pipe._execution_device), pipe.vae)
        noise = draw_noise(clean.shape, 0).to(clean)  # so that what is shown is what will be
        noisy = clean + TIMESTEP / 1000 * (noise - clean)
        if pipe.transformer.config.guidance_embeds:  # told of the way from there to the clean video
            conditions = conditions.with_guidance(make_rule(pipe.config.default_guidance), TIMESTEP / 1000, 0.0)
        num_latents = count_latents(len(asked.clip.small))
        windows = plan_windows(num_latents, choose_window(len(asked.clip.small), pipe.config, []) or num_latents)
        with cached(pipe.transformer, None):  # asked alone
            logits = [face_logits(pipe, noisy[:, :, place], TIMESTEP, conditions.window(place)) for place in windows]
        return blend_windows([each[:, None] for each in logits], windows)[0, 0].sigmoid().cpu().numpy()
    finally:
        pipe.maybe_free_model_hooks()


def face_logits(pipe: Any, latents: Tensor, timestep: float, conditions: Conditions) -> Tensor:
    """Logits of the face in video frames with all conditions shown.

    Args:
        pipe: a pipeline with a focus head.
        latents: noisy latents of the video frames, (b, z, f, h, w).
        timestep: 1000 times their noise level.
        conditions: text, picture and sound.

    Returns:
        (b, f, rows, columns) on the head's grid.
    """
    slots = latents.new_zeros((*latents.shape[:2], conditions.num_references, *latents.shape[3:]))
    shown = Branch(True, conditions.references is not None, conditions.audio is not None)
    inputs = branch_inputs(pipe.transformer, torch.cat([latents, slots], dim=2), float(timestep), shown, conditions)
    attended = pipe.transformer(**inputs, return_attended=True).attended
    attended = [part.to(pipe.focus_head.dtype) for part in attended]
    patch = pipe.transformer.config.patch_size
    grid = latents.shape[2] + conditions.num_references, latents.shape[3] // patch[1], latents.shape[4] // patch[2]
    return pipe.focus_head(attended, grid)[:, : latents.shape[2]]


def _fit(clip: Clip, sound: Sound, hold: bool, config: Any, notes: list[str]) -> Clip:
    """The clip as long as its dub will be; what is cut or held is told."""
    seconds, wanted = len(clip.frames) / FPS, covering_frames(len(sound.original), sound.rate)
    if sound.duration < seconds - 1 / FPS:
        notes.append(f"The voice lasts {sound.duration:.2f} s; silence fills the clip's {seconds:.2f} s.")
    if wanted <= len(clip.frames):
        return clip
    if not hold:
        notes.append(
            f"The voice lasts {sound.duration:.2f} s and is cut to the clip's {seconds:.2f} s; to hear all of it over "
            "the last frame, hold that."
        )
        return clip
    most = longest_frames(config)
    if wanted > most:
        notes.append(f"The voice lasts {sound.duration:.2f} s and is cut to {most / FPS:.2f} s, the longest there is.")
    held = clip.held(min(wanted, most))
    if len(held.frames) > len(clip.frames):  # else it is as long as a dub can be
        notes.append(f"The clip's last frame is held from {seconds:.2f} s to {len(held.frames) / FPS:.2f} s.")
    return held
