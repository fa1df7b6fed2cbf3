"""The figures of voices in words and tables: for report.json, the terminal, the model card and the README. Ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from humo.evaluation.rounding import rounded, with_interval
from humo.system.files import write_json, write_text
from humo.system.tables import markdown_table

SECTION = "voices"
"""Name of the figures in report.json."""
NAMES = {
    "human": "people",
    "espeak": "espeak-ng, same words",
    "espeak_own": "… by its own phonemes",
    "hibari": "hibari, same words",
}
COLUMNS = {
    "sync": "lip sync",
    "sync_shuffled": "with another's voice",
    "sync_loudness": "loudness alone",
    "width_sync": "mouth width",
    "bilabials": "open at p, b, m",
    "open_vowels": "open at a, o",
    "told_apart": "told apart",
}


def write_voices(figures: dict[str, Any], folder: Path) -> Path:
    """Puts the figures into report.json, whatever else that holds, and writes voices.md.

    Args:
        figures: from `humo.evaluation.voices.measure.evaluate_voices`, with "source".
        folder: must exist.

    Returns:
        Path of voices.md.
    """
    report = _read_report(folder) | {SECTION: rounded(figures)}
    write_json(folder / "report.json", report)
    page = folder / "voices.md"
    write_text(page, "# Human voices\n\n" + voice_table(report[SECTION]))
    return page


def kept_voices(folder: Path, model: str) -> dict[str, Any]:
    """The section of an earlier report in a folder, {} or {"voices": ...}; one of other weights says so from now on."""
    figures = _read_report(folder).get(SECTION)
    if not figures:
        return {}
    return {SECTION: figures | ({} if figures["settings"]["model"] == model else {"earlier_weights": True})}


def _of_earlier_weights(figures: dict[str, Any]) -> str:
    return " Measured with earlier weights." if figures.get("earlier_weights") else ""


def voice_table(figures: dict[str, Any]) -> str:
    """All rows as a Markdown table, and what they mean."""
    rows = {NAMES[key]: row for key, row in figures["by_voice"].items()}
    rows |= {f"people, {name}": row for name, row in figures["by_change"].items()}
    cells = ((name, *(with_interval(row, column) for column in COLUMNS)) for name, row in rows.items())
    human = figures["by_voice"]["human"]
    shut, wide = human.get("phones", (0, 0))
    lines = [
        markdown_table(("", *COLUMNS.values()), cells),
        "",
        f"{human['pieces']} pieces of {figures['settings']['num_frames']} frames of {figures['speakers']} people, from "
        f"{figures['source']}; in brackets 95 % intervals over pieces. The truth of recordings are their phones by "
        "forced alignment: espeak-ng's second row says what that costs. *Told apart*: share of all pairs of "
        f"{shut} closed lips and {wide} open vowels of which the vowel is more open; 0.5 is chance."
        f"{_of_earlier_weights(figures)}",
        "",
        f"How far the mouth is open while nobody speaks: {figures['pauses']['openness']:z.2f} in pauses, with a room's "
        f"noise 20 dB under the voice; {figures['music']['openness']:z.2f} while music plays alone.",
    ]
    return "\n".join(lines) + "\n"


def voices_in_words(figures: dict[str, Any]) -> str:
    """What people's voices did, as sentences for the README."""
    by_voice, by_change = figures["by_voice"], figures["by_change"]
    human, espeak = by_voice["human"], by_voice.get("espeak")
    beside = f"; espeak-ng's, same words, {espeak['sync']:z.2f} and {espeak['width_sync']:z.2f}" if espeak else ""
    changed = ", ".join(
        f"{name} {row.get('sync', float('nan')):z.2f} and {row.get('width_sync', float('nan')):z.2f}"
        for name, row in by_change.items()
    )
    return (
        f"*Human voices*: {human['pieces']} pieces of recordings of {figures['speakers']} people, from "
        f"{figures['source']}. Openness and width of the mouth correlate with the aligned phones by "
        f"{human['sync']:z.2f} and {human['width_sync']:z.2f}{beside}; {changed}. While nobody speaks, the mouth is "
        f"open by {figures['pauses']['openness']:z.2f} in pauses with noise and by {figures['music']['openness']:z.2f} "
        f"while music plays alone.{_of_earlier_weights(figures)}"
    )


def voice_summary(name: str, row: dict[str, Any]) -> str:
    """One row's figures for the terminal."""
    cells = (f"{column} {row[column]:z.2f}" for column in COLUMNS if column in row)
    return f"{name:<28}" + "  ".join(cells)


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    return json.loads(path.read_text()) if path.is_file() else {}
