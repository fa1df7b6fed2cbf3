"""Example pictures and voices for the page: people of the test split, whom no training has seen.

The people are chosen by hand among the held-out combinations, and drawn directly at the size of the file rather than
enlarged. What they say comes from the test sentences' words. Settings are held out too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from humo.timing import SAMPLE_RATE
from humo.world.clips import ClipPlan, Voice, render_clip, speak_plan
from humo.world.people import Person, Setting, sample_person

SIZE = 256
"""Side of the pictures, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Portrait:
    """A person of the examples, with clothes in the picture and a sentence to say."""

    name: str
    """Of the files."""
    seed: int
    """Of the proportions and of the small turn of the head; 0 or more."""
    looks: dict[str, Any]
    """Attributes of `Person`."""
    setting: Setting
    """Of the picture."""
    sentence: str
    voice: Voice

    def plan(self) -> ClipPlan:
        """The portrait as a clip that can be drawn and spoken."""
        person: Person = replace(sample_person(np.random.default_rng(self.seed)), **self.looks)
        return ClipPlan(self.seed, person, self.setting, self.setting, self.sentence, self.voice, "none", held_out=True)


def _looks(*values: str) -> dict[str, str]:
    names = ("gender", "skin", "hair_style", "hair_colour", "glasses", "beard", "eye_colour")
    return dict(zip(names, values, strict=True))


PORTRAITS = (
    Portrait(
        name="woman",
        seed=4,
        looks=_looks("woman", "tan", "curly", "red", "round", "none", "green"),
        setting=Setting("dress", "white", "purple", "plain", "medium", "centre", "still"),
        sentence="nice to meet you, my goodness.",
        voice=Voice("en-gb-x-rp+f2", 150, 55, 60),
    ),
    Portrait(
        name="man",
        seed=11,
        looks=_looks("man", "dark", "short", "grey", "round", "beard", "brown"),
        setting=Setting("shirt", "blue", "orange", "plain", "medium", "centre", "still"),
        sentence="my goodness, a beam of light.",
        voice=Voice("en-us+m3", 128, 40, 55),
    ),
    Portrait(
        name="bluehair",
        seed=21,
        looks=_looks("woman", "brown", "long", "blue", "none", "none", "brown"),
        setting=Setting("t-shirt", "yellow", "red", "dots", "medium", "centre", "still"),
        sentence="open your mouth and say ah, far away.",
        voice=Voice("en-us+f4", 165, 60, 60),
    ),
    Portrait(
        name="spiky",
        seed=33,
        looks=_looks("man", "pale", "spiky", "blond", "none", "beard", "blue"),
        setting=Setting("hoodie", "black", "green", "stripes", "medium", "centre", "still"),
        sentence="a wise old owl imagined a bowl of soup.",
        voice=Voice("en-gb-x-rp+m4", 165, 50, 60),
    ),
)
"""The people; each gives a picture and a voice."""

# Tab, button, text, whose picture, whose voice, seed (chosen by eye among eight).
# Texts ask for other clothes than the pictures show.
_EXAMPLES = (
    ("TI", "She nods",
     "a woman with curly red hair and round glasses, in a green shirt, in front of a grey background, nods",
     "woman", None, 8),
    ("TI", "He shakes his head",
     "a man with a beard and glasses, in a red jumper, in front of a white wall, shakes the head",
     "man", None, 4),
    ("TI", "He sways",
     "a man with spiky blond hair, in a purple t-shirt, in front of a blue background, sways",
     "spiky", None, 8),
    ("TA", "Her voice",
     "a woman with long brown hair, in a red dress, in front of a blue background, talks",
     None, "woman", 6),
    ("TA", "His voice",
     "a bald man with a beard, in a yellow hoodie, in front of an orange wall, talks",
     None, "spiky", 6),
    ("TA", "Blond hair in a bun",
     "a woman with blond hair in a bun, in a pink jumper, in front of a green background, talks",
     None, "bluehair", 6),
    ("TIA", "She talks",
     "a woman with curly red hair and round glasses, in a green shirt, in front of a grey background, talks",
     "woman", "woman", 7),
    ("TIA", "He talks",
     "a man with a beard and glasses, in a red jumper, in front of a white wall, talks and nods",
     "man", "man", 8),
    ("TIA", "Blue hair",
     "a woman with long blue hair, in an orange dress, in front of a grey wall, is speaking",
     "bluehair", "bluehair", 3),
)  # fmt: skip


def draw_portrait(portrait: Portrait, size: int = SIZE) -> np.ndarray:
    """The person's picture, (size, size, 3) uint8."""
    plan = replace(portrait.plan(), sentence="")
    return render_clip(plan, num_frames=1, size=size).reference


def write_examples(folder: str | Path) -> list[Path]:
    """Writes the pictures (PNG), the voices (WAV, 16 kHz mono, 16 bits) and examples.json, which the page reads.

    Args:
        folder: an existing or a new folder; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        ValueError: if the folder's name belongs to a file, or espeakng-loader is missing.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder.name} is a file: give a folder for the examples.")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for portrait in PORTRAITS:
        picture, sound = folder / f"{portrait.name}.png", folder / f"{portrait.name}.wav"
        Image.fromarray(draw_portrait(portrait)).save(picture, optimize=True)
        soundfile.write(sound, speak_plan(portrait.plan()).waveform, SAMPLE_RATE, subtype="PCM_16")
        written += [picture, sound]
    written.append(folder / "examples.json")
    lines = [json.dumps(entry, ensure_ascii=False) for entry in _entries()]
    written[-1].write_text("[\n  " + ",\n  ".join(lines) + "\n]\n")
    return written


def _entries() -> list[dict[str, Any]]:
    return [
        {
            "mode": mode,
            "title": title,
            "prompt": prompt,
            "image": picture and f"{picture}.png",
            "audio": voice and f"{voice}.wav",
            "seed": seed,
        }
        for mode, title, prompt, picture, voice, seed in _EXAMPLES
    ]
