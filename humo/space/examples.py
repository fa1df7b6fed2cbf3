"""The bundled examples: inputs that work at one click."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from humo.assets import EXAMPLES
from humo.space.jobs.request import MODES

FOLDER = EXAMPLES


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Inputs of one tab."""

    mode: str
    """Key of a `humo.space.jobs.request.Mode`."""
    title: str
    """A few words, for a button."""
    prompt: str
    image: Path | None
    audio: Path | None
    seed: int


def read_examples(folder: Path = FOLDER) -> list[Example]:
    """Read examples.json and see that every file it names is there.

    Raises:
        ValueError: in one sentence, if a mode is unknown or a file is missing.
    """
    examples = []
    for entry in json.loads((folder / "examples.json").read_text()):
        files = {key: folder / entry[key] if entry[key] else None for key in ("image", "audio")}
        example = Example(**{**entry, **files})
        if example.mode not in {mode.key for mode in MODES}:
            raise ValueError(f"example {example.title!r} has mode {example.mode!r}: use TI, TA or TIA.")
        for file in files.values():
            if file is not None and not file.is_file():
                raise ValueError(f"example {example.title!r} needs {file.name}, which is missing.")
        examples.append(example)
    return examples
