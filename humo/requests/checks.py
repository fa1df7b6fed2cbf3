"""What a call asks for: checked before anything is computed, and the length of the video settled.

Every refusal is one `ValueError` of one sentence: what was given, what is allowed, what to do. Nothing is
rounded silently; what is decided for the caller is written into the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from humo.layers.windows import LEEWAY
from humo.media import Sound
from humo.system.ranges import MAX_PROMPT_LENGTH, check_seed, read_whole, short
from humo.timing import FPS, SAMPLE_RATE, check_num_frames, count_latents, frames_for_sound, longest_by_sound

_INSTEAD = {
    "generator": "seed=3 draws its noise",
    "guidance_scale": 'guidance={"rule": "constant", "text": 5.0} has a scale for each condition',
    "callback_on_step_end": "on_step= is called after every step",
    "callback": "on_step= is called after every step",
    "output_type": "its frames are always uint8 arrays, and its latents are given beside them",
    "return_dict": "it always returns its output by name",
    "num_videos_per_prompt": "call it once for each seed, or use generate_batch",
    "prompt_embeds": "prompt= is encoded once and kept",
    "latents": "seed=3 draws its noise, and known= gives latents that stay",
    "video": "continue_from= goes on from a video, and pipe.dub gives one another voice",
}
"""What stands here for arguments that many pipelines of diffusers take."""


def check_names(given: Collection[str], allowed: Collection[str]) -> None:
    """Refuse arguments that do not exist.

    Raises:
        TypeError: says what to give instead.
    """
    for name in given:
        if name not in allowed:
            instead = _INSTEAD.get(name, "see help(pipe.__call__) for what there is")
            raise TypeError(f"HuMo's pipeline takes no argument {short(name)}: {instead}.")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of a call, defaults filled in."""

    prompt: str
    """What to see."""
    negative_prompt: str
    """What not to see."""
    num_images: int
    """Reference pictures."""
    num_frames: int
    """Video frames; the default where a sound has yet to tell them."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    num_inference_steps: int
    """Steps of the solver."""
    seed: int
    """Of the noise."""


def make_request(
    config: Any,
    prompt: str,
    num_images: int,
    num_frames: int | None,
    seed: int,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
) -> Request:
    """Fill in what a call leaves to the pipeline; see `Request` for the arguments.

    Args:
        config: of the pipeline (`HuMoPipeline.config`).

    Raises:
        ValueError: if a number is none that can be asked for.
    """
    given: dict[str, Any] = {
        "negative_prompt": negative_prompt,
        "height": height,
        "width": width,
        "num_inference_steps": num_inference_steps,
        "num_frames": num_frames,
    }
    filled = {name: config[f"default_{name}"] if value is None else value for name, value in given.items()}
    numbers = {name: value for name, value in filled.items() if name != "negative_prompt"} | {"seed": seed}
    filled |= {name: read_whole(name, value) for name, value in numbers.items()}
    return Request(prompt=prompt, num_images=num_images, **filled)


def size_multiple(pipe: Any) -> int:
    """Height and width of a pipeline's videos must be multiples of this many pixels."""
    return pipe.vae.config.scale_factor_spatial * pipe.transformer.config.patch_size[1]


def check_request(request: Request, config: Any, size_multiple: int) -> None:
    """Refuse what cannot work.

    Args:
        request: what is asked for.
        config: of the pipeline (`HuMoPipeline.config`).
        size_multiple: pixels of which height and width must be multiples.

    Raises:
        ValueError: in one sentence, with what to do.
    """
    _check_text(request)
    if config.max_references is not None and request.num_images > config.max_references:
        raise ValueError(
            f"image has {request.num_images} pictures but this model takes at most {config.max_references}: give fewer."
        )
    _check_num_frames(request.num_frames, config.max_frames)
    _check_size(request, config.supported_sizes, size_multiple)
    if request.num_inference_steps < 1:
        raise ValueError(f"num_inference_steps must be 1 or more but is {request.num_inference_steps}.")
    check_seed(request.seed)


def choose_num_frames(sound: Sound | None, config: Any, notes: list[str], overlap: int = 0) -> int:
    """The video's length where the call names none: the sound's, rounded up to 4k + 1, else the default.

    A sound longer than the model makes, or than `PUBLISHED_FRAMES` where the model names no limit, is cut there.

    Args:
        sound: the given sound.
        config: of the pipeline.
        notes: told what was decided.
        overlap: frames before the sound that are known and made along, 0 or 4k+1.

    Returns:
        Video frames, those included.
    """
    if sound is None:
        return config.default_num_frames
    longest = longest_by_sound(config.max_frames, config.max_trained_frames)
    num_frames = frames_for_sound(len(sound.original) + round(overlap * sound.rate / FPS), sound.rate, longest)
    shown = num_frames - overlap
    notes.append(f"The sound sets the length: {shown} frames, {shown / FPS:.2f} s.")
    return num_frames


def choose_window(num_frames: int, config: Any, notes: Sequence[list[str]]) -> int | None:
    """Latent frames of a window (`humo.layers.windows`) where a video is longer than the model was trained on.

    Args:
        num_frames: of the video.
        config: of the pipeline.
        notes: of each call, told of it.

    Returns:
        Latent frames; None where the whole video is seen at once.
    """
    trained = config.max_trained_frames
    if trained is None or count_latents(num_frames) <= count_latents(trained) + LEEWAY:
        return None
    for each in notes:
        each.append(f"Longer than the {trained} frames of training: made of overlapping windows of that length.")
    return count_latents(trained)


def fit_sound(sound: Sound, num_frames: int, notes: list[str]) -> tuple[np.ndarray, tuple[np.ndarray, int]]:
    """Cut or pad a sound to the video's length.

    Args:
        sound: as read.
        num_frames: video frames at 25 a second.
        notes: told what was done.

    Returns:
        What the model hears, float32 (samples,) at 16 kHz, and what the video plays: (samples, rate).
    """
    seconds = num_frames / FPS
    if sound.duration > seconds + 0.001:
        notes.append(f"The sound lasts {sound.duration:.2f} s and is cut to the video's {seconds:.2f} s.")
    elif sound.duration < seconds - 0.001:
        notes.append(f"The sound lasts {sound.duration:.2f} s; silence fills the video's {seconds:.2f} s.")
    heard = fit_samples(sound.waveform, round(seconds * SAMPLE_RATE))
    return heard, (fit_samples(sound.original, round(seconds * sound.rate)), sound.rate)


def fit_samples(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut samples (n,) or (n, channels) to a length, or fill them up with silence."""
    missing = max(0, length - len(samples))
    return np.pad(samples[:length], [(0, missing)] + [(0, 0)] * (samples.ndim - 1))


def _check_text(request: Request) -> None:
    for name in ("prompt", "negative_prompt"):
        if not isinstance(text := getattr(request, name), str):
            raise ValueError(f"{name} is {short(text)}: give text.")
    if not request.prompt.strip():
        raise ValueError("prompt is empty: describe in a few words who and what is to be seen.")
    for name in ("prompt", "negative_prompt"):
        length = len(getattr(request, name))
        if length > MAX_PROMPT_LENGTH:
            raise ValueError(
                f"{name} has {length:,} characters but at most {MAX_PROMPT_LENGTH:,} are allowed: shorten it."
            )


def _check_num_frames(num_frames: int, longest: int | None) -> None:
    check_num_frames(num_frames)
    if longest is not None and num_frames > longest:
        raise ValueError(f"num_frames is {num_frames} but this model makes at most {longest}: use {longest}.")


def _check_size(request: Request, supported: list[list[int]] | None, multiple: int) -> None:
    height, width = request.height, request.width
    if supported is not None and [height, width] not in [list(size) for size in supported]:
        allowed = ", ".join(f"{h}x{w}" for h, w in supported)
        raise ValueError(f"height x width is {height}x{width} but this model makes {allowed}: use that.")
    for name, value in (("height", height), ("width", width)):
        if value < multiple or value % multiple:
            nearest = max(multiple, round(value / multiple) * multiple)
            raise ValueError(f"{name} must be a multiple of {multiple} but is {value}: use {nearest}.")
