"""A video as it is asked for, read and checked before anything is computed, and as it comes back. Ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, Unpack

import numpy as np
from PIL import Image

from humo.guidance import Rule, describe_rule, read_rule
from humo.known import Known
from humo.layers.context_parallel import draw_seed
from humo.layers.step_caches import describe_cache
from humo.media import Sound, read_picture, read_sound
from humo.media.loudness import level_sound
from humo.requests.checks import (
    Request,
    check_names,
    check_request,
    choose_num_frames,
    fit_sound,
    make_request,
    size_multiple,
)
from humo.requests.continuing import Beginning, KnownArguments, hear_on, read_known
from humo.requests.output import HuMoPipelineOutput as HuMoPipelineOutput
from humo.system.fast_form_config import SUFFIX
from humo.system.ranges import read_shift
from humo.timing import FPS, FRAMES_PER_LATENT, count_frames, count_latents

if TYPE_CHECKING:
    from humo.portrait import Portrait
    from humo.sampling import StepState
    from humo.transformer import HuMoTransformer3DModel

Picture = Union[Image.Image, str, Path, "Portrait"]
"""A reference; a `humo.portrait.Portrait` for models of drawn people."""


@dataclass
class Call:
    """What `read_call` read.

    Attributes:
        request: numbers and texts.
        rule: guidance.
        pictures: references, possibly none.
        heard: what the model hears, float32 (samples,) at 16 kHz; None without sound.
        played: what the video plays, (samples, channels) and Hz; None without sound.
        notes: what was decided for the caller, in sentences; grows while the video is made.
        portrait: what was read of a photograph that was drawn; None where the pictures are shown as they are.
        prompt_read: what the model reads in the place of the prompt; None for the prompt itself.
        audio_shift: milliseconds by which `heard` is later than `played`, or earlier below 0.
        known: what stays as it is, or what the video begins with, batch size 1; None for nothing.
    """

    request: Request
    rule: Rule
    pictures: list[Image.Image]
    heard: np.ndarray | None
    played: tuple[np.ndarray, int] | None
    notes: list[str]
    portrait: Portrait | None = None
    prompt_read: str | None = None
    audio_shift: int = 0
    known: Known | Beginning | None = None

    @property
    def overlap(self) -> int:
        """Known frames at the beginning that are not shown again."""
        return self.known.overlap if isinstance(self.known, Beginning) else 0

    @property
    def num_new_frames(self) -> int:
        """Frames that are shown: all but the known ones at the beginning."""
        return self.request.num_frames - self.overlap

    @property
    def mode(self) -> str:
        """T, TI, TA or TIA."""
        return "T" + "I" * bool(self.pictures) + "A" * (self.heard is not None)

    @property
    def read_request(self) -> Request:
        """The request with the prompt that the model reads."""
        return self.request if self.prompt_read is None else replace(self.request, prompt=self.prompt_read)

    @property
    def settings(self) -> dict[str, Any]:
        """All that was asked, as plain data."""
        portrait = {} if self.portrait is None else {"portrait": self.portrait.to_plain()}
        read = {} if self.prompt_read is None else {"prompt_read": self.prompt_read}
        shift = {"audio_shift": self.audio_shift} if self.audio_shift else {}
        shared = {**asdict(self.request), "mode": self.mode, "guidance": describe_rule(self.rule)}
        known = {} if self.known is None else {"known": self._describe_known()}
        return {**shared, **portrait, **read, **shift, **known}

    def output(self, frames: np.ndarray, latents: np.ndarray, made_by: dict[str, Any]) -> HuMoPipelineOutput:
        """What comes back.

        Args:
            frames: all that were made, known ones included, uint8 (f, height, width, 3).
            latents: theirs, float32 (z, latent frames, h, w).
            made_by: further settings.
        """
        overlap = self.overlap
        return HuMoPipelineOutput(
            frames[overlap:],
            FPS,
            self.played,
            self.request.seed,
            self.settings | made_by,
            notes=self.notes,
            latents=latents,
            overlapped=frames[:overlap] if overlap else None,
            earlier=self.known.earlier if isinstance(self.known, Beginning) else None,
        )

    def _describe_known(self) -> dict[str, Any]:
        """What stays, without its numbers: in calls that are made together it is of the same kind."""
        begins = isinstance(self.known, Beginning) and not self.overlap
        told = {"first_frame": begins, "overlap": self.overlap}
        return told | {name: getattr(self.known, name) for name in ("resampling", "start_sigma")}

    @property
    def shape(self) -> dict[str, Any]:
        """What must be the same in calls that are made together: all but texts, seed, and what is seen and heard."""
        own = ("prompt", "negative_prompt", "seed", "portrait", "prompt_read", "audio_shift")
        return {name: value for name, value in self.settings.items() if name not in own}


def model_name(folder: str | Path | None, transformer: HuMoTransformer3DModel) -> str:
    """Name of the folder a model came from, never the whole path: settings travel with a video; and of its form."""
    return Path(folder or "").name + SUFFIX * transformer.config.guidance_embeds


def made_by(name: str, transformer: HuMoTransformer3DModel) -> dict[str, Any]:
    """What a video's settings say of the model: its name, and a step cache, for it is not the exact result then."""
    cache = describe_cache(transformer)
    return {"model": name} if cache is None else {"model": name, "cache": cache}


def call_each(*callbacks: Callable[[StepState], None] | None) -> Callable[[StepState], None]:
    """One callback that calls all that are there."""

    def call(state: StepState) -> None:
        for callback in callbacks:
            if callback is not None:
                callback(state)

    return call


def list_pictures(image: Picture | Sequence[Picture] | None) -> list[Picture]:
    """The references of a call as a list."""
    many = () if image is None else image
    return list(many) if isinstance(many, Sequence) and not isinstance(many, str) else [many]


def read_references(
    config: Any, image: Sequence[Picture], prompts: Sequence[str], notes: list[str], as_is: bool
) -> tuple[list[Image.Image], list[str], Portrait | None]:
    """Read the references; a model of drawn people sees drawings in the place of photographs.

    Args:
        config: of the pipeline.
        image: the references.
        prompts: which drawings may complete (`humo.portrait.photographs`).
        notes: told what was decided.
        as_is: leave photographs as they are.

    Returns:
        RGB pictures, the prompts, and who was drawn; None if nobody was.

    Raises:
        ValueError: if one cannot be read.
    """
    if not image or not config.draws_photographs or as_is:
        return [read_picture(picture) for picture in image], list(prompts), None  # type: ignore[arg-type]  # refuses a portrait
    from humo.portrait.photographs import draw_photographs  # the world, of which other models know nothing

    return draw_photographs(image, prompts, notes, config.default_height)


def read_texts(
    config: Any, requests: Sequence[Request], notes: list[str], reads_negative: bool = True
) -> tuple[list[Request], list[str]]:
    """Read the prompts; a model of drawn people reads anybody's words in those that it knows.

    Args:
        config: of the pipeline.
        requests: with the prompts as they are written.
        notes: told what is drawn otherwise, and what cannot be.
        reads_negative: whether the model reads negative prompts.

    Returns:
        The requests, where none is given with a negative prompt of what the text denies; and what the model reads.
    """
    if not config.rewords_prompts:
        return list(requests), [request.prompt for request in requests]
    from humo.wording.rewording import reword  # the world, of which other models know nothing

    read = reword([request.prompt for request in requests], notes)
    if reads_negative:
        requests = [
            replace(request, negative_prompt=request.negative_prompt or each.denied)
            for request, each in zip(requests, read, strict=True)
        ]
    return list(requests), [each.prompt for each in read]


def read_call(
    pipe: Any,
    prompt: str,
    negative_prompt: str | None = None,
    image: Picture | Sequence[Picture] | None = None,
    audio: str | Path | tuple[np.ndarray, int] | Sound | None = None,
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int | None = None,
    guidance: Rule | Mapping[str, Any] | None = None,
    seed: int | None = None,
    as_is: bool = False,
    audio_shift: int = 0,
    **known: Unpack[KnownArguments],
) -> Call:
    """Read and check what a call of the pipeline asks for; arguments as of `HuMoPipeline.__call__`.

    Returns:
        What `HuMoPipeline.generate_batch` takes.

    Raises:
        ValueError: if an input is not allowed; the sentence says what to do.
        TypeError: if there is no such argument.
    """
    check_names(known, KnownArguments.__annotations__)
    config, notes = pipe.config, list[str]()
    image = list_pictures(image)
    rule = read_rule(config.default_guidance if guidance is None else guidance)
    request = make_request(
        config,
        prompt,
        num_images=len(image),
        num_frames=num_frames,
        seed=draw_seed(pipe.transformer) if seed is None else seed,
        negative_prompt=negative_prompt,
        height=height,
        width=width,
        num_inference_steps=num_inference_steps,
    )
    check_request(request, config, size_multiple(pipe))
    audio_shift = read_shift(audio_shift, audio is not None)
    stays = read_known(config, request, as_is, notes, **known)
    if negative_prompt and pipe.transformer.config.guidance_embeds:
        notes.append("The fast model does not read the negative prompt.")
    (request,), prompts = read_texts(config, [request], notes, not pipe.transformer.config.guidance_embeds)
    pictures, (read,), portrait = read_references(config, image, prompts, notes, as_is)
    overlap = stays.overlap if isinstance(stays, Beginning) else 0
    sound, before = None, np.zeros(0, np.float32)
    if audio is not None and isinstance(stays, Beginning) and overlap:
        sound = read_sound(audio)
        notes += sound.notes
        before, sound = hear_on(sound, stays, config.heard_level, notes)
        sound = _shift(sound, audio_shift, notes)
    elif audio is not None:
        sound = hear_sound(audio, config, notes, audio_shift)
    if num_frames is None and isinstance(stays, Known):
        request = replace(request, num_frames=count_frames(stays.latents.shape[2]))
    elif num_frames is None:
        request = replace(request, num_frames=choose_num_frames(sound, config, notes, overlap))
    if request.num_frames <= overlap:
        raise ValueError(
            f"num_frames is {request.num_frames}, the known {overlap} included: use at least "
            f"{overlap + FRAMES_PER_LATENT}."
        )
    if isinstance(stays, Known):
        _check_shape(pipe, request, stays)
    heard, played = (None, None) if sound is None else fit_sound(sound, request.num_frames - overlap, notes)
    heard = None if heard is None else np.concatenate([before, heard])
    prompt_read = None if read == prompt else read
    return Call(request, rule, pictures, heard, played, notes, portrait, prompt_read, audio_shift, stays)


def _check_shape(pipe: Any, request: Request, known: Known) -> None:
    scale = pipe.vae.config.scale_factor_spatial
    size = request.height // scale, request.width // scale
    known.check((1, pipe.transformer.config.out_channels, count_latents(request.num_frames), *size))


def hear_sound(audio: Any, config: Any, notes: list[str], audio_shift: int = 0) -> Sound:
    """Read a sound, as the model of a config hears it.

    Args:
        audio: as of `humo.media.read_sound`.
        config: of the pipeline.
        notes: told what was decided.
        audio_shift: milliseconds by which it is heard later than it is played, or earlier below 0.

    Raises:
        ValueError: if it cannot be read.
    """
    sound = read_sound(audio)
    notes += sound.notes
    sound = level_sound(sound, config.heard_level, notes)  # before it is shifted: its level is that of the whole
    return _shift(sound, audio_shift, notes)


def _shift(sound: Sound, audio_shift: int, notes: list[str]) -> Sound:
    if audio_shift:
        when = "later" if audio_shift > 0 else "earlier"
        notes.append(f"The mouth moves {abs(audio_shift)} ms {when} than the sound is played.")
    return sound.shifted(audio_shift)
