"""Several evaluations with other cases and other noise: how far a figure moves when all is drawn anew. Ours."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from humo.system.tables import markdown_table

SPREAD = ("sync", "sync_shuffled", "sync_loudness", "width_sync", "text", "identity", "faces", "grain")


def spread_of(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means and standard deviations over seeds.

    Args:
        reports: of `humo.evaluation.measure.evaluate_pipeline`, two or more, with the same modes.

    Returns:
        Plain data: "seeds" (their numbers), and for each mode and figure "values", "mean" and "deviation".
    """
    modes = {}
    for mode in reports[0]["modes"]:
        every = [report["modes"][mode] | {"frechet": report["frechet"][mode]} for report in reports]
        names = [name for name in (*SPREAD, "frechet") if all(name in figures for figures in every)]
        modes[mode] = {name: _spread([figures[name] for figures in every]) for name in names}
    mask = [report["mask_iou"]["500"] for report in reports if "500" in report["mask_iou"]]
    spread = {"seeds": [report["settings"]["seed"] for report in reports], "modes": modes}
    return spread | ({"mask_iou_500": _spread(mask)} if len(mask) == len(reports) else {})


def spread_table(spread: dict[str, Any]) -> str:
    """Means ± standard deviations as a Markdown table."""
    modes = spread["modes"]
    names = [name for name in (*SPREAD, "frechet") if any(name in figures for figures in modes.values())]
    rows = ((name, *(_cell(figures.get(name)) for figures in modes.values())) for name in names)
    lines = [markdown_table(("", *modes), rows)]
    if "mask_iou_500" in spread:
        lines.append(f"\nOverlap of the masks at timestep 500: {_cell(spread['mask_iou_500'])}.")
    return "\n".join(lines) + "\n"


def figure_cell(report: dict[str, Any], mode: str, name: str, digits: int = 2) -> str:
    """A figure for a table: mean ± standard deviation where the report has several seeds, empty where there is none."""
    spread = report.get("spread", {}).get("modes", {}).get(mode, {}).get(name)
    if spread is not None:
        return _cell(spread, digits)
    value = report["modes"][mode].get(name)
    return "" if value is None else f"{value:z.{digits}f}"


def cases_in_words(report: dict[str, Any]) -> str:
    """What the figures were measured on, as a sentence."""
    seeds = len(report.get("spread", {}).get("seeds", [0]))
    videos = f"{report['settings']['num_videos']} videos a mode{computed_in(report)}"
    if seeds == 1:
        return f"{videos}."
    spread = "mean ± standard deviation; a figure without ± is of the first of them"
    return f"{seeds} times {videos}, each time others: {spread}."


def computed_in(report: dict[str, Any]) -> str:
    """The number format as the end of a clause; empty for a report of before formats could be chosen."""
    dtype = report["settings"].get("dtype")
    return f", computed in {dtype}" if dtype else ""


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"values": list(values), "mean": fmean(values), "deviation": stdev(values)}


def _cell(figure: dict[str, Any] | None, digits: int = 3) -> str:
    return "" if figure is None else f"{figure['mean']:z.{digits}f} ± {figure['deviation']:.{digits}f}"
