"""`python -m humo distill trajectories | student | publish | compare`: the fast form of mini."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from humo.system.command_line import check_folder
from humo.system.imports import require
from humo.system.threads import set_threads

distill = typer.Typer(
    no_args_is_help=True, help="Distil the mini model: one pass a step in place of up to four, and few steps."
)

Folder = Annotated[Path, typer.Option(help="Folder of the distillation.")]
Model = Annotated[str, typer.Option(help="The model with or without its fast form: mini or a folder.")]
Threads = Annotated[int, typer.Option(help="CPU threads.")]


@distill.command()
def trajectories(
    out: Folder = Path("runs/fast"),
    training: Annotated[Path, typer.Option(help="Folder of the model's training, with data and audio encoder.")] = Path(
        "runs/mini"
    ),
    preset: Model = "mini",
    batches: Annotated[int, typer.Option(help="Shards of trajectories in all.", min=1)] = 60,
    tokens: Annotated[int, typer.Option(help="Tokens of a batch; 1800 are 8 samples.", min=448)] = 1800,
    device: str = "cpu",
    threads: Threads = 2,
) -> None:
    """Sample the teacher's trajectories from noise to video, with guidance, and keep them; a killed run goes on."""
    check_folder(out, 1 << 30)
    import torch  # it takes seconds, and a wrong call is refused before

    from humo.checkpoints import load
    from humo.training.distillation.trajectories import TrajectorySettings, write_trajectories
    from humo.training.transformer.data import ClipData
    from humo.training.transformer.loop import load_audio_encoder

    set_threads(threads)
    pipe = load(preset, device=device, dtype=torch.float32)
    data = ClipData(training / "data", *load_audio_encoder(training), device)
    settings = TrajectorySettings(shift=pipe.scheduler.config.flow_shift, tokens=tokens)
    for index, path in enumerate(write_trajectories(pipe, data, out / "trajectories", batches, settings)):
        typer.echo(f"{index + 1}/{batches} {path.name}", err=True)


@distill.command()
def student(
    out: Folder = Path("runs/fast"),
    preset: Model = "mini",
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 600,
    rank: Annotated[int, typer.Option(help="Of the adapter.", min=1)] = 64,
    batch: Annotated[int, typer.Option(help="Samples a step, at 49 frames.", min=1)] = 8,
    begin: Annotated[
        Path | None, typer.Option(help="An earlier student to begin from: adapter.safetensors or averaged.safetensors.")
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Peak rate; a student from --begin loses less at a third of it.", min=1e-6)
    ] = 1.5e-3,
    save_every: int = 50,
    device: str = "cpu",
    threads: Threads = 2,
) -> None:
    """Teach the student the mean velocities along the trajectories; a killed run goes on where it last saved."""
    check_folder(out)
    import torch

    from humo.checkpoints import load
    from humo.training.distillation.loop import train_student
    from humo.training.distillation.training import DistillationSettings

    set_threads(threads)
    pipe = load(preset, device="cpu", dtype=torch.float32)
    settings = DistillationSettings(steps=steps, batch_size=batch, learning_rate=learning_rate)
    train_student(pipe, out, settings, rank, save_every, device, begin)


@distill.command()
def publish(
    out: Folder = Path("runs/fast"),
    model: Annotated[Path, typer.Option(help="Folder of the model, which gets the fast form.")] = Path(
        "assets/humo-mini"
    ),
    steps: Annotated[int, typer.Option(help="Steps that it makes by default.", min=1)] = 6,
) -> None:
    """Put the student beside the model it was distilled from; `humo.load(..., fast=True)` finds it there."""
    from humo.training.distillation.loop import publish_student

    typer.echo(str(publish_student(out, model, steps)))


@distill.command()
def compare(
    preset: Model = "mini",
    videos: Annotated[int, typer.Option(help="Held-out cases.", min=1)] = 8,
    threads: Threads = 2,
) -> None:
    """Set the fast form beside the exact one: the same cases, the same noise."""
    require("speech", "espeakng_loader")
    from humo.checkpoints import MINI, load
    from humo.evaluation.fast_form import compare_forms, describe_comparisons

    set_threads(threads)
    folder = MINI if preset == "mini" else Path(preset)
    typer.echo(describe_comparisons(compare_forms(load(preset), folder, videos)))
