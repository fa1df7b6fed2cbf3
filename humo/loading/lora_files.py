"""LoRAs as somebody chooses them: a file and how strongly it counts; and what a few-step one asks for. Needs no torch.

A few-step LoRA was distilled so that a handful of steps are enough, without guidance by text. Which it is, only names
say, of the file and in its header. The voice still needs its guidance, for which such a LoRA was not made: so the scale
of sound stays, and a step takes two passes. Ours; the numbers of steps are those of the LoRAs' own descriptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from humo.system.ranges import check_number

WEIGHTS = (-10.0, 10.0)
"""Lowest and highest weight of a LoRA; most are made for 1."""
SUFFIX = ".safetensors"
LORAS = "HUMO_LORAS"
"""Variable that names the folder of those that visitors of the page may choose."""
FEW_STEP_GUIDANCE = {"rule": "constant", "text": 1.0, "image": 1.0, "audio": 3.0}
"""Guidance by sound alone: two passes a step."""
_STEPS_OF = (
    (r"light(x2v|ning)|self.?forcing|turbo", 4),
    (r"causvid|accvid|fusion.?x|step.?distill|cfg.?distill|lcm", 8),
)
"""What names of few-step LoRAs hold, and how many steps those take."""
_SAID = re.compile(r"(?<![\d.])(\d{1,2})[-_ ]?steps?(?![a-z])")
"""Steps in a name, as in "4steps" or "8-step"."""
_MOST_STEPS = 16
"""A name with more steps tells how long it was trained, or for how many it was not made."""
_TITLES = ("ss_output_name", "modelspec.title", "modelspec.description", "name", "title")
"""Where trainers write a name into the file's header."""
_LONGEST_HEADER = 1 << 24
"""Bytes of a header that is read for a name."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA to be added.

    Attributes:
        path: of the file.
        weight: with which it counts, -10 to 10; 1 as it was made.
    """

    path: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_number(f"The weight of the LoRA {self.path.name}", self.weight, *WEIGHTS)


@dataclass(frozen=True, slots=True)
class FewStep:
    """What a few-step LoRA asks for.

    Attributes:
        name: of the LoRA.
        num_inference_steps: denoising steps.
    """

    name: str
    num_inference_steps: int

    @property
    def sentence(self) -> str:
        """What it is."""
        return (
            f"{self.name} looks like a few-step LoRA: {self.num_inference_steps} steps are enough, without guidance by "
            "text, and the voice keeps its own in two passes a step"
        )

    @property
    def options(self) -> str:
        """The settings as options of the command line."""
        scales = " ".join(f"--{name}-scale {FEW_STEP_GUIDANCE[name]:g}" for name in ("text", "image", "audio"))
        return f"--steps {self.num_inference_steps} --guidance {FEW_STEP_GUIDANCE['rule']} {scales}"


def parse_lora(text: str) -> LoraFile:
    """Read a choice as the command line has it: "file.safetensors" or "file.safetensors:0.8".

    A colon in the path is part of it where nothing but a number follows none.

    Raises:
        ValueError: if the weight is no number that a LoRA can have.
    """
    before, colon, after = text.rpartition(":")
    if not colon or not before or Path(text).is_file():
        return LoraFile(Path(text))
    try:
        return LoraFile(Path(before), float(after))
    except ValueError as error:
        if Path(before).suffix and "/" not in after:  # a weight was meant
            told = str(error) if "weight" in str(error) else f"The weight of the LoRA {Path(before).name} is {after!r}"
            raise ValueError(f"{told.rstrip('.')}: give FILE or FILE:WEIGHT, as in {Path(before).name}:0.8.") from None
        return LoraFile(Path(text))


def find_few_step(paths: Iterable[Path]) -> FewStep | None:
    """The first few-step LoRA among files; None if none looks like one.

    Args:
        paths: of safetensors files, or others, of which the name alone is looked at.
    """
    for path in paths:
        words = f"{path.stem} {_told_in_header(path)}".lower()
        said = [steps for steps in map(int, _SAID.findall(words)) if 1 <= steps <= _MOST_STEPS]
        usual = next((steps for names, steps in _STEPS_OF if re.search(names, words)), None)
        if said or usual is not None:
            return FewStep(path.stem, said[0] if said else int(usual or 0))
    return None


def list_loras(folder: Path) -> dict[str, Path]:
    """The LoRAs in a folder by name, in the order of their names.

    Raises:
        ValueError: if it is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{LORAS} is {folder.name!r}, which is no folder: name one that holds {SUFFIX} files.")
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}")) if path.is_file()}


def _told_in_header(path: Path) -> str:
    """The names that a safetensors file has in its header; empty where it has none or cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            told = json.loads(file.read(length)).get("__metadata__", {}) if 0 < length <= _LONGEST_HEADER else {}
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return " ".join(str(told[name]) for name in _TITLES if name in told) if isinstance(told, dict) else ""
