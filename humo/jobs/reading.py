"""A line of a list becomes a job: its fields are read, and all that needs no model is checked. Ours.

- id: names the video, `ID.mp4`: 1 to 80 letters, digits, ".", "_" or "-", the first one a letter or digit; without it
  `video-0003` from the line's number.
- prompt, negative_prompt: texts.
- image, images, references: pictures; a list, or in a table with | between them.
- audio, first_frame, continue_from: files.
- frames or seconds, steps, seed, height and width or size, overlap, shift, enlarge: numbers. Without a seed it follows
  from the id alone, so that inserting a line changes no other video.
- guidance: a rule's name, or a rule as plain data; text_scale, image_scale, audio_scale, switch, until.
- as_is: true or false.
- mode, questions: of a bench; the first is checked, the second is left to it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humo.guidance import PLACES, RULES, make_rule
from humo.jobs.lines import Line, LineError
from humo.media import read_picture, read_sound
from humo.space.jobs.request import VideoRequest, frames_for
from humo.system.ranges import (
    MAX_PROMPT_LENGTH,
    SCALES,
    TIMESTEPS,
    check_number,
    check_seed,
    read_shift,
    read_whole,
    short,
)
from humo.timing import FPS, check_num_frames

WHOLE = ("frames", "steps", "seed", "height", "width", "overlap", "shift", "enlarge")
NUMBERS = ("seconds", "text_scale", "image_scale", "audio_scale", *PLACES)
TEXTS = ("id", "prompt", "negative_prompt", "mode")
FILES = ("audio", "first_frame", "continue_from")
PICTURES = ("image", "images", "references")
FIELDS = (*TEXTS, *PICTURES, *FILES, *WHOLE, *NUMBERS, "size", "guidance", "as_is", "questions")
"""What a line may say."""
INSTEAD = {"size": ("height", "width"), "seconds": ("frames",), **dict.fromkeys(PICTURES, PICTURES)}
"""Options in whose place a line's field stands, besides that of its own name."""
NAMES = {"steps": "num_inference_steps", "frames": "num_frames"}
"""As the pipeline calls a number."""
LONGEST = 600.0
"""Seconds of a video."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoJob:
    """One video of a list.

    Attributes:
        line: its number.
        id: names the video.
        request: what is asked for, without guidance.
        rule: of guidance: a name, a rule as plain data, or None for the model's own.
        scales: in the rule, by "text", "image", "audio", "switch" and "until".
        enlarge: whole number by which the pictures are enlarged.
    """

    line: int
    id: str
    request: VideoRequest
    rule: str | dict[str, Any] | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    enlarge: int = 1


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of which no video can be made.

    Attributes:
        line: its number.
        id: as it gives it; "" if it gives none.
        error: a sentence.
    """

    line: int
    id: str
    error: str


class Reader:
    """Reads lines; each file is looked at once.

    Args:
        folder: from which files are named.
        options: fields that the command gives, for lines that do not; paths as they are.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self._folder, self._options = folder, options
        self._seen: dict[tuple[str, Path], str] = {}
        self._taken: dict[str, int] = {}

    def read(self, lines: list[Line]) -> Iterator[VideoJob | BadLine]:
        """Read all lines; what is wrong with one is told in a sentence and keeps no other from being read."""
        for line in lines:
            try:
                if line.fields is None:
                    raise LineError(line.error)
                yield self._read(line.number, line.fields)
            except ValueError as error:
                own = (line.fields or {}).get("id", "")
                told = error if isinstance(error, LineError) else f"cannot be made: {error}"
                yield BadLine(line.number, own if isinstance(own, str) else "", f"Line {line.number} {told}")

    def _read(self, number: int, fields: Mapping[str, Any]) -> VideoJob:
        if unknown := [name for name in fields if name not in FIELDS]:
            raise LineError(f"has the unknown field {unknown[0]!r}: use {', '.join(FIELDS)}.")
        own = {name: value for name, value in fields.items() if value is not None}
        taken = {other for name in own for other in INSTEAD.get(name, ())}
        options = {name: value for name, value in self._options.items() if name not in taken}
        told = {**options, **{name: _value(name, value) for name, value in own.items()}}
        name = self._name(told.get("id"), number)
        for each in FILES:
            told[each] = self._file(each, told.get(each), each in own)
        images = tuple(self._pictures(told, own))
        _check_mode(told.get("mode"), bool(images), told["audio"] is not None)
        rule, scales = _guidance(told)
        request = VideoRequest(
            prompt=_prompt(told.get("prompt")),
            images=images,
            audio=told["audio"],
            seed=told.get("seed", zlib.crc32(name.encode())),
            negative_prompt=told.get("negative_prompt"),
            as_is=told.get("as_is", False),
            audio_shift=read_shift(told.get("shift", 0), told["audio"] is not None),
            continue_from=told["continue_from"],
            first_frame=told["first_frame"],
            overlap=told.get("overlap"),
            **_sizes(told),
        )
        return VideoJob(line=number, id=name, request=request, rule=rule, scales=scales, enlarge=told.get("enlarge", 1))

    def _name(self, name: str | None, number: int) -> str:
        name = f"video-{number:04d}" if name is None else name
        if not _ID.fullmatch(name):
            raise LineError(f"has the id {short(name)}: give 1 to 80 letters, digits, '.', '_' or '-', no sign first.")
        if (earlier := self._taken.setdefault(name.casefold(), number)) != number:
            raise LineError(f"has the id {name!r} of line {earlier}: give each video an id of its own.")
        return name

    def _pictures(self, told: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Path]:
        for each in PICTURES:
            for path in told.get(each) or ():
                found = self._file("image", path, each in own)
                if found is not None:
                    yield found

    def _file(self, what: str, given: Any, is_own: bool) -> Path | None:
        """A file that is there and holds what it should."""
        if given is None:
            return None
        path = self._folder / given if is_own else Path(given)
        if not path.is_file():
            raise LineError(f"names the file {short(str(given))}, which does not exist: check the path.")
        read = {"audio": read_sound, "continue_from": None}.get(what, read_picture)
        if read is not None and (what, path) not in self._seen:
            try:
                read(path)
                self._seen[what, path] = ""
            except ValueError as error:
                self._seen[what, path] = str(error)
        if wrong := self._seen.get((what, path), ""):
            raise ValueError(wrong)
        return path


def _value(name: str, value: Any) -> Any:
    """A field as its kind; of a table as text."""
    if name in TEXTS:
        return _text(name, value)
    if name in PICTURES:
        listed = value.split("|") if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) and each.strip() for each in listed):
            raise LineError(f'has {name} {short(value)}: give a path, or a list of them such as ["me.png"].')
        return [each.strip() for each in listed]
    if name in FILES:
        return _text(name, value)
    if name in WHOLE:
        return _whole(name, value)
    if name in NUMBERS:
        return _number(name, value)
    if name == "as_is":
        return _truth(name, value)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise LineError(f"has {name} {short(value)}: give text in double quotes.")
    return value.strip()


def _whole(name: str, value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value):
        value = int(value)
    value = read_whole(NAMES.get(name, name), value)
    if name == "seed":
        check_seed(value)
    elif name != "shift" and value < 1:
        raise LineError(f"has {name} {value}: give a whole number from 1 on.")
    if name == "frames":
        check_num_frames(value, "frames")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value.replace(",", ".", 1))
        except ValueError:
            raise LineError(f"has {name} {short(value)}: give a number.") from None
    limits = TIMESTEPS if name in PLACES else (1 / FPS, LONGEST) if name == "seconds" else SCALES
    check_number(name, value, *limits)
    return float(value)


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    if not isinstance(value, bool):
        raise LineError(f"has {name} {short(value)}: give true or false.")
    return value


def _prompt(text: str | None) -> str:
    if not text:
        raise LineError("has no prompt: describe in a few words who and what is to be seen.")
    if len(text) > MAX_PROMPT_LENGTH:
        raise LineError(f"has a prompt of {len(text):,} characters: give at most {MAX_PROMPT_LENGTH:,}.")
    return text


def _sizes(told: Mapping[str, Any]) -> dict[str, Any]:
    """Frames, steps, height and width as a request has them."""
    if "frames" in told and "seconds" in told:
        raise LineError("gives frames and seconds: leave one of them out.")
    frames = frames_for(told["seconds"]) if "seconds" in told else told.get("frames")
    height, width = told.get("height"), told.get("width")
    if "size" in told:
        size = told["size"]
        if isinstance(size, str):
            size = [int(side) for side in re.findall(r"\d+", size[:40])]
        if not isinstance(size, list) or len(size) != 2 or height or width:
            raise LineError(f"has size {short(told['size'])}: give [height, width], and neither of them besides.")
        height, width = (_whole(name, side) for name, side in zip(("height", "width"), size, strict=True))
    return {"num_frames": frames, "num_inference_steps": told.get("steps"), "height": height, "width": width}


def _guidance(told: Mapping[str, Any]) -> tuple[str | dict[str, Any] | None, dict[str, float]]:
    rule = told.get("guidance")
    if isinstance(rule, str) and rule.lstrip().startswith("{"):
        try:
            rule = json.loads(rule)
        except ValueError:
            raise LineError(f"has guidance {short(rule)}, which is no JSON: give a rule or its name.") from None
    if isinstance(rule, dict):
        make_rule(rule)
    elif rule is not None and rule not in RULES:
        raise LineError(f"has guidance {short(rule)}: give one of {', '.join(RULES)}.")
    names = ("text", "image", "audio")
    scales = {name: told[f"{name}_scale"] for name in names if f"{name}_scale" in told}
    return rule, scales | {name: told[name] for name in PLACES if name in told}


def _check_mode(mode: str | None, has_images: bool, has_audio: bool) -> None:
    """A bench says what the model is shown."""
    shown = "T" + "I" * has_images + "A" * has_audio
    if mode is not None and mode != shown:
        raise LineError(f"says mode {short(mode)} and gives what {shown} shows: change one of them.")
