"""The processor. Run: python -m pytest tests/system/test_processor.py"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import tiny
import torch

from humo.loading.memory import default_dtype
from humo.system.processor import has_bfloat16, processor_name


@pytest.mark.parametrize(("avx", "amx"), [(False, False), (True, False), (False, True)])
def test_bfloat16_is_for_processors_that_multiply_it(avx: bool, amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert has_bfloat16("cpu") is (avx or amx)


@pytest.mark.parametrize(
    ("capability", "hip", "is_fast"), [(7, None, False), (8, None, True), (9, None, True), (7, "6.2", True)]
)
def test_bfloat16_is_for_graphics_cards_that_multiply_it(
    capability: int, hip: str | None, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"is_available": True, "current_device": 0}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=capability))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.version, "hip", hip)
    assert has_bfloat16("cuda") is has_bfloat16("cuda:1") is is_fast
    assert default_dtype() == default_dtype(torch.device("cuda", 1)) == (torch.bfloat16 if is_fast else torch.float16)


def test_without_a_card_none_multiplies_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_bfloat16("cuda")


def test_the_processor_has_a_name() -> None:
    assert processor_name().strip()


def test_in_float16_the_video_is_nearer_than_in_bfloat16() -> None:
    """What can be shown of cards without bfloat16 on a CPU."""
    frames = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        pipe = tiny.pipeline("17B")
        for part in (pipe.transformer, pipe.text_encoder):
            part.to(dtype)
        given = {"image": tiny.picture(), "audio": tiny.voice(0.36), "num_frames": 9, "seed": 1}
        frames[dtype] = pipe("a woman talks", **given).frames.astype(int)
    wide, half, brain = (frames[dtype] for dtype in (torch.float32, torch.float16, torch.bfloat16))
    assert 0 < abs(half - wide).mean() < abs(brain - wide).mean()
