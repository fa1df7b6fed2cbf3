"""Fingerprints of models, so that what was made by one model is never taken for another's."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn


def fingerprint(model: nn.Module) -> str:
    """Ten letters from every weight of a model, whatever its dtype or device."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:10]


def fingerprint_pipeline(pipe: Any) -> str:
    """Ten letters from every component with weights."""
    models = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    told = "".join(f"{name}{fingerprint(part)}" for name, part in sorted(models.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:10]
