"""Bench folders: what to generate, one case a line, with its files beside it.

A bench folder holds `bench.jsonl` and the pictures and sounds that it names. Each line is one JSON object in UTF-8;
empty lines are left out:

    {"id": "cook-01", "mode": "TIA", "prompt": "a woman in a red shirt cooks", "references": ["pictures/anna.png"],
     "audio": "voices/anna.wav", "seed": 7, "size": [480, 832], "frames": 97,
     "questions": [{"ask": "Does she hold a spoon?", "answer": "yes"}]}

- id: names the video (`ID.mp4`): 1 to 80 letters, digits, ".", "_" or "-", the first one a letter or digit; unique,
  whatever the case of its letters.
- prompt: 1 to 2,000 characters.
- references: list of pictures, paths within the folder; needed in modes with I, refused in the others.
- audio: a sound, likewise; needed in modes with A, refused in the others.
- mode: T, TI, TA or TIA: what the model is shown besides the text.
- seed: 0 to 2**63 - 1; without it a number that follows from the id alone, so that inserting a line changes no other.
- size: [height, width] in pixels, multiples of 16; without it the model's own.
- frames: 4k+1 at 25 a second; without it as long as the sound, else the model's own length.
- questions: asked by VLM-QA, each with the right answer "yes" or "no".

The format is ours: the paper's test cases are not published, and MoCha's come in a layout of their own.
"""

from __future__ import annotations

import re
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humo.jobs.lines import LineError, parse_object
from humo.media import read_picture, read_sound
from humo.system.ranges import LARGEST_SEED, is_whole, short
from humo.timing import check_num_frames

BENCH = "bench.jsonl"
MODES = ("T", "TI", "TA", "TIA")
"""What the model is shown: text, and in some modes pictures (I) and a sound (A)."""
MAX_CASES = 10_000
MAX_PROMPT = 2_000
"""Characters."""
MAX_REFERENCES = 16
SIZE_MULTIPLE = 16
"""Pixels."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_KEYS = ("id", "prompt", "references", "audio", "mode", "seed", "size", "frames", "questions")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a video that can be answered with yes or no."""

    ask: str
    """The question."""
    answer: str
    """The right answer, "yes" or "no"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchCase:
    """One video to generate and to judge."""

    id: str
    """Names the video."""
    prompt: str
    """What is to be seen."""
    mode: str
    """One of `MODES`."""
    references: tuple[Path, ...] = ()
    """Pictures that exist."""
    audio: Path | None = None
    """A sound that exists."""
    seed: int = 0
    """Of the noise."""
    size: tuple[int, int] | None = None
    """Height and width in pixels; None for the model's own."""
    frames: int | None = None
    """4k+1; None for the sound's length, else the model's own."""
    questions: tuple[Question, ...] = field(default=())
    """For VLM-QA."""


def read_bench(folder: Path) -> list[BenchCase]:
    """Read and check a bench folder.

    Args:
        folder: with `bench.jsonl` in it.

    Returns:
        The cases in the order of the lines.

    Raises:
        ValueError: at the first line that breaks a rule above; the sentence names the line and what to do.
    """
    path = folder / BENCH
    if not path.is_file():
        raise ValueError(f"{folder.name or folder} has no {BENCH}: give a folder with one case a line in that file.")
    cases: list[BenchCase] = []
    taken: dict[str, int] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        where = f"{BENCH} line {number}"
        line = _decode(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, where)
        if not line:
            continue
        case = _read_case(_parse(line, where), folder, where)
        if (earlier := taken.setdefault(case.id.casefold(), number)) != number:
            raise ValueError(f"{where} has the id {case.id!r} of line {earlier}: give each case an id of its own.")
        cases.append(case)
        if len(cases) > MAX_CASES:
            raise ValueError(f"{where} is case {len(cases)}, at most {MAX_CASES} are allowed: split the bench.")
    if not cases:
        raise ValueError(f"{BENCH} has no case: write one JSON object a line.")
    return cases


def _decode(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not UTF-8: save the file as UTF-8 text.") from None


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        row = parse_object(line)
    except LineError as error:
        raise ValueError(f"{where} {error}") from None
    if unknown := [key for key in row if key not in _KEYS]:
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}: use {', '.join(_KEYS)}.")
    return row


def _read_case(row: dict[str, Any], folder: Path, where: str) -> BenchCase:
    name, mode, prompt = row.get("id"), row.get("mode"), row.get("prompt")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError(
            f"{where} has the id {short(name)}: give 1 to 80 letters, digits, '.', '_' or '-', no sign first."
        )
    if mode not in MODES:
        raise ValueError(f"{where} has the mode {short(mode)}: use {', '.join(MODES)}.")
    if not isinstance(prompt, str) or not 1 <= len(prompt.strip()) <= MAX_PROMPT:
        raise ValueError(f"{where} has no prompt of 1 to {MAX_PROMPT} characters: describe what is to be seen.")
    return BenchCase(
        id=name,
        prompt=prompt.strip(),
        mode=mode,
        references=_read_references(row, mode, folder, where),
        audio=_read_audio(row, mode, folder, where),
        seed=_whole(row, "seed", LARGEST_SEED, where, default=zlib.crc32(name.encode())),
        size=_read_size(row.get("size"), where),
        frames=_read_frames(row, where),
        questions=_read_questions(row.get("questions") or [], where),
    )


def _read_references(row: dict[str, Any], mode: str, folder: Path, where: str) -> tuple[Path, ...]:
    names = row.get("references") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{where} has references that are no list of paths: write ["picture.png"].')
    if bool(names) != ("I" in mode):
        raise ValueError(_mismatch(where, mode, "references", bool(names)))
    if len(names) > MAX_REFERENCES:
        raise ValueError(f"{where} has {len(names)} references, at most {MAX_REFERENCES} are allowed: take some out.")
    paths = tuple(_inside(name, folder, where) for name in names)
    for path in paths:
        _checked(read_picture, path, where)
    return paths


def _read_audio(row: dict[str, Any], mode: str, folder: Path, where: str) -> Path | None:
    name = row.get("audio")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{where} has an audio that is no path: write one in double quotes.")
    if bool(name) != ("A" in mode):
        raise ValueError(_mismatch(where, mode, "audio", bool(name)))
    if not name:
        return None
    path = _inside(name, folder, where)
    _checked(read_sound, path, where)
    return path


def _mismatch(where: str, mode: str, key: str, is_given: bool) -> str:
    if is_given:
        return f"{where} gives {key}, which mode {mode} does not show: take it out or change the mode."
    return f"{where} gives no {key}, which mode {mode} needs: add it or change the mode."


def _inside(name: str, folder: Path, where: str) -> Path:
    """The path of a file that lies within the folder, links followed."""
    try:
        path, root = (folder / name).resolve(), folder.resolve()
        is_inside, exists = path.is_relative_to(root), path.is_file()
    except (OSError, ValueError, RuntimeError):  # a zero byte, a name too long, a circle of links
        raise ValueError(f"{where} names {short(name)}, which no file can be called: correct the path.") from None
    if not is_inside:
        raise ValueError(f"{where} names {short(name)}, outside the bench folder: copy the file into it.")
    if not exists:
        raise ValueError(f"{where} names {short(name)}, which is not there: check the path or add the file.")
    return path


def _checked(read: Any, path: Path, where: str) -> None:
    try:
        read(path)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _whole(row: dict[str, Any], key: str, largest: int, where: str, default: int) -> int:
    value = row.get(key)
    if value is None:
        return default
    if not is_whole(value, 0, largest):
        raise ValueError(f"{where} has the {key} {short(value)}: give a whole number from 0 to {largest}.")
    return value


def _read_size(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = value if isinstance(value, list) else []
    if len(sides) != 2 or not all(is_whole(side, 1, sys.maxsize) and side % SIZE_MULTIPLE == 0 for side in sides):
        raise ValueError(f"{where} has the size {short(value)}: give [height, width] in multiples of {SIZE_MULTIPLE}.")
    return sides[0], sides[1]


def _read_frames(row: dict[str, Any], where: str) -> int | None:
    if row.get("frames") is None:
        return None
    frames = _whole(row, "frames", 100_000, where, default=1)
    check_num_frames(frames, f"{where}: frames")
    return frames


def _read_questions(row: Any, where: str) -> tuple[Question, ...]:
    wanted = f'{where} has questions that cannot be read: write [{{"ask": "...", "answer": "yes"}}].'
    if not isinstance(row, list):
        raise ValueError(wanted)
    questions = []
    for one in row:
        if not isinstance(one, dict) or set(one) != {"ask", "answer"} or not isinstance(one["ask"], str):
            raise ValueError(wanted)
        if one["answer"] not in ("yes", "no") or not one["ask"].strip():
            raise ValueError(wanted)
        questions.append(Question(one["ask"].strip(), one["answer"]))
    return tuple(questions)
