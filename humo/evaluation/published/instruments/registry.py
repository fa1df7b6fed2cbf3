"""The instruments by name: which there are, what they need, and loading one without importing the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humo.evaluation.published.instruments.metric import Metric

METRICS = {
    "AES": "humo.evaluation.published.instruments.aesthetics:Aesthetics",
    "IQA": "humo.evaluation.published.instruments.quality:ImageQuality",
    "ID-Cur": "humo.evaluation.published.instruments.identity:IdCur",
    "ID-Glink": "humo.evaluation.published.instruments.identity:IdGlink",
    "FaceSim-Arc": "humo.evaluation.published.instruments.identity:FaceSimArc",
    "CLIP-I": "humo.evaluation.published.instruments.similarity:ClipSimilarity",
    "DINO-I": "humo.evaluation.published.instruments.similarity:DinoSimilarity",
    "Sync-C": "humo.evaluation.published.instruments.sync:SyncConfidence",
    "Sync-D": "humo.evaluation.published.instruments.sync:SyncDistance",
    "TVA": "humo.evaluation.published.instruments.language:TextAlignment",
    "VLM-QA": "humo.evaluation.published.instruments.language:QuestionAnswering",
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
        named = f"{unknown[0]!r}" if unknown else "nothing"
        raise ValueError(f"metrics names {named}: use all, or some of {', '.join(METRICS)}.")
    return [name for name in METRICS if name.casefold() in wanted]
