"""The report of a bench: report.json for machines, report.md with the paper's tables beside ours."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humo.evaluation.metrics import interval
from humo.evaluation.published.cases import MODES, BenchCase
from humo.evaluation.published.instruments.registry import METRICS, metric_class
from humo.evaluation.published.judging import Judgement
from humo.evaluation.published.paper_figures import ABLATION, LATER, SOURCE, TASKS, UNDEFINED
from humo.system.files import atomic_write

ALL = "all"
"""Column of all modes together."""


def summarize(judgement: Judgement, cases: Sequence[BenchCase]) -> dict[str, dict[str, dict[str, Any]]]:
    """Means with bootstrap intervals.

    Args:
        judgement: from `humo.evaluation.published.judging.judge`.
        cases: of the bench.

    Returns:
        Mode (and "all"): metric: mean (None if nothing was measured), interval (95 % over videos; None for fewer
        than two), measured and judged videos.
    """
    modes = {case.id: case.mode for case in cases}
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for mode in (*MODES, ALL):
        for name, scores in judgement.scores.items():
            values = [value for case, value in scores.items() if mode in (ALL, modes[case])]
            if values:
                table.setdefault(mode, {})[name] = _figure(values)
    return table


def _figure(values: Sequence[float]) -> dict[str, Any]:
    measured = np.array([value for value in values if not math.isnan(value)])
    mean = float(measured.mean()) if len(measured) else None
    bounds = interval(lambda index: float(measured[index].mean()), len(measured))
    return {"mean": mean, "interval": bounds, "measured": len(measured), "judged": len(values)}


def write_report(
    folder: Path,
    judgement: Judgement,
    cases: Sequence[BenchCase],
    settings: Mapping[str, Any],
    missing: Sequence[str] = (),
) -> Path:
    """Write report.json and report.md.

    Args:
        folder: must exist.
        judgement: what the instruments said.
        cases: of the bench.
        settings: about the run, plain data; `model` and `bench` head the report.
        missing: ids without a video.

    Returns:
        Path of report.md.
    """
    table = summarize(judgement, cases)
    report = {
        "run": dict(settings),
        "modes": table,
        "left_out": judgement.left_out,
        "missing_videos": list(missing),
        "scores": {
            name: {case: None if math.isnan(value) else value for case, value in scores.items()}
            for name, scores in judgement.scores.items()
        },
    }
    with atomic_write(folder / "report.json") as part:
        part.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    parts = [
        "# Bench\n",
        f"{settings.get('model', 'Given videos')} on {settings.get('bench', 'a bench')}: {len(cases) - len(missing)} "
        f"of {len(cases)} videos. In brackets: 95 % bootstrap intervals over videos; after a slash: videos measured.\n",
        "\n## By mode\n",
        _mode_table(table),
        *(_task_table(title, mode, published, table) for title, mode, published in TASKS),
        "\n## The paper's ablation and later listings\n",
        _other_tables(),
        "\n## Left out\n",
        _left_out(judgement.left_out, missing),
    ]
    path = folder / "report.md"
    with atomic_write(path) as part:
        part.write_text("\n".join(parts), encoding="utf-8")
    return path


def _mode_table(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    columns = list(table)
    if not columns:
        return "Nothing was measured.\n"
    names = [name for name in METRICS if name in table[ALL]]
    lines = ["| | " + " | ".join(columns) + " | meaning |", "|---" * (len(columns) + 2) + "|"]
    for name in names:
        cells = " | ".join(_cell(table[column].get(name)) for column in columns)
        lines.append(f"| {name} | {cells} | {metric_class(name).meaning} |")
    return "\n".join(lines) + "\n"


def _task_table(title: str, mode: str, published: Mapping[str, Mapping[str, float]], table: Mapping[str, Any]) -> str:
    names = list(next(iter(published.values())))
    lines = [
        f"\n## {title}: ours (mode {mode}) beside the paper\n",
        f"The paper's cases are not this bench's, so a difference may be the cases'. Paper: {SOURCE}.\n",
        "| | ours | " + " | ".join(f"paper, {model}" for model in published) + " |",
        "|---" * (len(published) + 2) + "|",
    ]
    for name in names:
        ours = _cell(table.get(mode, {}).get(name)) or "not measured"
        theirs = " | ".join(f"{figures[name]:g}" for figures in published.values())
        lines.append(f"| {name} | {ours} | {theirs} |")
    return "\n".join(lines) + "\n"


def _other_tables() -> str:
    names = list(next(iter(ABLATION.values())))
    lines = ["| paper, MoCha's cases | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {model} | " + " | ".join(f"{figures[name]:g}" for name in names) + " |"
        for model, figures in ABLATION.items()
    ]
    lines += ["", "Listed by others for HuMo:", ""]
    lines += [f"- {name} {figure:g}: {place}" for name, figure, place in LATER]
    return "\n".join(lines) + "\n"


def _left_out(reasons: Mapping[str, str], missing: Sequence[str]) -> str:
    lines = [f"- {name}: {reason}" for name, reason in {**reasons, **UNDEFINED}.items()]
    if missing:
        lines.append(f"- videos that are not there: {', '.join(missing)}")
    return "\n".join(lines) + "\n"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    if figure["mean"] is None:
        return f"nothing found / 0 of {figure['judged']}"
    bounds = figure["interval"]
    spread = f" ({bounds[0]:.3f}–{bounds[1]:.3f})" if bounds else ""
    count = (
        f"{figure['measured']}"
        if figure["measured"] == figure["judged"]
        else (f"{figure['measured']} of {figure['judged']}")
    )
    return f"{figure['mean']:.3f}{spread} / {count}"
