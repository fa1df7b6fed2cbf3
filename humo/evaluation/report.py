"""The report: report.json for machines, report.md with contact sheets and sample videos for people. Ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from humo.evaluation.cases import Case
from humo.evaluation.probes.networks import ProbeOutput
from humo.evaluation.rounding import rounded, with_interval
from humo.evaluation.seeds import computed_in, spread_table
from humo.evaluation.voices.report import kept_voices
from humo.media import write_video
from humo.system.files import write_json, write_text
from humo.system.tables import markdown_table
from humo.timing import FPS, SAMPLE_RATE

SHEET_ROWS = 6
SAMPLES = 4
CELL = 128
"""Side of a picture on a contact sheet, pixels."""
FRAMES_SHOWN = 6
_GAP = 6
_CAPTION_HEIGHT = 30
_TRUE, _READ = (150, 150, 158), (206, 44, 48)
FIGURES = (
    ("lip sync", "sync", "correlation of the mouth's openness with the truth, at one lag for all, within 2 frames"),
    ("… of another voice", "sync_shuffled", "control, computed the same way"),
    ("… of loudness alone", "sync_loudness", "baseline, computed the same way"),
    ("mouth width", "width_sync", "as lip sync"),
    ("… of another voice", "width_sync_shuffled", "control"),
    ("text followed", "text", "fraction of what the probes read on renders, of the attributes that the caption names"),
    ("identity kept", "identity", "likewise, looks known from the picture alone"),
    ("… of a stranger", "identity_shuffled", "control: share of attributes shared with another case's person"),
    ("faces", "faces", "share of frames in which a face is found"),
    ("grain", "grain", "how many of 255 levels a pixel usually differs from its neighbours' mean"),
)
"""Title, name in report.json and meaning of what is measured of generated videos."""


def write_report(report: dict[str, Any], folder: Path, sheets: Sequence[str] = ()) -> Path:
    """Writes report.json and report.md.

    Args:
        report: from `humo.evaluation.measure.evaluate_pipeline`.
        folder: must exist; figures of voices in its report.json stay where they are of the same model.
        sheets: file names of contact sheets in the folder, by mode.

    Returns:
        Path of report.md.
    """
    figures = rounded(report) | kept_voices(folder, report["settings"].get("model", ""))
    write_json(folder / "report.json", figures)
    parts = [
        "# Evaluation\n",
        _settings_text(figures),
        "\n## Generated videos\n",
        _mode_table(figures),
        "\n## Face masks, Frechet distance\n",
        _other_figures(figures),
        *_spread_section(figures),
        "\n## By attribute\n",
        _attribute_table(figures),
        "\n## The probes themselves, on held-out renders\n",
        probe_table(figures["probes"]),
    ]
    parts += [f"\n## {name.removesuffix('.webp')}\n\n![contact sheet]({name})\n" for name in sheets]
    path = folder / "report.md"
    write_text(path, "\n".join(parts))
    return path


def write_sheet(
    path: Path, cases: Sequence[Case], videos: Sequence[np.ndarray], readings: Sequence[ProbeOutput], mode: str
) -> Path:
    """Draws a contact sheet: reference, frames, and the mouth's true and read openness; the caption below.

    Args:
        path: the picture to write.
        cases: as generated; the first few are shown.
        videos: (f, s, s, 3) uint8 each.
        readings: of the videos.
        mode: "T", "TI", "TA", "TIA", or "real" for the rendered truth.
    """
    rows = min(SHEET_ROWS, len(cases))
    shown_mode = "TIA" if mode == "real" else mode
    sheet = Image.new("RGB", (CELL * (FRAMES_SHOWN + 2) + _GAP, (CELL + _CAPTION_HEIGHT) * rows), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for row in range(rows):
        top = row * (CELL + _CAPTION_HEIGHT)
        if "I" in shown_mode:
            sheet.paste(cases[row].reference.resize((CELL, CELL)), (0, top))
        moments = np.linspace(0, len(videos[row]) - 1, FRAMES_SHOWN).round().astype(int)
        for column, moment in enumerate(moments):
            sheet.paste(Image.fromarray(videos[row][moment]).resize((CELL, CELL)), (CELL * (column + 1) + _GAP, top))
        if "A" in shown_mode:
            corner = (CELL * (FRAMES_SHOWN + 1) + _GAP, top)
            _draw_curve(draw, corner, cases[row].clip.openness, _TRUE)
            _draw_curve(draw, corner, readings[row].openness, _READ)
        lines = wrap(cases[row].captions[shown_mode].text, 170)
        draw.multiline_text((4, top + CELL + 2), "\n".join(lines[:2]), fill="black", font=font, spacing=1)
    sheet.save(path, quality=88, method=6)
    return path


def write_samples(folder: Path, cases: Sequence[Case], videos: Sequence[np.ndarray], mode: str) -> list[Path]:
    """Writes the first few videos of a mode as mp4, twice as large, with the sound where it was given."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for case, frames in list(zip(cases, videos, strict=True))[:SAMPLES]:
        audio = (case.clip.waveform, SAMPLE_RATE) if "A" in mode or mode == "real" else None
        paths.append(write_video(folder / f"{mode}-{case.index}.mp4", frames, FPS, audio, scale=2))
    return paths


def probe_table(accuracy: dict[str, Any]) -> str:
    """Accuracy of the probes as a Markdown table."""
    columns = [name for name in ("renders", "codec") if name in accuracy]
    rows = ((name, *(f"{accuracy[column][name]:.3f}" for column in columns)) for name in accuracy["renders"])
    return markdown_table((f"{accuracy['clips']} clips", *columns), rows) + "\n"


def summary(mode: str, figures: dict[str, Any]) -> str:
    """One line of a mode's figures for the terminal."""
    names = ("sync", "sync_shuffled", "sync_loudness", "identity", "text", "faces", "grain")
    return f"{mode:<4}" + "  ".join(f"{name} {figures[name]:z.2f}" for name in names if name in figures)


def _draw_curve(draw: ImageDraw.ImageDraw, corner: tuple[int, int], curve: np.ndarray, colour: tuple[int, ...]) -> None:
    left, top = corner
    x = left + 4 + np.arange(len(curve)) * (CELL - 8) / max(1, len(curve) - 1)
    y = top + CELL - 10 - np.clip(curve, -0.05, 1.1) * (CELL - 24)
    draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=2)


def _settings_text(report: dict[str, Any]) -> str:
    settings = report["settings"]
    return (
        f"{settings['num_videos']} held-out cases a mode (split {settings['split']}, seed {settings['seed']}), "
        f"{settings['num_frames']} frames of {settings['size']}x{settings['size']}, {settings['num_inference_steps']} "
        f"steps{computed_in(report)}, guidance `{json.dumps(settings['guidance'])}`. "
        "In brackets: 95 % intervals over cases.\n"
    )


def _spread_section(report: dict[str, Any]) -> list[str]:
    if "spread" not in report:
        return []
    count = len(report["spread"]["seeds"])
    return [f"\n## Over {count} seeds: mean ± standard deviation\n", spread_table(report["spread"])]


def _mode_table(report: dict[str, Any]) -> str:
    columns = {**report["modes"], **report["ceilings"]}
    rows = (
        (title, *(with_interval(figures, key) for figures in columns.values()), meaning)
        for title, key, meaning in FIGURES
        if any(key in figures for figures in columns.values())
    )
    figures = "Columns renders and codec: the real clips, as drawn and through the video codec."
    return f"{markdown_table(('', *columns, ''), rows)}\n\n{figures}\n"


def _other_figures(report: dict[str, Any]) -> str:
    lines = []
    for key, title in (("mask_iou", "one person"), ("mask_iou_two_people", "with a second, silent person")):
        if report.get(key):
            levels = report[key]
            lines += [f"\nIoU of the focus head's face mask on real clips, {title}, by timestep (1000 is noise):\n"]
            lines.append(_one_row(levels))
    distances = report["frechet"]
    lines += ["\nFrechet distance of the probes' features to other real clips (renders: real against real):\n"]
    return "\n".join([*lines, _one_row(distances)]) + "\n"


def _one_row(figures: dict[str, float]) -> str:
    return markdown_table(figures, [[f"{value:.2f}" for value in figures.values()]])


def _attribute_table(report: dict[str, Any]) -> str:
    rows = (
        (mode, figure, name, f"{row['generated']:.2f}", f"{row['renders']:.2f}", row["clips"])
        for mode, figures in report["modes"].items()
        for figure in ("text", "identity")
        for name, row in figures.get(f"{figure}_by_attribute", {}).items()
    )
    return markdown_table(("mode", "figure", "attribute", "generated", "renders", "clips"), rows) + "\n"
