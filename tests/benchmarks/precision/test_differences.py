"""What narrower numbers change: nothing where they are the same, little where they are not, and where a pass goes.

Run: python -m pytest tests/benchmarks/precision/test_differences.py
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import tiny
import torch

from humo.__main__ import main
from humo.benchmarks.precision.differences import (
    Difference,
    describe_differences,
    load_forms,
    measure_differences,
    plain_numbers,
)
from humo.benchmarks.precision.profile import KINDS, REST, describe_profiles, kind_of, profile_forms
from humo.evaluation.metrics import psnr
from humo.pipeline import HuMoPipeline

OWN = {"rule": "constant", "text": 2.0, "image": 2.0, "audio": 2.0}


@pytest.fixture(scope="module")
def pair() -> tuple[HuMoPipeline, HuMoPipeline]:
    """A model in bfloat16, and the same weights in float32, both with a fast form."""
    exact = tiny.pipeline("mini", default_guidance=OWN, max_trained_frames=9)
    exact.transformer.to(torch.bfloat16).to(torch.float32)
    narrow = copy.copy(exact)
    narrow.transformer = copy.deepcopy(exact.transformer).to(torch.bfloat16)
    for pipe in (narrow, exact):
        pipe.fast_form = copy.copy(pipe)
    return narrow, exact


def test_rounding_is_seen_in_frames_and_latents(pair: tuple[HuMoPipeline, HuMoPipeline]) -> None:
    found = measure_differences(*pair, num_clips=2, num_frames=9, modes=("TI", "TA"))
    assert [(each.form, each.mode) for each in found] == [
        *(("exact", "TI"), ("exact", "TA")),
        *(("fast", "TI"), ("fast", "TA")),
    ]
    for each in found:
        assert len(each.frames) == len(each.latents) == 2
        assert all(30 < value < 80 for value in each.latents) and all(value > 30 for value in each.frames)


def test_the_same_numbers_are_not_compared(pair: tuple[HuMoPipeline, HuMoPipeline]) -> None:
    with pytest.raises(ValueError, match="Both models compute in float32"):
        measure_differences(pair[1], pair[1])


def test_the_ratio_is_that_of_the_peak_to_the_error() -> None:
    assert psnr(1.0, 10.0) == pytest.approx(20) and psnr(0.01, 255) == pytest.approx(68.13, abs=0.01)
    assert psnr(0.0, 255) == math.inf


def test_the_table_has_the_lowest_and_the_median() -> None:
    found = [Difference("exact", "TI", (50.0, 46.0, 49.0), (60.0, 61.0, math.inf))]
    assert describe_differences(found).splitlines()[-1] == "| exact | TI | 3 | 46.0 | 49.0 | 60.0 | 61.0 |"
    assert json.loads(json.dumps(plain_numbers(found)))[0]["latents"] == [60.0, 61.0, None]


def test_a_pass_is_shared_among_the_kinds_of_operators(pair: tuple[HuMoPipeline, HuMoPipeline]) -> None:
    profiles = profile_forms(pair)
    names = ["exact, bfloat16", "fast, bfloat16", "exact, float32", "fast, float32"]
    assert [each.name for each in profiles] == names
    for each in profiles:
        assert list(each.shares) == [*KINDS, REST] and sum(each.shares.values()) == pytest.approx(1)
        assert each.seconds > 0 and all(0 < share < 1 for share in each.shares.values())
    table = describe_profiles(profiles)
    assert "| model | a step, ms | matrix products | attention |" in table and table.count("\n") == 5


def test_operators_have_kinds() -> None:
    told = {"aten::addmm": "matrix products", "aten::mul_": "norms, modulation, activations", "aten::copy_": "copies"}
    assert {name: kind_of(name) for name in told} == told
    assert kind_of("aten::_scaled_dot_product_flash_attention_for_cpu") == "attention"
    assert kind_of("aten::view") is None and kind_of("mm") is None


def test_a_fast_form_is_loaded_where_there_is_one(tmp_path: Path) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path)
    assert load_forms(str(tmp_path), torch.bfloat16).fast_form is None
    pipe = load_forms("mini", torch.bfloat16)
    assert pipe.fast_form is not None and pipe.fast_form.transformer.dtype == torch.bfloat16


def test_a_processor_without_narrower_numbers_is_told_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("humo.loading.memory.has_bfloat16", lambda device: False)
    assert main(["benchmark", "--preset", "nowhere", "--compare", "float32"]) == 2
    assert "does not multiply in hardware: run it on one that does" in capsys.readouterr().err
