"""Muon for many matrices at once, in float32 where processors only emulate bfloat16."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import torch

from humo.training.transformer.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 24), (1, 16, 16)])
def test_singular_values_are_about_one(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape), (3.4445, -4.775, 2.0315), 5, 1e-7))
    assert values.min() > 0.4 and values.max() < 1.4


@pytest.mark.parametrize("adjusted", ["match_rms_adamw", "original", None])
@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("together", [2**20, 1])
def test_steps_are_pytorchs_within_bfloat16(
    monkeypatch: pytest.MonkeyPatch, is_fast: bool, together: int, adjusted: str | None
) -> None:
    """Wide, tall and square ones, several of a shape, one that does not learn; taken together or one by one."""
    monkeypatch.setattr("humo.training.transformer.muon.has_bfloat16", lambda device: is_fast)
    monkeypatch.setattr("humo.training.transformer.muon._TOGETHER", together)
    torch.manual_seed(0)
    shapes = [(12, 20), (20, 12), (12, 20), (16, 16), (12, 20)]
    firsts = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    seconds = [torch.nn.Parameter(first.detach().clone()) for first in firsts]
    begins = [first.detach().clone() for first in firsts]
    options = {"lr": 0.01, "weight_decay": 0.01, "adjust_lr_fn": adjusted}
    ours, theirs = Muon(firsts, **options), torch.optim.Muon(seconds, **options)
    for _ in range(3):
        for first, second in zip(firsts[:-1], seconds[:-1], strict=True):
            first.grad = torch.randn_like(first)
            second.grad = first.grad.clone()
        ours.step()
        theirs.step()
    for first, second, begin in zip(firsts[:-1], seconds[:-1], begins[:-1], strict=True):
        moved = (second - begin).norm()
        assert (first - second).norm() < 0.02 * moved and moved > 0.05
    assert torch.equal(firsts[-1], begins[-1])
    assert ours.state_dict()["state"][0].keys() == theirs.state_dict()["state"][0].keys(), "either goes on with both"


def test_a_pytorch_without_muon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    monkeypatch.delitem(sys.modules, "humo.training.transformer.muon")
    with pytest.raises(ValueError, match=r"has no Muon.*use 2\.9 or newer"):
        import_module("humo.training.transformer.muon")
