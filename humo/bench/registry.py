"""The instruments by name: which there are, what they need, and loading one without importing the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humo.bench.metric import Metric

METRICS = {
    "AES": "humo.bench.aesthetics:Aesthetics",
    "IQA": "humo.bench.quality:ImageQuality",
    "ID-Cur": "humo.bench.identity:IdCur",
    "ID-Glink": "humo.bench.identity:IdGlink",
    "FaceSim-Arc": "humo.bench.identity:FaceSimArc",
    "CLIP-I": "humo.bench.similarity:ClipSimilarity",
    "DINO-I": "humo.bench.similarity:DinoSimilarity",
    "Sync-C": "humo.bench.sync:SyncConfidence",
    "Sync-D": "humo.bench.sync:SyncDistance",
    "TVA": "humo.bench.language:TextAlignment",
    "VLM-QA": "humo.bench.language:QuestionAnswering",
}
"""Name: module:class, families together and in the order of the paper's tables."""


def metric_class(name: str) -> type[Metric]:
    """The class of a metric."""
    module, cls = METRICS[name].split(":")
    return getattr(import_module(module), cls)


def read_names(text: str) -> list[str]:
    """Names from a command line.

    Args:
        text: "all", or names with commas between them, in any case.

    Returns:
        Names of `METRICS` in its order.

    Raises:
        ValueError: if one is unknown.
    """
    known = {name.casefold(): name for name in METRICS}
    asked = [part.strip().casefold() for part in text.split(",") if part.strip()]
    wanted = list(known) if asked == ["all"] else asked
    unknown = [part for part in wanted if part not in known]
    if unknown or not wanted:
        told = f"{unknown[0]!r}" if unknown else "nothing"
        raise ValueError(f"metrics names {told}: use all, or some of {', '.join(METRICS)}.")
    return [name for name in METRICS if name.casefold() in wanted]
