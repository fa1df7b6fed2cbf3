"""One job of the comparison: a variant with a seed, trained and measured; several jobs may run side by side. Ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch

from humo.evaluation.ablation.measuring import EvaluationSet, make_evaluation_set, measure
from humo.evaluation.ablation.running import AblationSettings, Material, load_variant, train_variant
from humo.evaluation.ablation.variants import RULES, VARIANTS
from humo.evaluation.probes.training import get_probes
from humo.system.processes import follow_parent
from humo.training.transformer.loop import SIZE

_MASK_CLIPS = 16
Figures = dict[str, dict[str, float]]
"""What was measured, by rule of guidance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """What all jobs share, as names and numbers that another process can be sent."""

    training: Path
    """Folder of mini's training."""
    out: Path
    """Folder of the trainings."""
    base: Path
    """Weights of the common start."""
    probes: Path | None
    """Folder of the trained probes, or their cache; None for the bundled ones."""
    settings: AblationSettings
    """How much is trained."""
    videos: int
    """Held-out cases of a seed."""
    frames: int
    """Frames of each."""
    device: str
    """The processor: "cpu" or "cuda"."""
    threads: int | None
    """Threads of PyTorch in each process; None: its own choice."""


@dataclass(frozen=True, slots=True)
class Job:
    """A variant and a seed, and the rules of guidance with which it is still to be measured."""

    name: str
    seed: int
    rules: tuple[str, ...]


def run_jobs(jobs: Sequence[Job], context: JobContext, workers: int) -> Iterator[tuple[Job, Figures]]:
    """Runs jobs and yields each as it ends.

    Args:
        jobs: in the order in which they begin.
        context: what they share.
        workers: processes; with one, all run in this process.

    Raises:
        Exception: of the first job that failed, after those that ran beside it.
    """
    if workers == 1:
        for job in jobs:
            yield job, run_job(job, context)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), follow_parent) as pool:
        running = {pool.submit(run_job, job, context): job for job in jobs}
        failed = None
        for done in as_completed(running):
            if done.cancelled():
                continue
            if error := done.exception():  # what runs already may end, the rest need not begin
                failed = failed or error
                for other in running:
                    other.cancel()
            else:
                yield running[done], done.result()
    if failed is not None:
        raise failed


def run_job(job: Job, context: JobContext) -> Figures:
    """Trains a variant with a seed, or goes on with it, and measures it with its rules."""
    if context.threads is not None:
        torch.set_num_threads(context.threads)
    material, variant, settings = load_material(context.training), VARIANTS[job.name], context.settings
    weights = train_variant(material, context.base, variant, job.seed, context.out, settings, context.device)
    model = load_variant(material, weights, settings).to(context.device)
    evaluation_set = _bench(context.probes, context.videos, job.seed, context.frames)
    masks = {rule: _MASK_CLIPS if rule == "adaptive" else 0 for rule in job.rules}  # guidance does not change them
    return {
        rule: measure(material, model, variant, RULES[rule], evaluation_set, count) for rule, count in masks.items()
    }


@lru_cache(maxsize=1)
def load_material(training: Path) -> Material:
    """The material of a training, read once in a process: its clips fill memory."""
    return Material(training)


@lru_cache(maxsize=1)
def _bench(probes: Path | None, videos: int, seed: int, frames: int) -> EvaluationSet:
    return make_evaluation_set(get_probes(probes), videos, seed, frames, SIZE)
