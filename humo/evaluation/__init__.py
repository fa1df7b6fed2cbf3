"""Evaluation: probes that read the world's people, held-out cases, figures and the report. Ours.

`python -m humo evaluate` runs all of it. May import both trainings and what they import; only benchmarks import it.
"""

from humo.evaluation.cases import Case, make_cases
from humo.evaluation.measure import EvaluationSettings, evaluate_pipeline
from humo.evaluation.probes.networks import Probes, ProbeSettings
from humo.evaluation.probes.training import get_probes

__all__ = [
    "Case",
    "EvaluationSettings",
    "ProbeSettings",
    "Probes",
    "evaluate_pipeline",
    "get_probes",
    "make_cases",
]
