"""One job of the comparison: a variant or a rule with a seed; several jobs may run side by side. Ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import torch

from humo.checkpoints import load
from humo.evaluation.ablation.measuring import EvaluationSet, make_evaluation_set, measure, measure_rule, second_sync
from humo.evaluation.ablation.running import AblationSettings, Material, load_variant, read_looks, train_variant
from humo.evaluation.ablation.variants import APPEARS, VARIANTS, Start, is_asked
from humo.evaluation.probes.training import get_probes
from humo.pipeline import HuMoPipeline
from humo.system.processes import follow_parent
from humo.training.transformer.loop import SIZE

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """What all jobs share, as names and numbers that another process can be sent."""

    training: Path
    """Folder of mini's training."""
    out: Path
    """Folder of the trainings."""
    starts: dict[Start, Path]
    """Weights to begin from, by name."""
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
    """A variant to be trained and measured, or a rule to be measured on the trained model; and a seed."""

    name: str
    seed: int


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
    """Trains a variant with a seed, or goes on with it, and measures it; a rule is measured on the trained model."""
    if context.threads is not None:
        torch.set_num_threads(context.threads)
    evaluation_set = _bench(context.probes, context.videos, job.seed, context.frames)
    if job.name not in VARIANTS:
        return measure_rule(_trained(context.settings.start, context.device), job.name, evaluation_set)
    material, variant, settings = load_material(context.training), VARIANTS[job.name], context.settings
    look = partial(second_sync, material, variant, evaluation_set) if is_asked(job.name, "sync_after") else None
    start = context.starts[variant.start]
    weights = train_variant(material, start, variant, job.seed, context.out, settings, context.device, look)
    model = load_variant(material, weights, settings).to(context.device)
    figures = measure(material, model, variant, evaluation_set)
    if look is not None:
        steps = settings.steps_from(variant.start)
        seen = {step / steps: value for step, value in read_looks(weights).items()}
        figures["sync_after"] = round(first_reach({**seen, 1.0: figures.get("sync_second", 0.0)}, APPEARS), 4)
    return figures


def first_reach(seen: Mapping[float, float], level: float) -> float:
    """The share of the steps after which a figure is at a level, in straight lines between where it was seen.

    Args:
        seen: figure by share, 0..1; at the beginning, 0, there is none of it.
        level: above 0.

    Returns:
        0..1; 1 if it is never seen there.
    """
    before, was = 0.0, 0.0
    for share, value in sorted(seen.items()):
        if value >= level:
            return before + (share - before) * (level - was) / (value - was)
        before, was = share, value
    return 1.0


@lru_cache(maxsize=1)
def load_material(training: Path) -> Material:
    """The material of a training, read once in a process: its clips fill memory."""
    return Material(training)


@lru_cache(maxsize=1)
def _trained(start: str, device: str) -> HuMoPipeline:
    return load(start, device=device)


@lru_cache(maxsize=1)
def _bench(probes: Path | None, videos: int, seed: int, frames: int) -> EvaluationSet:
    return make_evaluation_set(get_probes(probes), videos, seed, frames, SIZE)
