"""Writes the README's figures from the files that the commands left: `python .ci/figures.py`.

Reads assets/humo-mini/report.json (of `python -m humo evaluate`) and, where it exists, benchmark.json (of
`python -m humo benchmark --json`) beside it, and ablation/results.json (of `python -m humo ablate`), and puts the texts
between their marks in the README. A test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from humo.checkpoints import load
from humo.evaluation.ablation.results import OUTCOMES, Runs, detectable, differences, outcome, together_in_words
from humo.evaluation.ablation.variants import CLAIMS, Claim
from humo.evaluation.seeds import cases_in_words, figure_cell
from humo.evaluation.voices.report import SECTION, voices_in_words
from humo.system.fingerprint import fingerprint

ROOT = Path(__file__).parent.parent
MINI = ROOT / "assets" / "humo-mini"
BEGIN, END = "<!-- figures: python .ci/figures.py -->", "<!-- end of figures -->"
CLAIMS_BEGIN, CLAIMS_END = "<!-- claims: python .ci/figures.py -->", "<!-- end of claims -->"
COLUMNS = {
    "sync": "lip sync",
    "sync_shuffled": "with another's voice",
    "sync_loudness": "loudness alone",
    "identity": "picture kept",
    "text": "text followed",
    "faces": "faces found",
}
NAMES = {"T": "text", "TI": "text + picture", "TA": "text + voice", "TIA": "text + picture + voice"}


def figures(folder: Path = MINI) -> str:
    """The text between the marks, empty as long as there is no report."""
    report, speed = folder / "report.json", folder / "benchmark.json"
    parts = []
    if report.exists():
        parts.append(quality(json.loads(report.read_text())))
    if speed.exists():
        parts.append(pace(json.loads(speed.read_text())))
    return "\n\n".join(parts)


def quality(report: dict) -> str:
    """A table with one line a mode and one for people's voices, and sentences on the masks and these voices."""
    lines = ["| from | " + " | ".join(COLUMNS.values()) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    for mode in report["modes"]:
        cells = [figure_cell(report, mode, key) or "–" for key in COLUMNS]
        lines.append(f"| {NAMES[mode]} | " + " | ".join(cells) + " |")
    if voices := report.get(SECTION):
        human = voices["by_voice"]["human"]
        cells = [f"{human[key]:z.2f}" if key in human else "–" for key in COLUMNS]
        lines.append("| human voices | " + " | ".join(cells) + " |")
    lines += ["", cases_in_words(report)]
    if report.get("mask_iou"):
        masks = ", ".join(f"{iou:.2f} at timestep {timestep}" for timestep, iou in report["mask_iou"].items())
        lines[-1] += f" Overlap (IoU) of the predicted with the true face mask: {masks} (1000 is pure noise)."
    if voices:
        lines += ["", voices_in_words(voices)]
    return "\n".join(lines)


def pace(figures: dict) -> str:
    """A sentence on time and memory."""
    settings, seconds, memory = figures["settings"], figures["seconds"], figures["memory"]
    where = "the CPU" if settings["device"] == "cpu" else settings["device"]
    return (
        f"A clip of {settings['frames']} frames from text, picture and voice in {settings['steps']} steps takes "
        f"{seconds['total']:.1f} s on {settings['threads']} threads of {where} the first time, after "
        f"{seconds['load']:.1f} s of loading, and {memory['peak_mib'] / 1024:.1f} GiB of memory at the most."
    )


def claims(folder: Path = MINI / "ablation") -> str:
    """The paper's claims by what came out, and how that was come by."""
    record = json.loads((folder / "results.json").read_text())
    runs, lines = record["runs"], ["```bash", record["command"], "```", "", "What came out:", ""]
    for word in OUTCOMES:
        if chosen := [_told(runs, claim) for claim in CLAIMS if outcome(runs, claim) == word]:
            lines.append(f"- **{word}** ({len(chosen)} of {len(CLAIMS)}): {' '.join(chosen)}")
    seeds, settings = min(len(by_seed) for by_seed in runs.values()), record["settings"]
    lines += [
        "",
        together_in_words(runs),
        "",
        f"{seeds} seeds; {settings['steps']} steps each for sound and focus, {settings['text_steps']} for stages and "
        f"order; {record['videos']} held-out videos a seed, and as many with a silent listener; {record['hours']:.1f} "
        f"hours on {record['device']}.{_other_start(record)} What decides, all figures, and what must be known to read "
        "them: [results.md](assets/humo-mini/ablation/results.md).",
    ]
    return "\n".join(lines)


def _told(runs: Runs, claim: Claim) -> str:
    """A claim; with the difference that would have been seen where none was."""
    if outcome(runs, claim) != OUTCOMES[2]:
        return claim.text
    values = differences(runs, claim)
    seen = f"{detectable(values):.2f} would have been seen" if values.any() else "the same in all seeds"
    return f"{claim.text[:-1]} ({claim.figure}; {seen})."


def _other_start(record: dict) -> str:
    """A sentence where the comparison began from other weights than those that are bundled now."""
    if record["settings"]["start"] != "mini" or record["start_weights"] == fingerprint(load("mini").transformer):
        return ""
    return " All began from the weights that were bundled then; the same command now begins from the newer ones."


def written(readme: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The README with the text between two marks."""
    before, rest = readme.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{text}\n{end}{after}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(written(written(path.read_text(), figures()), claims(), CLAIMS_BEGIN, CLAIMS_END))
