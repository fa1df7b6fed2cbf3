"""`python -m humo benchmark`: time and memory, of a clip or of a published model's true size.

What is measured lives in `humo.benchmarks.clip` (a clip from text, picture and sound, with real weights) and
`humo.benchmarks.model` (a step with random weights). Each is imported only when it is asked for, because the second
needs no more than torch and diffusers on the machine with the GPU. All of this file is ours.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from humo.system.command_line import check_file
from humo.system.files import write_json


def benchmark(
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B or a folder.")] = "mini",
    seconds: Annotated[float, typer.Option(help="Length of the clip.", min=0.2)] = 1.96,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; default: the model's own.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Time the model's fast form.")] = False,
    clip: Annotated[bool, typer.Option(help="Time a clip from text, picture and sound.")] = True,
    world: Annotated[bool, typer.Option(help="Time the drawing of the procedural world too.")] = False,
    page: Annotated[bool, typer.Option(help="Time the start of the page too.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Time jobs that wait for one another in the page's line.")
    ] = False,
    job: Annotated[
        bool, typer.Option("--job", help="Time a video as the page makes it: its steps beside the pipeline's alone.")
    ] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Time one step of 1.7B or 17B at its true size, no files needed.")
    ] = False,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="plain: also as the published code does it, without --random-weights in shorter ways too; float32: "
            "what the narrower numbers change that a small model is loaded in, and where a step goes; wan: with "
            "--random-weights beside diffusers' Wan of the same size. May be repeated."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="With --random-weights: video frames, 4k+1.")] = 97,
    height: Annotated[int, typer.Option(help="With --random-weights: pixels.")] = 480,
    width: Annotated[int, typer.Option(help="With --random-weights: pixels.")] = 832,
    layers: Annotated[int | None, typer.Option(help="With --random-weights: blocks, to try it without a GPU.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="With --random-weights: float32 or bfloat16; default: bfloat16 on a GPU, else float32."),
    ] = None,
    compile_blocks: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile first, uncounted: the clip's model, with --compare also a way of its own, or "
            "with --random-weights our blocks.",
        ),
    ] = False,
    table: Annotated[bool, typer.Option("--table", help="Only print estimates for every memory preset.")] = False,
    tflops: Annotated[float, typer.Option(help="With --table: TFLOP/s that passes are assumed to reach.")] = 100.0,
    against: Annotated[
        str | None, typer.Option(help="A commit of this checkout: time mini in both, in turn, and tell the ratios.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Measure all there is of mini and write this markdown file, with its plot.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Time every part of a generation with the page's defaults, or one step of a large model with random weights."""
    for path in filter(None, (report, json_path)):
        check_file(path)
    if table:
        from humo.loading.estimate_table import estimate_table
        from humo.loading.file_table import file_table

        typer.echo(f"{estimate_table(tflops)}\n\n{file_table()}")
        if json_path is not None:
            write_json(json_path, _estimates(tflops))
        return
    if report is not None:
        from humo.benchmarks.report import write_performance

        typer.echo(write_performance(report))
        return
    if against is not None:
        _measure_against(against, json_path)
        return
    if waiting:
        _measure_waiting(preset, seconds, json_path)
        return
    if job:
        _measure_jobs(preset, seconds, steps, json_path)
        return
    if (layers is not None or dtype is not None) and not random_weights:
        raise ValueError("--layers and --dtype time a model with random weights: add --random-weights.")
    if not random_weights and (others := [name for name in compare or () if name not in ("plain", "float32")]):
        raise ValueError(f"compare must be 'plain' or 'float32' without --random-weights but is {others[0]!r}.")
    if compare and fast:
        raise ValueError("--compare times the fast form beside the others: leave --fast out.")
    if random_weights:
        from humo.benchmarks.model import describe_model, measure_model

        result = measure_model(preset, frames, height, width, compare or (), compile_blocks, layers, dtype=dtype)
        typer.echo(describe_model(result))
    else:
        if is_numbers := "float32" in (compare or ()):
            _check_numbers()
        is_compared = "plain" in (compare or ())
        result = _measure_clip(preset, seconds, steps, fast, clip, world, page, is_compared, compile_blocks)
        if is_numbers:
            result["float32"] = _compare_numbers(preset)
    if json_path is not None:
        write_json(json_path, result)


def _estimates(tflops: float) -> list[dict[str, Any]]:
    """The table as plain data: bytes, operations of a pass, and seconds of 50 steps."""
    from humo.loading.estimates import estimate, sizes_of_preset
    from humo.loading.memory import PRESETS, TABLE_SIZES

    rows = []
    for memory, plans in PRESETS.items():
        for model, plan in plans.items():
            for size in TABLE_SIZES:
                each = estimate(sizes_of_preset(model), *size, plan)
                shape = dict(zip(("height", "width", "frames"), size, strict=True))
                told = {"peak": each.peak, "seconds": each.seconds(50, tflops), **asdict(each)}
                rows.append({"model": model, "memory": memory, "how": plan.describe(), **shape, **told})
    return rows


def _measure_against(revision: str, json_path: Path | None) -> None:
    from humo.benchmarks.against import compare_revisions, describe_comparisons

    found = compare_revisions(revision)
    typer.echo(describe_comparisons(found, revision))
    if json_path is not None:
        write_json(json_path, [asdict(each) | {"ratio": each.ratio} for each in found])


def _measure_waiting(preset: str, seconds: float, json_path: Path | None) -> None:
    from humo.benchmarks.waiting import describe_waiting, measure_waiting
    from humo.space.jobs.job import Model
    from humo.space.jobs.model_choice import load_model

    measured = measure_waiting(Model(lambda: load_model(preset).pipe), seconds=seconds)
    typer.echo(describe_waiting(measured))
    if json_path is not None:
        write_json(json_path, [asdict(each) for each in measured])


def _measure_jobs(preset: str, seconds: float, steps: int | None, json_path: Path | None) -> None:
    from humo.benchmarks.waiting import describe_jobs, measure_jobs
    from humo.space.jobs.job import Model
    from humo.space.jobs.model_choice import load_model

    measured = measure_jobs(Model(lambda: load_model(preset).pipe), seconds, steps)
    typer.echo(describe_jobs(measured))
    if json_path is not None:
        write_json(json_path, [asdict(each) | {"ratio": each.ratio} for turns in measured for each in turns])


def _check_numbers() -> None:
    """Refuse before minutes of measuring what has nothing to compare."""
    import torch

    from humo.loading.memory import default_dtype

    if default_dtype() != torch.bfloat16:
        raise ValueError(
            "--compare float32 sets bfloat16 beside it, which this processor does not multiply in hardware: run it on "
            "one that does (AMX, avx512_bf16), or on a GPU that does."
        )


def _compare_numbers(preset: str) -> dict[str, Any]:
    import torch

    from humo.benchmarks.precision import differences as changes
    from humo.benchmarks.precision.profile import describe_profiles, profile_forms

    narrow, exact = changes.load_forms(preset), changes.load_forms(preset, torch.float32)
    differences, profiles = changes.measure_differences(narrow, exact), profile_forms((narrow, exact))
    typer.echo(f"{changes.describe_differences(differences)}\n\n{describe_profiles(profiles)}\n")
    return {"differences": changes.plain_numbers(differences), "profiles": [asdict(each) for each in profiles]}


def _measure_clip(
    preset: str,
    seconds: float,
    steps: int | None,
    fast: bool,
    clip: bool,
    world: bool,
    page: bool,
    compare: bool,
    is_compiled: bool,
) -> dict[str, Any]:
    from humo.benchmarks.clip import describe, measure, page_start, world_rates

    result = measure(preset, seconds, steps, fast, is_compiled) if clip else {}
    if world:
        result["world"] = world_rates()
    if page:
        result["page"] = page_start()
    if compare:
        from humo.benchmarks.ways import compare_ways, describe_ways, plain_numbers
        from humo.checkpoints import load

        pipe = load(preset)
        ways = compare_ways(pipe, Path(pipe.name_or_path), is_compiled=is_compiled)
        result["ways"] = plain_numbers(ways)
        typer.echo(describe_ways(ways))
    typer.echo(describe(result))
    return result
