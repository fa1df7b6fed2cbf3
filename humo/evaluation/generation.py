"""Generation of many cases: batches for the denoising loop, kept as files so that nothing is made twice. Ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from humo.evaluation.cases import Case
from humo.guidance import make_rule
from humo.layers.step_caches import describe_cache
from humo.pipeline import HuMoPipeline
from humo.references import decode_latents, to_frames
from humo.requests import noise
from humo.requests.checks import Request, check_request
from humo.sampling import Conditions, StepState, denoise, join_conditions
from humo.system.digests import digest_data
from humo.system.dtypes import dtypes_of
from humo.system.files import atomic_write
from humo.system.fingerprint import fingerprint_pipeline
from humo.timing import count_latents


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationSettings:
    """How videos are generated."""

    num_frames: int
    """4k + 1, at most what the model was trained on."""
    size: int
    """Side of the square frames, pixels."""
    num_inference_steps: int
    """Steps of the solver."""
    guidance: dict[str, Any]
    """A rule as plain data (`humo.guidance.make_rule`)."""
    batch_size: int = 8
    """Videos that are denoised together."""


def settings_for(
    pipe: HuMoPipeline,
    num_frames: int = 49,
    num_inference_steps: int | None = None,
    guidance: dict[str, Any] | None = None,
    batch_size: int = 8,
) -> GenerationSettings:
    """Settings with the pipeline's defaults where nothing is given.

    Raises:
        ValueError: if the pipeline has no default guidance, or the video is longer than the model was trained on.
    """
    config = pipe.config
    trained = config.max_trained_frames
    if trained is not None and num_frames > trained:
        raise ValueError(f"num_frames is {num_frames} but this model was trained on {trained}: evaluate that or fewer.")
    side = min(config.default_height, config.default_width)
    return GenerationSettings(
        num_frames=num_frames,
        size=side - side % pipe.size_multiple,
        num_inference_steps=num_inference_steps or config.default_num_inference_steps,
        guidance=dict(guidance or config.default_guidance),
        batch_size=batch_size,
    )


def generate(
    pipe: HuMoPipeline,
    cases: Sequence[Case],
    mode: str,
    settings: GenerationSettings,
    folder: Path | None = None,
    title: str | None = None,
) -> list[np.ndarray]:
    """Generates a video for each case.

    Args:
        pipe: the judged model.
        cases: what to generate.
        mode: "T", "TI", "TA" or "TIA".
        settings: how.
        folder: where videos are kept; those that the same model made of the same request are read from there.
        title: of the progress bar; default: the mode.

    Returns:
        One (f, s, s, 3) uint8 array a case.
    """
    paths: list[Path | None] = [None] * len(cases)
    if folder is not None:
        maker = fingerprint_pipeline(pipe)
        paths = [folder / mode / f"{_key(maker, pipe, case, mode, settings)}.npz" for case in cases]
        (folder / mode).mkdir(parents=True, exist_ok=True)
    videos = {index: _read(path) for index, path in enumerate(paths) if path is not None and path.exists()}
    missing = [index for index in range(len(cases)) if index not in videos]
    with tqdm(desc=f"{title or mode}: generating", total=len(cases), initial=len(videos), unit="video") as bar:
        for start in range(0, len(missing), settings.batch_size):
            chosen = missing[start : start + settings.batch_size]
            made = generate_batch(pipe, [cases[index] for index in chosen], mode, settings)
            for index, frames in zip(chosen, made, strict=True):
                videos[index] = frames
                _write(paths[index], frames)
            bar.update(len(chosen))
    return [videos[index] for index in range(len(cases))]


@torch.no_grad()
def generate_batch(
    pipe: HuMoPipeline,
    cases: Sequence[Case],
    mode: str,
    settings: GenerationSettings,
    on_step: Callable[[StepState], None] | None = None,
) -> list[np.ndarray]:
    """Generates a few cases together, nothing kept; see `generate` and `humo.sampling.denoise`."""
    latents = denoise_cases(pipe, cases, mode, settings, on_step)
    return [to_frames(decode_latents(one[None], pipe.vae)[0]) for one in latents]


@torch.no_grad()
def denoise_cases(
    pipe: HuMoPipeline,
    cases: Sequence[Case],
    mode: str,
    settings: GenerationSettings,
    on_step: Callable[[StepState], None] | None = None,
) -> Tensor:
    """Latents of a few cases that are generated together, (b, z, f, h, w), float32."""
    conditions = encode_cases(pipe, cases, mode, settings)
    return denoise(
        pipe.transformer,
        pipe.scheduler,
        make_rule(settings.guidance),
        conditions,
        torch.cat([draw_noise(pipe, case.noise_seed, settings) for case in cases]),
        settings.num_inference_steps,
        on_step=on_step,
        batch_branches=pipe.config.batch_branches,
    )


@torch.no_grad()
def encode_cases(pipe: HuMoPipeline, cases: Sequence[Case], mode: str, settings: GenerationSettings) -> Conditions:
    """Conditions of several cases as one batch."""
    return join_conditions([_encode_case(pipe, case, mode, settings) for case in cases])


def _encode_case(pipe: HuMoPipeline, case: Case, mode: str, settings: GenerationSettings) -> Conditions:
    has_image = "I" in mode
    request = Request(
        prompt=case.captions[mode].text,
        negative_prompt=pipe.config.default_negative_prompt,
        num_images=int(has_image),
        num_frames=settings.num_frames,
        height=settings.size,
        width=settings.size,
        num_inference_steps=settings.num_inference_steps,
        seed=case.noise_seed,
    )
    check_request(request, pipe.config, pipe.size_multiple)
    return pipe.encode_conditions(
        request, [case.reference] if has_image else [], case.clip.waveform if "A" in mode else None
    )


def draw_noise(pipe: HuMoPipeline, seed: int, settings: GenerationSettings) -> Tensor:
    """One video's noise with one reference slot, (1, z, f, h, w), as in the pipeline."""
    side = settings.size // pipe.vae.config.scale_factor_spatial
    latents = count_latents(settings.num_frames)
    shape = (1, pipe.transformer.config.out_channels, latents + 1, side, side)
    return noise.draw_noise(shape, seed).to(pipe.device)


def _key(maker: str, pipe: HuMoPipeline, case: Case, mode: str, settings: GenerationSettings) -> str:
    wanted = {name: value for name, value in asdict(settings).items() if name != "batch_size"}
    told = [maker, dtypes_of(pipe), wanted, mode, case.captions[mode].text, repr(case.clip.plan), case.noise_seed]
    told += [dict(pipe.scheduler.config), pipe.config.default_negative_prompt, describe_cache(pipe.transformer)]
    if "A" in mode:
        told.append(hashlib.sha256(case.clip.waveform.tobytes()).hexdigest())
    return digest_data(told)[:16]


def _read(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["frames"]


def _write(path: Path | None, frames: np.ndarray) -> None:
    if path is not None:
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez_compressed(file, frames=frames)
