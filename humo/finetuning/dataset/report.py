"""What a preparation kept, what it dropped and why, and what a million clips would cost at the rates it measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from humo.finetuning.dataset.dropping import REASONS
from humo.finetuning.dataset.shards import PREPARED, read_units
from humo.loading.published.shards import read_json
from humo.system.files import write_json, write_text
from humo.system.tables import markdown_table

MILLION = 1_000_000
PROCESSES = (1, 8, 64)
"""Encoding processes for which the hours are told."""


def write_report(folder: Path, writer: str = "") -> dict[str, Any]:
    """Write `report.json` and `report.md` over all units that are done.

    Args:
        folder: of the preparation.
        writer: tells apart processes that may write at once.

    Returns:
        What `report.json` holds.
    """
    report = summarise(read_json(folder / PREPARED), read_units(folder))
    write_json(folder / "report.json", report, writer)
    write_text(folder / "report.md", as_markdown(report), writer)
    return report


def summarise(prepared: dict[str, Any], units: list[dict[str, Any]]) -> dict[str, Any]:
    """Count and add up.

    Args:
        prepared: settings, model and table.
        units: facts of the finished units.

    Returns:
        "rows" done and in the table, "kept", "dropped" by reason with up to three examples each, "buckets", "scores"
        (10th, 50th, 90th percentile), "bytes" by part and "seconds" by part for a kept clip, and "million": what a
        million kept clips cost; None if nothing was kept.
    """
    samples = [sample for unit in units for sample in unit["samples"]]
    dropped = [row for unit in units for row in unit["dropped"]]
    reasons = Counter(row["reason"] for row in dropped)
    report = {
        "table": prepared["table"]["name"],
        "rows": {"done": len(samples) + len(dropped), "all": prepared["table"]["rows"]},
        "kept": len(samples),
        "captions_cut": sum(sample["caption_cut"] for sample in samples),
        "dropped": {
            reason: {"count": count, "examples": [row for row in dropped if row["reason"] == reason][:3]}
            for reason, count in reasons.most_common()
        },
        "buckets": dict(sorted(Counter(_shape(sample) for sample in samples).items())),
        "scores": _percentiles([sample["scores"] for sample in samples]),
        "device": ", ".join(sorted({unit["device"] for unit in units})),
        "bytes": {}, "seconds": {}, "million": None,
    }  # fmt: skip
    if samples:
        report |= _costs(samples, units)
    return report


def _costs(samples: list[dict[str, Any]], units: list[dict[str, Any]]) -> dict[str, Any]:
    kept, tried = len(samples), len(samples) + sum(len(unit["dropped"]) for unit in units)
    parts = {name: sum(sample["bytes"][name] for sample in samples) / kept for name in samples[0]["bytes"]}
    seconds = {
        stage: {
            name: sum(unit["seconds"][stage].get(name, 0.0) for unit in units) / kept
            for name in sorted({name for unit in units for name in unit["seconds"][stage]})
        }
        for stage in ("examine", "encode")
    }
    examine, encode = sum(seconds["examine"].values()), sum(seconds["encode"].values())
    stored = sum(unit["bytes"] for unit in units) / kept
    hours = MILLION / 3600
    million = {
        "rows": round(MILLION * tried / kept),
        "bytes": round(MILLION * stored),
        "examine_core_hours": examine * hours,
        "encode_device_hours": encode * hours,
        "measured_wall_hours": sum(unit["seconds"]["wall"] for unit in units) / kept * hours,
        "measured_workers": sorted({unit["workers"] for unit in units}),
        "cores_per_device": examine / encode if encode else 0.0,
    }
    return {"bytes": {"stored": stored, **parts}, "seconds": seconds, "million": million}


def as_markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    rows, kept, dropped = report["rows"], report["kept"], report["dropped"]
    lines = [
        f"# Preparation of {report['table']}",
        "",
        f"{rows['done']:,} of {rows['all']:,} rows are done: {kept:,} clips kept, {rows['done'] - kept:,} dropped. "
        f"{report['captions_cut']:,} captions had more words than the model reads.",
        "",
        "## Dropped",
        "",
        markdown_table(
            ("reason", "rows", "what it means", "for example"),
            ((reason, f"{facts['count']:,}", REASONS[reason], _example(facts)) for reason, facts in dropped.items()),
        ),
        "",
        "## Buckets (frames, height, width, references)",
        "",
        markdown_table(("bucket", "clips"), ((shape, f"{count:,}") for shape, count in report["buckets"].items())),
        "",
        "## Scores (10th, 50th, 90th percentile of the kept clips)",
        "",
        markdown_table(
            ("score", "10 %", "50 %", "90 %"),
            ((name, *(f"{value:.3g}" for value in three)) for name, three in report["scores"].items()),
        ),
        "",
    ]  # fmt: skip
    return "\n".join(lines + (_cost_lines(report) if report["million"] else []))


def _example(facts: dict[str, Any]) -> str:
    row = facts["examples"][0]
    return f"row {row['row']} ({row['key']}) {row['detail']}".replace("|", "/").replace("\n", " ").strip()


def _cost_lines(report: dict[str, Any]) -> list[str]:
    million, sizes = report["million"], report["bytes"]
    examine, encode = million["examine_core_hours"], million["encode_device_hours"]
    slowest = [max(encode, examine / max(1, *million["measured_workers"])) / number for number in PROCESSES]
    seconds = {f"{stage}: {name}": value for stage, part in report["seconds"].items() for name, value in part.items()}
    return [
        "## A clip",
        "",
        markdown_table(("part", "bytes"), ((name, f"{round(value):,}") for name, value in sizes.items())),
        "",
        markdown_table(
            ("part", "seconds for each kept clip (of a core; on a GPU of the clock)"),
            ((name, f"{value:.3f}") for name, value in seconds.items()),
        ),
        "",
        "## A million clips, from these rates",
        "",
        "| what | cost |",
        "|---|---|",
        f"| rows of such a table | {million['rows']:,} |",
        f"| shards | {million['bytes'] / 1e12:.3g} TB |",
        f"| reading, measuring, finding faces | {examine:,.0f} core hours |",
        f"| encoding | {encode:,.0f} {_unit(report['device'])} |",
        f"| by the clock, as it was run here | {million['measured_wall_hours']:,.0f} hours |",
        *(
            f"| {number} encoding process{'es' * (number > 1)}, each with the examiners of this run "
            f"| {hours:,.1f} hours |"
            for number, hours in zip(PROCESSES, slowest, strict=True)
        ),
        "",
        f"An encoding process is kept busy by {million['cores_per_device']:.1f} examining cores. "
        "Units are independent: n machines take an n-th of the time.",
        "",
    ]


def _unit(device: str) -> str:
    return "core hours" if device == "cpu" else f"hours of a process on {device}"


def _shape(sample: dict[str, Any]) -> str:
    frames, height, width = sample["frames"]
    return f"{frames:3d} x {height} x {width}, {sample['bucket'][3]}"


def _percentiles(scores: list[dict[str, float]]) -> dict[str, list[float]]:
    names = sorted({name for score in scores for name in score})
    return {
        name: np.percentile([score[name] for score in scores if name in score], (10, 50, 90)).round(4).tolist()
        for name in names
    }
