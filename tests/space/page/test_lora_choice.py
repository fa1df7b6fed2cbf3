"""What can be chosen of the LoRAs that are offered, what a video brings back, and what its file may tell of them.

Run: python -m pytest tests/space/page/test_lora_choice.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import tiny
from loras import save_lora

from humo.space.links.settings import LoraTold
from humo.space.page.loras.view import LoraChoice, lora_choice
from humo.system.digests import digest_file


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    """A folder of one."""
    save_lora(tmp_path / "face.safetensors", tiny.pipeline("mini"))
    return tmp_path


def choice_of(folder: Path) -> LoraChoice:
    async def build() -> LoraChoice:
        with gr.Blocks(analytics_enabled=False):
            return lora_choice({path.stem: path for path in sorted(folder.iterdir())})

    return asyncio.run(build())


def test_only_what_is_offered_can_be_chosen(loras: Path) -> None:
    choice = choice_of(loras)
    (file,) = choice.chosen({choice.names: ["face"], choice.weight: 1})
    assert (file.path, file.weight) == (loras / "face.safetensors", 1.0)
    assert choice.chosen({choice.names: None, choice.weight: 1}) == ()
    for names, weight, words in (
        (["../face"], 1, "choose at most 8 of those that are offered"),
        (["face"] * 9, 1, "choose at most 8"),
        ("face", 1, "choose at most 8"),
        (["face"], 3, "the LoRAs' weight is 3"),
        (["face"], "much", "the LoRAs' weight"),
    ):
        values: dict[Any, Any] = {choice.names: names, choice.weight: weight}
        with pytest.raises(ValueError, match=words):
            choice.chosen(values)


def test_a_lora_that_is_not_here_or_another_of_its_name_is_missed(loras: Path) -> None:
    choice, digest = choice_of(loras), digest_file(loras / "face.safetensors")
    here, other = LoraTold(name="face", weight=0.5, sha256=digest), LoraTold(name="face", sha256="0" * 64)
    view, missing = choice.restored([here, LoraTold(name="gone")])
    assert (view[choice.names], view[choice.weight], missing) == (["face"], 0.5, ["gone"])
    assert choice.restored([other]) == ({choice.names: [], choice.weight: 1.0}, ["face"])


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ("face", "loras must be a list"),
        ([{}], "each of loras must be an object"),
        ([{"name": "../face"}], "is a path"),
        ([{"name": "face", "weight": 1e9}], "a LoRA's weight"),
        ([{"name": "face", "path": "/etc"}], "each of loras must be an object"),
        ([{"name": "face"}] * 9, "at most 8"),
    ],
)
def test_what_a_file_tells_of_loras_is_checked(plain: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LoraTold.read(plain)
