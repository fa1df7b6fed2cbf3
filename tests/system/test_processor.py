"""The processor. Run: python -m pytest tests/system/test_processor.py"""

from __future__ import annotations

import pytest
import torch

from humo.system.processor import has_bfloat16, processor_name


@pytest.mark.parametrize(("avx", "amx"), [(False, False), (True, False), (False, True)])
def test_bfloat16_is_for_processors_that_multiply_it(avx: bool, amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_bfloat16("cpu") is (avx or amx)
    assert has_bfloat16("cuda")


def test_the_processor_has_a_name() -> None:
    assert processor_name().strip()
