"""A video as it is asked for, read and checked before anything is computed, and as it comes back. Ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image

from humo.guidance import Rule, describe_rule, read_rule
from humo.known import Known
from humo.layers.context_parallel import draw_seed
from humo.media import Sound, read_picture, read_sound, write_video
from humo.media.clips import to_moviepy
from humo.media.loudness import level_sound
from humo.requests.checks import Request, check_request, choose_num_frames, fit_sound, make_request

if TYPE_CHECKING:
    from moviepy import VideoClip

    from humo.portrait import Portrait

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
        known: what stays as it is, batch size 1; None for nothing.
    """

    request: Request
    rule: Rule
    pictures: list[Image.Image]
    heard: np.ndarray | None
    played: tuple[np.ndarray, int] | None
    notes: list[str]
    portrait: Portrait | None = None
    prompt_read: str | None = None
    known: Known | None = None

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
        return {**asdict(self.request), "mode": self.mode, "guidance": describe_rule(self.rule), **portrait, **read}

    @property
    def shape(self) -> dict[str, Any]:
        """What must be the same in calls that are made together: all but texts, seed, and what is seen and heard."""
        own = ("prompt", "negative_prompt", "seed", "portrait", "prompt_read")
        resampling = None if self.known is None else self.known.resampling
        return {name: value for name, value in self.settings.items() if name not in own} | {"resampling": resampling}


@dataclass
class HuMoPipelineOutput:
    """A generated video.

    Attributes:
        frames: RGB, uint8 (f, height, width, 3).
        fps: frames a second, 25.
        audio: the given sound at its own rate, cut or padded to the video: (float32 (samples, channels), Hz);
            None without sound.
        seed: what repeats the video with the same inputs.
        settings: all that was asked, as plain data.
        masks: probability of the face, float32 (latent frames, rows, columns) on the focus head's grid; None
            unless asked for.
        notes: what was decided for the caller, in sentences.
    """

    frames: np.ndarray
    fps: int
    audio: tuple[np.ndarray, int] | None
    seed: int
    settings: dict[str, Any]
    masks: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    def save(self, path: str | Path, scale: int = 1) -> Path:
        """Write an mp4 with the sound and, in its metadata, the settings.

        Args:
            path: the file to write, ending in .mp4.
            scale: whole number by which the pictures are enlarged.

        Returns:
            The path.
        """
        return write_video(path, self.frames, self.fps, self.audio, self.settings, scale)

    def to_moviepy(self) -> VideoClip:
        """The video as a clip of moviepy, an extra; see `humo.media.clips`."""
        return to_moviepy(self.frames, self.fps, self.audio)


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
) -> Call:
    """Read and check what a call of the pipeline asks for; arguments as of `HuMoPipeline.__call__`.

    Returns:
        What `HuMoPipeline.generate_batch` takes.

    Raises:
        ValueError: if an input is not allowed; the sentence says what to do.
    """
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
    check_request(request, config, pipe.size_multiple)
    if negative_prompt and pipe.transformer.config.guidance_embeds:
        notes.append("The fast model does not read the negative prompt.")
    (request,), prompts = read_texts(config, [request], notes, not pipe.transformer.config.guidance_embeds)
    pictures, (read,), portrait = read_references(config, image, prompts, notes, as_is)
    sound = None if audio is None else hear_sound(audio, config, notes)
    if num_frames is None:
        request = replace(request, num_frames=choose_num_frames(sound, config, notes))
    heard, played = (None, None) if sound is None else fit_sound(sound, request.num_frames, notes)
    return Call(request, rule, pictures, heard, played, notes, portrait, None if read == prompt else read)


def hear_sound(audio: Any, config: Any, notes: list[str]) -> Sound:
    """Read a sound, as the model of a config hears it.

    Args:
        audio: as of `humo.media.read_sound`.
        config: of the pipeline.
        notes: told what was decided.

    Raises:
        ValueError: if it cannot be read.
    """
    sound = read_sound(audio)
    notes += sound.notes
    return level_sound(sound, config.heard_level, notes)
