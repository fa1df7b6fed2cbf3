"""The settings of a finished video, as its file and its record keep them: all that repeats it but the inputs.

They come back from files that anybody may have written, so an object of this class exists only if every value can
be used.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from humo.dubbing import MODE as DUBBED
from humo.guidance import PLACES, make_rule
from humo.loading.lora_files import WEIGHTS
from humo.portrait import Portrait
from humo.space.links.mp4_metadata import read_texts
from humo.system.ranges import LARGEST_SEED, MOST, SCALES, TIMESTEPS, check_number, is_whole, read_shift, short
from humo.timing import check_num_frames

MODES = ("T", "TI", "TA", "TIA")
"""Letters of the inputs: text, image, audio."""
MAX_TEXT = 2_000
"""Characters of a prompt, as the pipeline allows."""
MAX_NAME = 255
"""Characters of a model's name."""
MOST_LORAS = 8
"""Of one video."""
MAX_RULE_NAME = 20
"""Characters of a name in the guidance."""
_WHOLE = {
    "seed": (0, LARGEST_SEED),
    "num_inference_steps": (1, MOST["num_inference_steps"]),
    "num_frames": (1, MOST["num_frames"]),
    "num_images": (0, 16),
    "height": (16, MOST["height"]),
    "width": (16, MOST["width"]),
}
"""Lowest and highest value of each whole number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraTold:
    """A LoRA that a video was made with."""

    name: str
    """Of its file, without folder and ending."""
    weight: float = 1.0
    sha256: str = ""
    """Of its file; empty where it came from none."""

    def __post_init__(self) -> None:
        check_text("a LoRA's name", self.name, MAX_NAME)
        check_text("a LoRA's sha256", self.sha256, 64)
        check_number("a LoRA's weight", self.weight, *WEIGHTS)
        if "/" in self.name:
            raise ValueError("a LoRA's name is a path: it must be a name.")

    @classmethod
    def read(cls, plain: object) -> tuple[LoraTold, ...]:
        """Read those of a video from parsed JSON.

        Raises:
            ValueError: if they are no list of LoRAs.
        """
        if not isinstance(plain, list | tuple) or len(plain) > MOST_LORAS:
            raise ValueError(f"loras must be a list of at most {MOST_LORAS}.")
        known = {"name", "weight", "sha256"}
        if not all(isinstance(each, dict) and {"name"} <= each.keys() <= known for each in plain):
            raise ValueError("each of loras must be an object with a name, a weight and a sha256.")
        return tuple(cls(**each) for each in plain)


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownTold:
    """What was known of a video before it was made, without the frames themselves, which no settings hold."""

    overlap: int = 0
    """Frames of an earlier video that it goes on from; they count into `num_frames`. 0 for none."""
    first_frame: bool = False
    """Whether it begins with a picture that was given."""

    def __post_init__(self) -> None:
        _check_whole("known overlap", self.overlap, 0, MOST["num_frames"] - 1)
        if not isinstance(self.first_frame, bool):
            raise ValueError(f"known first_frame is {short(self.first_frame)}: it must be true or false.")

    @classmethod
    def read(cls, plain: object) -> KnownTold:
        """Read it from parsed JSON; how it was put to use is passed over.

        Raises:
            ValueError: if it is no object, or holds what cannot be.
        """
        if not isinstance(plain, dict):
            raise ValueError("known must be an object.")
        return cls(**{field.name: plain[field.name] for field in fields(cls) if field.name in plain})


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSettings:
    """What a video was made with; `humo.pipeline.HuMoPipelineOutput.settings`, checked."""

    mode: str
    """T, TI, TA or TIA."""
    prompt: str
    """1 to 2,000 characters."""
    negative_prompt: str
    """Up to 2,000 characters."""
    seed: int
    num_inference_steps: int
    num_frames: int
    """4k+1, at 25 a second."""
    num_images: int
    """Reference pictures; 0 where the mode has no I."""
    height: int
    """Pixels as generated, before any enlargement."""
    width: int
    """Pixels as generated."""
    guidance: dict[str, Any]
    """Rule and scales as `humo.guidance.make_rule` reads them."""
    model: str = ""
    """Name of the model's folder; empty in videos of versions that did not tell."""
    prompt_read: str = ""
    """What the model read in the place of the prompt (`humo.wording`); empty for the prompt itself."""
    portrait: Portrait | None = None
    """Who was drawn as the reference; None where a picture was shown as it is."""
    audio_shift: int = 0
    """Milliseconds by which the mouth moves later than the sound is played, earlier below 0."""
    loras: tuple[LoraTold, ...] = ()
    """LoRAs that were added."""
    known: KnownTold | None = None
    """What it goes on from or begins with; None for a video made from nothing but its inputs."""

    def __post_init__(self) -> None:
        _check_words(self)
        for name, (lowest, highest) in _WHOLE.items():
            _check_whole(name, getattr(self, name), lowest, highest)
        check_num_frames(self.num_frames)
        if self.known is not None and self.known.overlap >= self.num_frames:
            raise ValueError(f"known overlap is {self.known.overlap}, but num_frames {self.num_frames} must be more.")
        if ("I" in self.mode) != (self.num_images > 0):
            raise ValueError(f"mode {self.mode} and {self.num_images} pictures do not go together.")
        check_guidance(self.guidance)
        read_shift(self.audio_shift, "A" in self.mode)

    @classmethod
    def of_plain(cls, plain: object) -> VideoSettings:
        """Read them from parsed JSON; keys that this version does not know are passed over.

        Raises:
            ValueError: in one sentence, naming the first setting that is missing or cannot be used.
        """
        if not isinstance(plain, dict):
            raise ValueError("the settings are no JSON object.")
        for field in fields(cls):
            if field.name not in plain and field.default is MISSING:
                raise ValueError(f"the setting {field.name} is missing.")
        given = {field.name: plain[field.name] for field in fields(cls) if field.name in plain}
        if given.get("portrait") is not None:
            given["portrait"] = Portrait.of_plain(given["portrait"])
        if "loras" in given:
            given["loras"] = LoraTold.read(given["loras"])
        if given.get("known") is not None:
            given["known"] = KnownTold.read(given["known"])
        return cls(**given)


def read_settings(path: str | Path) -> VideoSettings:
    """Read what a video was made with from the file itself: `humo.media.write_video` wrote it into its description.

    Nothing is decoded, and no more than a few kilobytes are read, however large the file is.

    Args:
        path: an mp4 that the page, the command line or the library wrote.

    Returns:
        The settings, each within its bounds.

    Raises:
        ValueError: in one sentence, with the file's name and never its folder, if it is missing, no mp4, damaged, of
            other makers, or its settings cannot be used here, as those of a dub.
    """
    path = Path(path)
    try:
        description = read_texts(path).get("description")
    except OSError:
        raise ValueError(f"video {path.name} is not there any more or cannot be read: choose it again.") from None
    if description is None:
        raise ValueError(
            f"video {path.name} carries no settings: it was not made here, or a site on its way removed them."
        )
    try:
        plain = json.loads(description)
    except (ValueError, RecursionError):
        raise ValueError(f"video {path.name} was not made here: its description holds no settings of ours.") from None
    if isinstance(plain, dict) and plain.get("mode") == DUBBED:
        raise ValueError(
            f"video {path.name} is a clip that was dubbed, and its settings make no video without that clip: choose a "
            "video that was generated."
        )
    try:
        return VideoSettings.of_plain(plain)
    except ValueError as error:
        raise ValueError(f"video {path.name} has settings that cannot be used: {error}") from None


def check_guidance(guidance: object) -> None:
    """See that a rule given as plain data can be built and called.

    Raises:
        ValueError: if the rule is unknown, or a scale is no finite number within ±100 and no ramp.
    """
    if not isinstance(guidance, dict):
        raise ValueError("guidance is no JSON object.")
    check_text("guidance rule", guidance.get("rule"), MAX_RULE_NAME)
    make_rule({"rule": guidance["rule"]})  # every rule has scales of its own; an unknown one is named first
    for name, value in guidance.items():
        check_text("a name in guidance", name, MAX_RULE_NAME)
        _check_part(name, value)
    make_rule(guidance)


def _check_part(name: str, value: object) -> None:
    if name == "early":
        _check_early(value)
    elif name in PLACES:
        check_number(f"guidance {name}", value, *TIMESTEPS)
    elif name != "rule":
        _check_scale(f"guidance {name}", value)


def _check_early(value: object) -> None:
    if value is not None and (not isinstance(value, list) or len(value) != 3):
        raise ValueError("guidance early must be three scales, of text, picture and voice.")
    for scale in value or []:
        _check_scale("guidance early", scale)


def _check_scale(name: str, value: object) -> None:
    """A number, or a ramp: {"ramp": name, "early": number, "late": number}."""
    if not isinstance(value, dict):
        check_number(name, value, *SCALES)
        return
    for key, end in value.items():
        check_text("a name in guidance", key, MAX_RULE_NAME)
        if key == "ramp":
            check_text(f"{name} ramp", end, MAX_RULE_NAME)
        else:
            check_number(f"{name} {key}", end, *(TIMESTEPS if key in PLACES else SCALES))


def _check_whole(name: str, value: object, lowest: int, highest: int) -> None:
    if not is_whole(value, lowest, highest):
        raise ValueError(f"{name} is {short(value)}: it must be a whole number from {lowest} to {highest}.")


def _check_words(settings: VideoSettings) -> None:
    if settings.mode not in MODES:
        raise ValueError(f"mode is {short(settings.mode)}: it must be one of {', '.join(MODES)}.")
    check_text("prompt", settings.prompt, MAX_TEXT)
    check_text("prompt_read", settings.prompt_read, MAX_TEXT)
    check_text("negative_prompt", settings.negative_prompt, MAX_TEXT)
    check_text("model", settings.model, MAX_NAME)
    if not settings.prompt.strip():
        raise ValueError("prompt is empty.")
    if "/" in settings.model:
        raise ValueError("model is a path: it must be a name.")


def check_text(name: str, value: object, longest: int) -> None:
    """See that a value is text that can be written as UTF-8.

    Raises:
        ValueError: if it is not, or has more than `longest` characters.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} is {short(value)}: it must be text.")
    if len(value) > longest:
        raise ValueError(f"{name} has {len(value):,} characters: at most {longest:,} are allowed.")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{name} holds half a letter (a lone surrogate).")
