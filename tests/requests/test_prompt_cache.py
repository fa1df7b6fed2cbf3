"""Features of prompts on disk, and a text encoder that leaves memory.

Run: python -m pytest tests/requests/test_prompt_cache.py
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from humo.loading.memory import Plan, apply_plan
from humo.pipeline import HuMoPipeline
from humo.requests.prompt_cache import PromptCache, release_text_encoder
from humo.system.fingerprint import fingerprint_text_encoder


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the features of prompts."""
    monkeypatch.setattr(PromptCache.__init__, "__defaults__", (tmp_path / "prompts", 8))
    return tmp_path / "prompts"


def test_prompt_is_encoded_once(mini_pipeline: HuMoPipeline, cache_folder: Path):
    cache, calls = PromptCache("a"), []

    def encode() -> torch.Tensor:
        calls.append(1)
        return mini_pipeline.encode_prompt("a woman talks")

    with torch.no_grad():
        first = cache.features("a woman talks", 12, encode)
        again = cache.features("a woman talks", 12, encode)
        assert len(calls) == 1 and torch.equal(first, again)
        PromptCache("b").features("a woman talks", 12, encode)
        cache.features("a man talks", 12, encode)
        assert len(calls) == 3, "another encoder, another text"
    assert len(list(cache_folder.iterdir())) == 3, "and nothing else is left"


def test_cache_is_bounded_and_survives_damage(cache_folder: Path):
    cache = PromptCache("a", max_files=2)
    features = {text: torch.full((1, 4, 3), float(index + 1)) for index, text in enumerate("abc")}
    for text in "abac":  # b is the one longest unused when c comes
        cache.features(text, 4, lambda text=text: features[text])
    assert [cache.path(text, 4).exists() for text in "abc"] == [True, False, True]
    cache.path("a", 4).write_bytes(b"damaged")
    assert torch.equal(cache.features("a", 4, lambda: features["a"]), features["a"])
    assert torch.equal(cache.features("a", 4, lambda: pytest.fail("not encoded again")), features["a"])
    with pytest.raises(ValueError, match="max_files"):
        PromptCache("a", max_files=0)


def test_a_folder_that_cannot_be_written_stops_nothing(cache_folder: Path, caplog: pytest.LogCaptureFixture):
    cache_folder.write_text("a file, where the folder should be")
    cache, features = PromptCache("a"), torch.ones(1, 4, 3)
    for text in "abb":
        assert cache.features(text, 4, lambda: features) is features
    assert cache.num_unwritten == 3
    assert [each.getMessage().partition(" (")[0] for each in caplog.records] == [
        f"Features of prompts cannot be kept in {cache_folder}"
    ], "once"


def test_a_file_that_cannot_be_read_is_none(cache_folder: Path):
    cache, features = PromptCache("a"), torch.ones(1, 4, 3)
    cache.path("a", 4).mkdir(parents=True)
    assert cache.features("a", 4, lambda: features) is features


def test_a_text_encoder_whose_features_are_not_kept_stays(cache_folder: Path):
    cache_folder.write_text("a file, where the folder should be")
    pipe = apply_plan(tiny.pipeline("mini"), "cpu", Plan(cache_prompts=True))
    with pytest.raises(ValueError, match="so the text encoder stays: make room there"):
        release_text_encoder(pipe, ["a woman talks"])
    assert pipe.text_encoder is not None


def test_empty_text_keeps_its_zeros(cache_folder: Path):
    zeros = torch.zeros(1, 4, 3)
    PromptCache("a").features("", 4, lambda: zeros)
    assert torch.equal(PromptCache("a").features("", 4, lambda: pytest.fail("not encoded again")), zeros)


def test_fingerprint_tells_encoders_apart():
    first, second = tiny.text_encoder(), tiny.text_encoder()
    assert fingerprint_text_encoder(first) != fingerprint_text_encoder(second), "other weights"
    second.load_state_dict(first.state_dict())
    assert fingerprint_text_encoder(first) == fingerprint_text_encoder(second)
    assert fingerprint_text_encoder(first) != fingerprint_text_encoder(second.to(torch.bfloat16))


def make_video(pipe: HuMoPipeline) -> np.ndarray:
    return pipe(prompt="a woman talks", seed=3, num_inference_steps=2, audio=tiny.voice(0.36)).frames


@pytest.mark.slow
def test_text_encoder_can_leave_memory():
    expected = make_video(tiny.pipeline("mini"))
    pipe = tiny.pipeline("mini")
    with pytest.raises(ValueError, match="no prompt cache"):
        release_text_encoder(pipe, ["a woman talks"])
    apply_plan(pipe, "cpu", Plan(cache_prompts=True))
    release_text_encoder(pipe, ["a woman talks"])
    assert pipe.text_encoder is None
    assert np.array_equal(make_video(pipe), expected)
    with pytest.raises(ValueError, match="text encoder was released"):
        pipe(prompt="a man nods")
    release_text_encoder(pipe, ["a woman talks"])  # a second time: nothing is left to do


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    [
        Plan(cache_prompts=True),
        Plan(model_offload=True, cache_prompts=True),
        Plan(offload_encoders=True, offload_blocks=True, cache_prompts=True),
    ],
    ids=lambda plan: plan.describe(),
)
def test_released_text_encoder_is_held_by_nothing(plan: Plan):
    pipe = apply_plan(tiny.pipeline("mini"), "cpu", plan)
    expected = make_video(pipe)  # hooks are in use
    held = [weakref.ref(pipe.text_encoder), *map(weakref.ref, pipe.text_encoder.parameters())]
    release_text_encoder(pipe, ["a woman talks"])
    assert [each() for each in held] == [None] * len(held)
    assert np.array_equal(make_video(pipe), expected), "the hooks of the other components still work"
    assert bool(getattr(pipe, "_all_hooks", [])) is plan.model_offload


# --- several processes with one folder


def test_file_that_vanishes_while_the_folder_is_tidied(cache_folder: Path):
    cache = PromptCache("a", max_files=1)
    cache_folder.mkdir()
    (cache_folder / "gone.safetensors").symlink_to("nowhere")  # listed, and not there when it is looked at
    for text in "ab":
        cache.features(text, 4, lambda: torch.ones(1, 4, 3))
    assert [cache.path(text, 4).exists() for text in "ab"] == [False, True]


def test_two_that_delete_each_others_files_do_not_fail(cache_folder: Path):
    wrong: list[object] = []

    def work(number: int) -> None:
        cache, features = PromptCache(f"encoder {number}", max_files=1), torch.full((1, 4, 3), float(number))
        try:
            for _ in range(150):
                for _ in range(2):  # once from the encoder, once, with luck, from the disk
                    if not torch.equal(cache.features("a woman talks", 4, lambda: features), features):
                        wrong.append(f"{number} got another's features")
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list(cache_folder.iterdir())) <= 3
