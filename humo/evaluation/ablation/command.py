"""`python -m humo ablate`: trains and measures what the paper compares, with spreads over seeds; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humo.system.command_line import check_folder
from humo.system.imports import require

if TYPE_CHECKING:
    from humo.evaluation.ablation.jobs import Job
    from humo.evaluation.ablation.record import Record


def ablate(
    out: Annotated[Path, typer.Option(help="Folder of the trainings and results.")] = Path("runs/ablation"),
    training: Annotated[Path, typer.Option(help="Folder of mini's training: the encoders and data.")] = Path(
        "runs/mini"
    ),
    seeds: Annotated[int, typer.Option(help="Seeds of each variant and rule.", min=1)] = 5,
    steps: Annotated[int, typer.Option(help="Training steps of a variant of sound and focus.", min=1)] = 300,
    text_steps: Annotated[int, typer.Option(help="Training steps of a variant of stages and order.", min=1)] = 400,
    start: Annotated[
        str, typer.Option(help="Trained model (a name or a folder) from which all begins, with parts of it anew.")
    ] = "mini",
    base_steps: Annotated[int, typer.Option(help="Training steps of the text-to-video start.", min=1)] = 300,
    variants: Annotated[str, typer.Option(help="Variants and rules with commas between them; empty: all.")] = "",
    videos: Annotated[int, typer.Option(help="Held-out cases of a seed, and as many with a listener.", min=2)] = 64,
    frames: Annotated[int, typer.Option(help="4k+1 frames at 25 a second.")] = 49,
    probes: Annotated[
        Path | None, typer.Option(help="Trained probes, or their cache; default: the bundled ones.")
    ] = None,
    device: str = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Threads of PyTorch in each process; default: cores / workers.", min=1)
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Trainings side by side; on a CPU as many as cores is fastest.", min=1)
    ] = 1,
    layers: int = 6,
    tokens: Annotated[int, typer.Option(help="Tokens a training step.", min=64)] = 3000,
) -> None:
    """Compare the paper's recipe with one change at a time, and time-adaptive guidance with constant ones."""
    from humo.evaluation.ablation.variants import RULES, VARIANTS

    known = [*VARIANTS, *RULES]
    wanted = [name.strip() for name in variants.split(",") if name.strip()] or known
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"variants names {unknown[0]!r}: use some of {', '.join(known)}.")
    require("speech", "espeakng_loader")
    check_folder(out)
    if not training.is_dir():
        raise ValueError(f"There is no folder {training}: run `python -m humo train start --out {training}` first.")
    import torch  # after the cheap checks, for it takes seconds

    from humo.checkpoints import load
    from humo.evaluation.ablation.jobs import JobContext, load_material, run_jobs
    from humo.evaluation.ablation.record import Record
    from humo.evaluation.ablation.results import write_results
    from humo.evaluation.ablation.running import AblationSettings, make_start
    from humo.evaluation.probes.training import get_probes
    from humo.system.fingerprint import fingerprint
    from humo.system.threads import set_threads, usable_cores

    if threads is None and workers > 1:
        threads = max(1, usable_cores() // workers)
    if threads is not None:
        set_threads(threads * workers)  # of the text-to-video start, which trains alone
    settings = AblationSettings(
        start=start, base_steps=base_steps, steps=steps, text_steps=text_steps, layers=layers, tokens=tokens
    )
    material = load_material(training)
    start_weights = fingerprint(load(start, dtype=torch.float32).transformer)
    record = Record.open(out, settings, videos, frames, len(material.data), get_probes(probes), device, start_weights)
    with record.clock():
        used = dict.fromkeys(VARIANTS[name].start for name in wanted if name in VARIANTS)
        starts = {name: make_start(name, material, out, settings, device) for name in used}
    context = JobContext(
        training=training, out=out, starts=starts, probes=probes, settings=settings, videos=videos, frames=frames,
        device=device, threads=threads,
    )  # fmt: skip
    for job, figures in record.timed(run_jobs(_missing_jobs(record, wanted, seeds), context, workers)):
        record.add(job.name, job.seed, figures)
        write_results(record.values, out)
    typer.echo(write_results(record.values, out).read_text())


def _missing_jobs(record: Record, names: list[str], seeds: int) -> list[Job]:
    """What is still to be done; everything of a seed first, so that a run that is broken off can be compared."""
    from humo.evaluation.ablation.jobs import Job

    return [Job(name, seed) for seed in range(seeds) for name in names if not record.has(name, seed)]
