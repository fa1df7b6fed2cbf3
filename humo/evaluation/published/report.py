"""The report of a bench: report.json for machines, report.md with the paper's tables beside ours."""

from __future__ import annotations

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
from humo.system.files import write_json, write_text
from humo.system.tables import markdown_table

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
    write_json(folder / "report.json", report)
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
    write_text(path, "\n".join(parts))
    return path


def _mode_table(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    columns = list(table)
    if not columns:
        return "Nothing was measured.\n"
    names = [name for name in METRICS if name in table[ALL]]
    rows = ((name, *(_cell(table[each].get(name)) for each in columns), metric_class(name).meaning) for name in names)
    return markdown_table(("", *columns, "meaning"), rows) + "\n"


def _task_table(title: str, mode: str, published: Mapping[str, Mapping[str, float]], table: Mapping[str, Any]) -> str:
    names = list(next(iter(published.values())))
    lines = [
        f"\n## {title}: ours (mode {mode}) beside the paper\n",
        f"The paper's cases are not this bench's, so a difference may be the cases'. Paper: {SOURCE}.\n",
    ]
    ours = {name: _cell(table.get(mode, {}).get(name)) or "not measured" for name in names}
    rows = ((name, ours[name], *(f"{figures[name]:g}" for figures in published.values())) for name in names)
    head = ("", "ours", *(f"paper, {model}" for model in published))
    return "\n".join([*lines, markdown_table(head, rows)]) + "\n"


def _other_tables() -> str:
    names = list(next(iter(ABLATION.values())))
    rows = ((model, *(f"{figures[name]:g}" for name in names)) for model, figures in ABLATION.items())
    lines = [markdown_table(("paper, MoCha's cases", *names), rows), "", "Listed by others for HuMo:", ""]
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
    others = "" if figure["measured"] == figure["judged"] else f" of {figure['judged']}"
    return f"{figure['mean']:.3f}{spread} / {figure['measured']}{others}"
