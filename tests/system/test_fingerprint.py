"""Fingerprints: those that files of earlier runs hold still come out.

Run: python -m pytest tests/system/test_fingerprint.py
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import torch
from project import ROOT
from torch import nn

from humo import load
from humo.system.digests import digest_data, fingerprint_folder
from humo.system.fingerprint import (
    fingerprint,
    fingerprint_frozen,
    fingerprint_large_pipeline,
    fingerprint_pipeline,
)

MINI = ROOT / "assets" / "humo-mini"


def test_the_bundled_model_is_known_by_its_report_and_its_records() -> None:
    report = json.loads((MINI / "report.json").read_text())
    assert fingerprint_pipeline(load(str(MINI), dtype=torch.float32)) == report["settings"]["model"]
    records = list((ROOT / "assets" / "examples" / "generations").glob("*/record.json"))
    assert {json.loads(path.read_text())["fingerprint"] for path in records} == {fingerprint_folder(MINI)}


def _model(scale: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(40, 3), nn.Linear(3, 2)).requires_grad_(False)
    for number, weight in enumerate(model.parameters()):
        weight.copy_(scale * number + torch.arange(weight.numel()).reshape(weight.shape) / 8)
    return model


def test_values_of_earlier_runs_come_out_again() -> None:
    model = _model(0.25)
    pipe = SimpleNamespace(components={"b": model, "a": _model(0.5), "c": "a tokenizer"})
    assert fingerprint(model) == fingerprint(model.half().float()) == "cd9a434dc1"
    assert fingerprint_pipeline(pipe) == "f76f469b9c"
    assert fingerprint_large_pipeline(pipe) == "c1f34b8a7d"
    assert fingerprint_frozen(model) == 353406307
    arrays = [np.arange(6.0).reshape(2, 3), np.zeros((4, 2), np.uint8)[::2]]
    assert digest_data({"b": [1, "é"], "a": 2.5}, arrays).startswith("2123d7832d064d9e")


def test_what_learns_is_not_frozen() -> None:
    model = _model(0.25)
    model[1].requires_grad_(True)
    before = fingerprint_frozen(model)
    model[1].weight.data.add_(1)
    assert fingerprint_frozen(model) == before
    model[0].weight.data.add_(1)
    assert fingerprint_frozen(model) != before
