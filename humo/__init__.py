"""HuMo, compact: human-centric video from text, pictures and sound.

The public names are imported when they are first used: the world's renderers import this package in many
processes and need neither torch nor diffusers.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from humo.system.caches import settle_caches
from humo.system.imports import quick_imports

if TYPE_CHECKING:
    from humo.checkpoints import load as load
    from humo.focus import FaceMaskPredictor as FaceMaskPredictor
    from humo.pipeline import HuMoPipeline as HuMoPipeline
    from humo.requests.call import HuMoPipelineOutput as HuMoPipelineOutput
    from humo.sampling import StopGeneration as StopGeneration
    from humo.transformer import HuMoTransformer3DModel as HuMoTransformer3DModel

__all__ = [
    "FaceMaskPredictor",
    "HuMoPipeline",
    "HuMoPipelineOutput",
    "HuMoTransformer3DModel",
    "StopGeneration",
    "load",
]

_HOMES = {
    "FaceMaskPredictor": "focus",
    "HuMoPipeline": "pipeline",
    "HuMoPipelineOutput": "pipeline",
    "HuMoTransformer3DModel": "transformer",
    "StopGeneration": "sampling",
    "load": "checkpoints",
}

settle_caches()
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime, which speaks for hibari-tts, would tell its makers


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'humo' has no attribute {name!r}")
    with quick_imports():
        return getattr(import_module(f"humo.{_HOMES[name]}"), name)
