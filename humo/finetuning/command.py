"""`python -m humo finetune`: the paper's two stages on real backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from humo.system.command_line import check_folder
from humo.system.imports import require

_DEFAULTS = "Any further setting, as name=value; repeatable. humo/finetuning/settings.py has them all, with sources."


def finetune(
    stage: Annotated[int, typer.Option(help="1 subject preservation, 2 audio-visual sync.")],
    begin: Annotated[
        str, typer.Option("--from", help="Wan2.1 (diffusers' layout), a HuMo folder, 1.7B, 17B, or a stage's --out.")
    ],
    data: Annotated[Path, typer.Option(help="Folder that `python -m humo prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; if it holds a state, the training goes on.")],
    steps: Annotated[int, typer.Option(help="Steps of the stage; 40,000 in the paper.")] = 40_000,
    batch_size: Annotated[int, typer.Option(help="Clips of one process at once.")] = 1,
    accumulation: Annotated[int, typer.Option(help="Batches whose gradients make one step.")] = 1,
    lora_rank: Annotated[int, typer.Option(help="Rank of LoRA on the self-attention; 0 trains it whole.")] = 0,
    mixed_precision: Annotated[str, typer.Option(help="bf16 or no.")] = "bf16",
    seed: int = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help=_DEFAULTS)] = None,
    vae: Annotated[Path | None, typer.Option(help="Folder of the video codec, where --from lacks one.")] = None,
    stop_at: Annotated[int | None, typer.Option(help="Stop after this step; the same command goes on.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Compute on the CPU although there is a GPU.")] = False,
) -> None:
    """Trains one stage of the paper's recipe; under `accelerate launch` on several GPUs, with DDP or FSDP2."""
    require("the log of a training", "tensorboard")
    check_folder(out)
    from humo.finetuning.dataset.loader import PreparedDataset
    from humo.finetuning.loop import Finetuning
    from humo.finetuning.processes import make_accelerator
    from humo.finetuning.settings import FinetuneSettings, with_changes
    from humo.finetuning.source import find_source

    begun = FinetuneSettings(
        stage=stage,
        steps=steps,
        batch_size=batch_size,
        accumulation=accumulation,
        lora_rank=lora_rank,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    chosen = with_changes(begun, settings or ())
    source = find_source(begin, vae)
    prepared = PreparedDataset(data)
    accelerator = make_accelerator(chosen, out, cpu)
    training = Finetuning(chosen, source, prepared, out, accelerator)
    if accelerator.is_main_process:
        learn = f"{training.num_learned / 1e6:,.1f} of {training.num_parameters / 1e6:,.1f} million weights learn"
        held = f"weights, gradients, moments and averages take {training.held_bytes / 1e9:.1f} GB of each process"
        where = f"Stage {stage} on {accelerator.num_processes} x {accelerator.device.type}"
        typer.echo(f"{where}: {learn}; {held}, activations come on top.", err=True)
    training.run(stop_at)
    if accelerator.is_main_process and training.step == chosen.steps:
        typer.echo(str(out))
