"""Evaluation: probes that read the world's people, held-out cases, figures and the report. Ours.

`python -m humo evaluate` runs all of it, and imports it only once nothing lacks. May import both trainings and what
they import; only benchmarks import it.
"""
