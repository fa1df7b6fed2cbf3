"""`python -m humo ablate`: trains and measures what the paper compares, with spreads over seeds; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from humo.ablation.measuring import Bench
    from humo.ablation.record import Record
    from humo.ablation.running import AblationSettings, Material


def ablate(
    out: Annotated[Path, typer.Option(help="Folder of the trainings and results.")] = Path("runs/ablation"),
    training: Annotated[Path, typer.Option(help="Folder of mini's training: codec, hearing, reading, data.")] = Path(
        "runs/mini"
    ),
    seeds: Annotated[int, typer.Option(help="Seeds of each variant.", min=1)] = 3,
    steps: Annotated[int, typer.Option(help="Training steps of a variant.", min=1)] = 300,
    start: Annotated[
        str,
        typer.Option(
            help="Trained model (a name or a folder) from which the common start takes all but self-attention and "
            "sound; empty: nothing, and then --base-steps 1600 --steps 600 is the least that draws people."
        ),
    ] = "mini",
    base_steps: Annotated[int, typer.Option(help="Training steps of the common start.", min=1)] = 300,
    variants: Annotated[str, typer.Option(help="Names with commas between them; empty: all.")] = "",
    videos: Annotated[int, typer.Option(help="Held-out cases.", min=2)] = 64,
    frames: Annotated[int, typer.Option(help="4k+1 frames at 25 a second.")] = 49,
    probes: Annotated[Path | None, typer.Option(help="Trained probes, or their cache; default: OUT/probes.")] = None,
    device: str = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of PyTorch.", min=1)] = None,
    layers: int = 6,
    tokens: Annotated[int, typer.Option(help="Tokens a training step.", min=64)] = 3000,
) -> None:
    """Compare the paper's recipe with one change at a time, and time-adaptive guidance with constant ones."""
    from humo.ablation.variants import VARIANTS

    wanted = [name.strip() for name in variants.split(",") if name.strip()] or list(VARIANTS)
    if unknown := [name for name in wanted if name not in VARIANTS]:
        raise ValueError(f"variants names {unknown[0]!r}: use some of {', '.join(VARIANTS)}.")
    import torch  # after the cheap check, for it takes seconds

    from humo.ablation.measuring import make_bench
    from humo.ablation.record import Record
    from humo.ablation.results import write_results
    from humo.ablation.running import AblationSettings, Material, train_base
    from humo.evaluation.probe_training import get_probes
    from humo.training.loop import SIZE

    if threads is not None:
        torch.set_num_threads(threads)
    settings = AblationSettings(steps=steps, start=start, base_steps=base_steps, layers=layers, tokens=tokens)
    material = Material(training)
    eyes = get_probes(probes or out / "probes")
    record = Record.open(out, settings, videos, frames, eyes, device)
    with record.clock():
        base = train_base(material, out, settings, device)
    for seed in range(seeds):  # all variants of a seed first: a run that is broken off can still be compared
        wanting = {name: missing for name in wanted if (missing := _missing(record, name, seed))}
        if not wanting:
            continue
        with record.clock():
            bench = make_bench(eyes, videos, seed, frames, SIZE)
        for name, rules in wanting.items():
            with record.clock():
                _run(material, base, name, rules, seed, out, settings, bench, record, device)
            write_results(record.values, out)
    typer.echo((out / "results.md").read_text())


def _missing(record: Record, name: str, seed: int) -> list[str]:
    """Rules of guidance with which a variant is still to be measured: all of them on `full`, adaptive on the others."""
    from humo.ablation.variants import RULES

    rules = RULES if name == "full" else ["adaptive"]
    return [rule for rule in rules if not record.has(name if rule == "adaptive" else rule, seed)]


def _run(
    material: Material,
    base: Path,
    name: str,
    rules: list[str],
    seed: int,
    out: Path,
    settings: AblationSettings,
    bench: Bench,
    record: Record,
    device: str,
) -> None:
    """Trains one variant with one seed and measures it."""
    from humo.ablation.measuring import measure
    from humo.ablation.running import load_variant, train_variant
    from humo.ablation.variants import RULES, VARIANTS

    weights = train_variant(material, base, VARIANTS[name], seed, out, settings, device)
    model = load_variant(material, weights, settings).to(device)
    for rule in rules:
        figures = measure(material, model, VARIANTS[name], RULES[rule], bench)
        record.add(name if rule == "adaptive" else rule, seed, figures)
        if name == "full" and rule == "adaptive":
            record.add("adaptive", seed, figures)
