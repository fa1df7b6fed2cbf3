"""`python -m humo bench`: make the videos of a bench folder, judge them, write the report.

`run_bench` is the same for a caller in Python, such as another command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from humo.evaluation.published.instruments.registry import METRICS, metric_class, read_names
from humo.guidance import parse_rule
from humo.system.command_line import check_folder, silence_libraries

if TYPE_CHECKING:
    from humo.evaluation.published.cases import BenchCase
    from humo.evaluation.published.instruments.weights import Weights

DEFAULT_WEIGHTS = Path("bench-weights")


def bench(
    bench: Annotated[
        Path | None, typer.Option(help="Folder with bench.jsonl, see humo/evaluation/published/cases.py.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the videos, scores and report.")] = Path("runs/bench"),
    preset: Annotated[str, typer.Option(help="mini, 1.7B, 17B or a folder.")] = "1.7B",
    metrics: Annotated[str, typer.Option(help=f"all, or some of {', '.join(METRICS)}, with commas.")] = "all",
    videos: Annotated[Path | None, typer.Option(help="Judge the ID.mp4 of this folder; make none.")] = None,
    weights: Annotated[Path, typer.Option(help="Folder of the instruments' weights.")] = DEFAULT_WEIGHTS,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing weights, sizes told first.")] = False,
    needs: Annotated[bool, typer.Option("--needs", help="Only print what the metrics need.")] = False,
    memory: Annotated[str | None, typer.Option(help="Make do with a GPU of this size, such as 24GB.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; default: the model's own.", min=1)] = None,
    guidance: Annotated[str | None, typer.Option(help='A rule as JSON: {"rule": "constant", "text": 5}.')] = None,
) -> None:
    """Measure a model as the paper does, on cases of your own."""
    names = read_names(metrics)
    if needs:
        typer.echo(describe_needs(names))
        return
    if bench is None:
        raise ValueError("No bench is given: add --bench FOLDER, or --needs to see what the metrics need.")
    path = run_bench(
        bench,
        out,
        preset=preset,
        metrics=names,
        videos=videos,
        weights=weights,
        download=download,
        memory=memory,
        steps=steps,
        guidance=guidance,
        tell=lambda text: typer.echo(text, err=True),
    )
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(str(path))


def run_bench(
    bench: Path,
    out: Path,
    *,
    preset: str = "1.7B",
    metrics: list[str] | None = None,
    videos: Path | None = None,
    weights: Path = DEFAULT_WEIGHTS,
    download: bool = False,
    memory: str | None = None,
    steps: int | None = None,
    guidance: str | None = None,
    tell: Any = None,
) -> Path:
    """Make and judge the videos of a bench folder; what is there already is neither made nor judged again.

    Args:
        bench: see `humo.evaluation.published.cases`.
        out: where videos, scores and report go; made if needed.
        preset: for `humo.load`.
        metrics: names of `METRICS`; default all.
        videos: folder with ID.mp4 to judge instead of making any.
        weights: folder of the instruments' weights.
        download: whether to fetch missing weights.
        memory: for `humo.load`.
        steps: denoising steps.
        guidance: a rule as JSON.
        tell: called with sentences on the way.

    Returns:
        Path of report.md.

    Raises:
        ValueError: if the bench breaks a rule, no metric can be loaded, or no video is there.
    """
    check_folder(out)
    rule = None if guidance is None else parse_rule(guidance)  # before gigabytes are read
    from humo.evaluation.published.cases import read_bench
    from humo.evaluation.published.judging import judge
    from humo.evaluation.published.report import write_report

    silence_libraries()
    tell = tell or (lambda text: None)
    names = list(METRICS) if metrics is None else metrics
    cases = read_bench(bench)
    instruments = _open_weights(weights, names, download)
    lacking = _check(names, instruments, tell)
    ready = [name for name in names if name not in lacking]
    out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"bench": bench.name, "steps": steps, "guidance": guidance}
    if videos is None:
        settings["model"] = preset
        made = _generate(cases, out / "videos", preset, memory, steps, rule, tell)
    else:
        settings["model"] = f"Given videos of {videos.name}"
        made = find_videos(cases, videos)
    missing = [case.id for case in cases if case.id not in made]
    if missing:
        tell(f"{len(missing)} of {len(cases)} videos are not there: {', '.join(missing[:5])}.")
    judgement = judge(made, cases, ready, instruments, out, lambda name, case: tell(f"{name}: {case}"))
    judgement.left_out = lacking | judgement.left_out
    return write_report(out, judgement, cases, settings, missing)


def find_videos(cases: list[BenchCase], folder: Path) -> dict[str, Path]:
    """Videos that are already there.

    Raises:
        ValueError: if there is none.
    """
    found = {case.id: folder / f"{case.id}.mp4" for case in cases if (folder / f"{case.id}.mp4").is_file()}
    if not found:
        raise ValueError(
            f"{folder.name} has no video of the bench: name them after the ids, such as {cases[0].id}.mp4."
        )
    return found


def describe_needs(names: list[str]) -> str:
    """What metrics need, as lines: files with sizes, sources and licences, packages, and the total."""
    from humo.evaluation.published.instruments.weights import describe, sources
    from humo.loading.published.sources import gigabytes

    lines, files = list[str](), dict[str, Any]()
    for name in names:
        metric = metric_class(name)
        packages = [package.partition(":")[2] or package for package in metric.packages]
        lines += [f"{name}: {metric.meaning}", f"    {', '.join([*describe(metric.needs), *packages])}"]
        files |= {file.path: file for file in metric.needs}
    lines.append("Sources and licences of the weights:")
    for source in sources(files.values()):
        held = [file for file in files.values() if sources([file]) == [source]]
        lines.append(f"    {', '.join(describe(held))}, {held[0].licence}: {source}")
    total = gigabytes(sum(file.num_bytes for file in files.values()))
    return "\n".join([*lines, f"In all {total} of weights."])


def _open_weights(folder: Path, names: list[str], download: bool) -> Weights:
    import torch

    from humo.evaluation.published.instruments.weights import Weights, fetch

    if download:
        fetch([file for name in names for file in metric_class(name).needs], folder)
    return Weights(folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _check(names: list[str], weights: Weights, tell: Any) -> dict[str, str]:
    from humo.evaluation.published.judging import check_metrics

    lacking = check_metrics(names, weights)
    if len(lacking) == len(names):
        first = lacking[names[0]]
        raise ValueError(first if len(names) == 1 else f"None of the {len(names)} metrics can be loaded. {first}")
    for sentence in lacking.values():
        tell(f"Left out: {sentence}")
    return lacking


def _generate(
    cases: list[BenchCase],
    folder: Path,
    preset: str,
    memory: str | None,
    steps: int | None,
    guidance: dict[str, Any] | None,
    tell: Any,
) -> dict[str, Path]:
    from humo.checkpoints import load
    from humo.evaluation.published.generation import Settings, generate_bench

    pipe = load(preset, memory=memory)
    done = iter(range(1, len(cases) + 1))

    def show(case: BenchCase, is_new: bool) -> None:
        tell(f"video {next(done)} of {len(cases)}: {case.id}{'' if is_new else ', there already'}")

    return generate_bench(pipe, cases, folder, Settings(num_inference_steps=steps, guidance=guidance), show)
