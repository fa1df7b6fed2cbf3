"""What a visitor asks for, as plain data: the same for the page and the command line.

A request knows neither tensors nor widgets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humo.guidance import make_rule
from humo.loading.lora_files import LoraFile
from humo.media import read_sound
from humo.timing import FPS, FRAMES_PER_LATENT, frames_for_sound, longest_by_sound, round_down

if TYPE_CHECKING:
    from humo.media import Sound
    from humo.pipeline import HuMoPipeline
    from humo.portrait import Portrait
    from humo.requests.call import Call
    from humo.requests.output import Earlier, HuMoPipelineOutput
    from humo.sampling import StepState


@dataclass(frozen=True)
class Mode:
    """Which inputs a tab of the page offers and needs."""

    key: str
    """Letters of the paper: text, image, audio."""
    title: str
    needs_image: bool
    needs_audio: bool

    def check(self, image: object | None, audio: object | None) -> None:
        """See that the mode's inputs are there.

        Raises:
            ValueError: naming the first one that is missing.
        """
        for is_needed, given, what in (
            (self.needs_image, image, "picture"),
            (self.needs_audio, audio, "voice"),
        ):
            if is_needed and given is None:
                raise ValueError(f"{self.title} needs a {what}, and none is given: add one or take an example.")


MODES = (
    Mode("TI", "Text + Image", needs_image=True, needs_audio=False),
    Mode("TA", "Text + Audio", needs_image=False, needs_audio=True),
    Mode("TIA", "Text + Image + Audio", needs_image=True, needs_audio=True),
)


LARGE_SIZES = ((480, 832), (832, 480), (480, 480), (720, 1280), (1280, 720))
"""Height and width offered where the model itself names none."""


@dataclass(frozen=True, slots=True)
class KeptVideo:
    """A video that was kept so that another one can go on from it (`humo.requests.kept`).

    Attributes:
        path: the file that holds it.
    """

    path: Path

    def read(self) -> Earlier:
        """Read it.

        Raises:
            ValueError: if it is gone.
        """
        from humo.requests.kept import read_kept

        return read_kept(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRequest:
    """One video to make."""

    prompt: str
    """Who is seen and what happens."""
    images: tuple[Path | Portrait, ...] = ()
    """Reference pictures, or who is to be drawn as one."""
    audio: Path | Sound | None = None
    """The sound, a file or already read; the video lasts as long as it."""
    num_frames: int | None = None
    """4k+1 frames at 25 a second; None for the sound's length or the model's own."""
    num_inference_steps: int | None = None
    """Denoising steps; None for the model's own number."""
    guidance: dict[str, Any] = field(default_factory=dict)
    """Rule and scales as `humo.guidance.make_rule` reads them; empty for the model's own."""
    seed: int | None = None
    """None draws one; the output tells which."""
    negative_prompt: str | None = None
    """What shall not be seen; None for the model's own."""
    height: int | None = None
    """Pixels; None for the model's own."""
    width: int | None = None
    """Pixels; None for the model's own."""
    is_fast: bool = False
    """Whether the model's fast form makes it (`humo.loading.fast_form`)."""
    as_is: bool = False
    """Whether a model of drawn people sees a photograph as it is (`humo.portrait`)."""
    audio_shift: int = 0
    """Milliseconds by which the mouth moves later than the sound is played, earlier below 0."""
    continue_from: Path | KeptVideo | HuMoPipelineOutput | None = None
    """What it goes on from (`humo.requests.continuing`)."""
    overlap: int | None = None
    """Frames of that which are known; None for the usual number."""
    first_frame: Path | None = None
    """A picture that is its first frame."""
    loras: tuple[LoraFile, ...] = ()
    """LoRAs that count for this video alone."""

    def check_form(self) -> None:
        """Refuse a LoRA for the fast form.

        Raises:
            ValueError: if there is one.
        """
        if self.is_fast and self.loras:
            raise ValueError("a quick look takes no LoRA: press Generate, or choose none.")

    def made_by(self, pipe: HuMoPipeline) -> HuMoPipeline:
        """The form of the model that makes it.

        Raises:
            ValueError: if the model has no fast form and that is asked for, or a LoRA with it.
        """
        self.check_form()
        form = pipe.fast_form if self.is_fast else pipe
        if form is None:
            raise ValueError("this model has no fast form: ask for full quality.")
        return form

    @contextmanager
    def forming(self, pipe: HuMoPipeline) -> Iterator[HuMoPipeline]:
        """The form of the model that makes it, with its LoRAs for as long as the block lasts.

        Raises:
            ValueError: as of `made_by`, or if a LoRA cannot be read or does not fit.
        """
        form = self.made_by(pipe)
        if not self.loras:
            yield form
            return
        from humo.loading.loras import with_loras

        with with_loras(form, self.loras):
            yield form

    def run(self, pipe: HuMoPipeline, on_step: Callable[[StepState], None] | None = None) -> HuMoPipelineOutput:
        """Make the video.

        Raises:
            ValueError: in one sentence, if any part of the request is not possible.
        """
        with self.forming(pipe) as form:
            return form(**self._arguments(), on_step=on_step)

    def read(self, pipe: HuMoPipeline) -> Call:
        """Read and check it, without making anything.

        Args:
            pipe: the form of the model that `made_by` tells.

        Raises:
            ValueError: as of `run`.
        """
        from humo.requests.call import read_call

        return read_call(pipe, **self._arguments())

    @property
    def num_known(self) -> int:
        """Frames of what it goes on from that are known: they count into `num_frames` and are not shown again."""
        if self.continue_from is None:
            return 0
        from humo.requests.continuing import OVERLAP  # with PyTorch, which the page's start does not wait for

        return OVERLAP if self.overlap is None else self.overlap

    @property
    def start_sigma(self) -> float:
        """Noise level at which it begins, 0 to 1: below that of noise where it begins with known frames."""
        if self.continue_from is None and self.first_frame is None:
            return 1.0
        from humo.requests.continuing import START_SIGMA  # as above

        return START_SIGMA

    @property
    def batch_key(self) -> Hashable:
        """Equal for requests whose videos have the same shape and can be made together.

        Raises:
            ValueError: if the sound, whose length counts, cannot be read.
        """
        length = self.num_frames
        if length is None and self.audio is not None:
            length = frames_of(read_sound(self.audio))
        numbers = (self.num_inference_steps, self.height, self.width, len(self.images), self.audio is not None)
        known = (self.continue_from is not None, self.overlap, self.first_frame is not None)
        return self.is_fast, length, *numbers, *known, json.dumps(self.guidance, sort_keys=True)

    def _arguments(self) -> dict[str, Any]:
        """Of the pipeline's call."""
        earlier = self.continue_from
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "image": list(self.images) or None,
            "audio": self.audio,
            "num_frames": self.num_frames,
            "height": self.height,
            "width": self.width,
            "num_inference_steps": self.num_inference_steps,
            "guidance": self.guidance or None,
            "seed": self.seed,
            "as_is": self.as_is,
            "audio_shift": self.audio_shift,
            "continue_from": earlier.read() if isinstance(earlier, KeptVideo) else earlier,
            "overlap": self.overlap,
            "first_frame": self.first_frame,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What a pipeline recommends; known before its weights are loaded."""

    guidance: dict[str, Any]
    """{"rule": name, its arguments}."""
    num_inference_steps: int
    num_frames: int
    max_frames: int | None
    """Longest video in frames, None for no limit."""
    size: tuple[int, int]
    """Height and width in pixels."""
    sizes: tuple[tuple[int, int], ...]
    """Those to choose from, the model's own first."""
    trained_frames: int | None
    """Longer videos are made of overlapping windows of this many frames; None for no limit."""
    shift: float
    """Of the schedule of noise."""
    rewords_prompts: bool = False
    """Whether texts are put into the words that the model knows (`humo.wording`)."""
    draws_people: bool = False
    """Whether the model knows drawn people only, so that photographs are drawn first."""
    max_references: int | None = None
    """Most reference pictures, None for no limit."""

    @classmethod
    def of_config(cls, config: Mapping[str, Any], shift: float) -> Defaults:
        """Read them from a pipeline's config (`pipe.config`, or the saved model_index.json) and its scheduler's."""
        size = config["default_height"], config["default_width"]
        allowed = config.get("supported_sizes") or LARGE_SIZES
        return cls(
            guidance=dict(config["default_guidance"]),
            num_inference_steps=config["default_num_inference_steps"],
            num_frames=config["default_num_frames"],
            max_frames=config.get("max_frames"),
            max_references=config.get("max_references"),
            draws_people=config.get("draws_photographs", False),
            rewords_prompts=config.get("rewords_prompts", False),
            size=size,
            sizes=(size, *(tuple(each) for each in allowed if tuple(each) != size)),
            trained_frames=config.get("max_trained_frames"),
            shift=shift,
        )

    @classmethod
    def of_pipeline(cls, pipe: HuMoPipeline) -> Defaults:
        """Read them from a pipeline that is loaded."""
        solver = pipe.scheduler.config  # UniPC calls it flow_shift; the fast form's Euler, shift
        return cls.of_config(pipe.config, solver["flow_shift"] if "flow_shift" in solver else solver["shift"])

    @classmethod
    def of_folder(cls, folder: Path) -> Defaults:
        """Read them from a saved pipeline.

        Raises:
            ValueError: if the folder holds no pipeline of ours.
        """
        try:
            config = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
            scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
            return cls.of_config(config, scheduler["flow_shift"])
        except (OSError, KeyError, ValueError):
            raise ValueError(
                f"{folder.name} holds no HuMo pipeline: its configuration is missing or incomplete."
            ) from None

    @property
    def longest_by_sound(self) -> int | None:
        """Frames at which a sound is cut, None for never; as `humo.requests.checks.choose_num_frames` decides."""
        return longest_by_sound(self.max_frames, self.trained_frames)

    def size_choices(self) -> list[tuple[str, str]]:
        """Label and name of every size, for a menu."""
        shapes = ("square" if h == w else "wide" if w > h else "upright" for h, w in self.sizes)
        return [(f"{w} × {h}, {shape}", f"{w}x{h}") for (h, w), shape in zip(self.sizes, shapes, strict=True)]

    def read_size(self, name: str | None) -> tuple[int, int]:
        """Height and width of a name from `size_choices`; None for the model's own.

        Raises:
            ValueError: if the name is none of them.
        """
        names = {f"{w}x{h}": (h, w) for h, w in self.sizes}
        if name is not None and name not in names:
            raise ValueError(f"The size is {str(name)[:20]!r}: use {', '.join(names)}.")
        return self.size if name is None else names[name]

    def with_rule(self, name: str | None) -> Defaults:
        """The same with another rule of `humo.guidance` and that rule's scales; None keeps the model's own."""
        is_own = name is None or name == self.guidance["rule"]
        return self if is_own else replace(self, guidance={"rule": name})

    def scale(self, name: str) -> float | None:
        """A scale ("text", "image", "audio") or timestep ("switch", "until") that can be set.

        None if the rule has none, it is not a number, or it is a switch between scales that are the same.
        """
        rule = make_rule(self.guidance)
        if name == "switch" and getattr(rule, "early", ()) is None:
            return None
        value = getattr(rule, name, None)
        return value if isinstance(value, int | float) else None

    def with_scales(self, **scales: float | None) -> dict[str, Any]:
        """The guidance with other scales; those that are None or not in the rule stay as they are."""
        known = {name: value for name, value in scales.items() if self.scale(name) is not None}
        chosen = {**self.guidance, **{name: value for name, value in known.items() if value is not None}}
        if not chosen.get("until") and "until" not in self.guidance:  # 0 is what its absence means
            chosen.pop("until", None)
        return chosen


def frames_of(sound: Sound, longest: int | None = None) -> int:
    """Frames of the video for a sound, 4k+1, at most `longest`; as `humo.requests.checks.choose_num_frames`."""
    return frames_for_sound(len(sound.original), sound.rate, longest)


def frames_for(seconds: float, longest: int | None = None) -> int:
    """The nearest allowed number of frames, 4k+1, for a length in seconds; at least 5, at most `longest`."""
    quarters = max(1, round((seconds * FPS - 1) / FRAMES_PER_LATENT))
    nearest = 1 + quarters * FRAMES_PER_LATENT
    return nearest if longest is None else min(nearest, round_down(longest))
