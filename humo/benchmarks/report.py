"""PERFORMANCE.md: everything that is measured of a model's speed in one run, and what was tried in vain. Ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from humo.benchmarks.clip import describe, measure_pipeline, page_start
from humo.benchmarks.cold import describe_cold_start, measure_cold_start
from humo.benchmarks.model import describe_model, measure_model
from humo.benchmarks.precision.differences import describe_differences, load_forms, measure_differences
from humo.benchmarks.precision.profile import describe_profiles, profile_forms
from humo.benchmarks.scaling import describe_scaling, measure_scaling
from humo.benchmarks.waiting import describe_waiting, measure_waiting
from humo.benchmarks.ways import Way, compare_ways, describe_ways
from humo.checkpoints import MINI
from humo.pipeline import HuMoPipeline
from humo.space.jobs.job import Model
from humo.space.jobs.model_choice import load_model
from humo.system.compiler import find_compiler
from humo.system.processor import has_bfloat16, processor_name

PLOT = "performance.svg"
TRIED = """
- **Caches of single steps** (first block, Taylor) are worth on mini about what fewer steps are, in time and in distance
  from the exact result (first table): it makes few steps as it is. They are meant for the published models and their
  fifty.
- **bfloat16 on a CPU that multiplies it in hardware** (AMX, avx512_bf16) is taken by itself; with fewer small
  operations it brought a clip of full quality to 0.59 of what it took before (`benchmark --against`). Others emulate
  it, many times slower, so they stay in float32, and Muon's orthogonalisation with them
  (`humo.training.transformer.muon`). The encoders of text and sound stay so everywhere: they take a hundredth of a
  clip's time in either.
- **No guidance in late steps** saves little: with the published spacing of noise levels most steps are early ones.
- **Waiting videos of full quality made as one batch** gain little on two cores, which a single video keeps
  busy already (*many visitors*, above): there the page batches quick looks alone, on a GPU all.
- **Compiled on the CPU** by `torch.compile`, the blocks alone (`pipe.transformer.compile_repeated_blocks()`) took 0.93
  of the time as written, and the whole transformer with its weights frozen 0.81, after a minute in every process.
  Compiled ahead of time (first table) it takes that or less, and one file serves all lengths and is found again: that
  is what `compile=True` does.
- **A slower preset of the video encoder** ("medium", x264's default) takes longer than "veryfast" for files of the
  same size; a quick look is not enlarged at all, which took more time than its network.
- **A faster cold start**: what could be left out is (stubs of gradio's, librosa, a walk over what was imported); most
  of what remains is the import of torch, diffusers, transformers and peft, which import one another. The page answers
  before they are there and reads the model's settings from its files alone.
- **Keys and values of text and sound** matter for mini; the published models have so many more tokens of video than
  words and sounds that computing them once changes a pass by a few hundredths.
"""
"""What was tried and how it went, in words; the figures of what stayed are measured."""


def write_performance(path: Path) -> Path:
    """Measure mini in every way and write the report with its plot beside it.

    Args:
        path: of the report.

    Returns:
        The report.
    """
    waiting = measure_waiting(Model(lambda: load_model().pipe))  # before this thread computes
    pipe = load_forms("mini")
    fast = pipe.fast_form
    assert fast is not None  # mini has one
    measure_pipeline(pipe)  # warms up
    ways = compare_ways(pipe, MINI, is_compiled=find_compiler() is not None)
    parts = {form: measure_pipeline(made) for form, made in (("exact", pipe), ("fast form", fast))}
    draw_ways(ways, path.parent / PLOT)
    pipes = [pipe] if pipe.transformer.dtype == torch.float32 else [pipe, load_forms("mini", torch.float32)]
    model = measure_model("1.7B", 9, 240, 416, compare=("plain", "wan"), num_layers=2)
    sections = [
        "# How fast it is",
        "Written by `python -m humo benchmark --report`; the figures are of one run, and only their ratios travel.",
        _machine(),
        f"![Time of each way beside the exact one]({PLOT})",
        "## The same clips in several ways",
        "Two seconds of video from text, picture and sound, mini; what the price means for lips and attributes is told "
        "by `python -m humo evaluate` with `--fast` or `--cache`. Each column is a median over the clips of its own; "
        "shares compare ways on the same clip, so they are not quotients of the seconds.",
        describe_ways(ways),
        "## Where the time of a clip goes",
        *(f"```\n{describe(_named(form, result))}\n```" for form, result in parts.items()),
        "## Where a step goes",
        "Matrix products and all around them, by torch.profiler, in the steps of such a clip, each of one to four "
        "passes, the branches of the guidance; what Python and the profiler take is the rest.",
        describe_profiles(profile_forms(pipes)),
        *_differences(pipes),
        "## A cold start",
        f"From starting the page's program to its first answer: {page_start():.1f} s; the model is loaded after "
        "that. Of a program that loads it first, by the package whose modules take the time:",
        describe_cold_start(measure_cold_start()),
        "## What makes it longer",
        describe_scaling(measure_scaling(pipe)),
        "The fast form:",
        describe_scaling(measure_scaling(fast, steps=(4, 6, 8))),
        "## Many visitors",
        "Jobs that wait when the device becomes free, in the page's own line; a batch is done when its last video is, "
        "so what it gains for all is weighed against the wait of each (`humo.space.jobs.batching`).",
        describe_waiting(waiting),
        "## A published size on this machine",
        "Two of the 1.7B's thirty blocks with random weights, beside the published code's plain way and beside "
        "diffusers' Wan of the same size, which hears nothing; on a GPU: "
        "`python -m humo benchmark --preset 1.7B --random-weights --compare plain --compare wan --compile`.",
        f"```\n{describe_model(model)}\n```",
        "## Tried, and what came of it",
        TRIED.strip(),
    ]
    path.write_text("\n\n".join(sections) + "\n")
    return path


def _differences(pipes: Sequence[HuMoPipeline]) -> list[str]:
    """What narrower numbers change, where the model computes in them."""
    if len(pipes) == 1:
        return []
    narrow, exact = pipes
    return [
        "## What narrower numbers change",
        "The same held-out clips and noise in them and in float32: PSNR of the frames (8 bits) and of the latents "
        "(their range being the peak), the lowest clip's and the median one's. What a video shows is judged by "
        "`python -m humo evaluate --dtype float32`; this table is `python -m humo benchmark --compare float32`.",
        describe_differences(measure_differences(narrow, exact)),
    ]


def _named(form: str, result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "settings": {"model": f"mini, {form}", **result["settings"]}}


def _machine() -> str:
    instructions = torch.backends.cpu.get_cpu_capability() + ", bfloat16 in hardware" * has_bfloat16("cpu")
    return f"{processor_name()}, {torch.get_num_threads()} threads, {instructions}, PyTorch {torch.__version__}."


def draw_ways(ways: Sequence[Way], path: Path) -> Path:
    """A bar for each way: its share of the exact way's time, and the price beside it."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 0.45 * len(ways) + 0.8), layout="constrained")
    axes = figure.subplots()
    labels = [f"{way.name}, {way.steps} steps" for way in ways]
    axes.barh(labels, [way.share for way in ways], color="#0072B2", height=0.6)
    for row, way in enumerate(ways):
        price = "same result" if way.psnr > 100 else f"{way.psnr:.0f} dB"
        axes.text(way.share + 0.02, row, f"{way.share:.2f}, {price}", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="time of denoising, exact way = 1", xlim=(0, 1.25 * max(way.share for way in ways)))
    axes.spines[["top", "right"]].set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "humo"}):  # words stay words
        figure.savefig(path, metadata={"Date": None})
    return path
