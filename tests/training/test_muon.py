"""Muon in float32, for processors that only emulate bfloat16."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import torch

from humo.training.transformer.muon import Muon, orthogonal

OPTIONS = {"lr": 0.01, "weight_decay": 0.01, "adjust_lr_fn": "match_rms_adamw"}


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_singular_values_are_about_one(shape: tuple[int, int]) -> None:
    found = orthogonal(torch.randn(shape), (3.4445, -4.775, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.4 and values.max() < 1.4


def test_steps_are_pytorchs_within_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humo.training.transformer.muon.has_bfloat16", lambda device: False)
    torch.manual_seed(0)
    first = torch.nn.Parameter(torch.randn(12, 20))
    second = torch.nn.Parameter(first.detach().clone())
    ours, theirs = Muon([first], **OPTIONS), torch.optim.Muon([second], **OPTIONS)
    begin = first.detach().clone()
    for _ in range(3):
        first.grad = torch.randn_like(first)
        second.grad = first.grad.clone()
        ours.step()
        theirs.step()
    moved = (second - begin).norm()
    assert (first - second).norm() < 0.02 * moved and moved > 0.05
    assert ours.state_dict()["state"][0].keys() == theirs.state_dict()["state"][0].keys(), "either goes on with both"


def test_where_bfloat16_is_fast_it_is_pytorchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humo.training.transformer.muon.has_bfloat16", lambda device: True)
    first = torch.nn.Parameter(torch.randn(12, 20))
    second = torch.nn.Parameter(first.detach().clone())
    first.grad = torch.randn_like(first)
    second.grad = first.grad.clone()
    Muon([first], **OPTIONS).step()
    torch.optim.Muon([second], **OPTIONS).step()
    assert torch.equal(first, second)


def test_a_pytorch_without_muon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.optim._muon", None)
    monkeypatch.delitem(sys.modules, "humo.training.transformer.muon")
    with pytest.raises(ValueError, match=r"has no Muon.*use 2\.9 to 2\.13"):
        import_module("humo.training.transformer.muon")
