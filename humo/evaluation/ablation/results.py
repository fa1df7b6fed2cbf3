"""The results of the comparison as a table, a plot, and a verdict on each of the paper's claims. Ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from humo.evaluation.ablation.variants import APPEARS, CAVEATS, CLAIMS, RULES, VARIANTS, Claim
from humo.system.tables import markdown_table

Runs = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Figures by name of the variant or rule, seed and figure."""
SHOWN = ("sync", "sync_loudness", "width_sync", "identity", "text", "frechet", "mask_iou", "faces")
BESIDE = ("sync_second", "sync_second_renders", "leak", "leak_renders", "sync_after")
"""What is shown of those that are measured beside a listener."""
CONFIDENCE, POWER = 0.95, 0.8
_LINEAR, _TICKS = 0.05, (-0.4, -0.1, -0.05, -0.025, 0, 0.025, 0.05, 0.1, 0.4)
"""Of the plot: one claim may have a difference ten times as large as all others."""
OUTCOMES = ("Reproduced", "Not reproduced", "Not decidable here", "Not measured")


def differences(runs: Runs, claim: Claim) -> np.ndarray:
    """By how much `better` has more of the figure than `worse`, seed by seed, in the claim's direction, (seeds,)."""
    better, worse = runs.get(claim.better, {}), runs.get(claim.worse, {})
    both = better.keys() & worse.keys()
    seeds = sorted(seed for seed in both if claim.figure in better[seed] and claim.figure in worse[seed])
    values = np.array([better[seed][claim.figure] - worse[seed][claim.figure] for seed in seeds])
    return values if claim.is_higher_better else -values


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % interval by Student's t; infinite for fewer than two seeds."""
    if len(values) < 2:
        return (float(values.mean()) if len(values) else float("nan")), float("-inf"), float("inf")
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def outcome(runs: Runs, claim: Claim) -> str:
    """One of `OUTCOMES`.

    The interval of the paired differences decides: wholly on the claim's side, wholly on the other, or around zero.
    It takes two seeds.
    """
    values = differences(runs, claim)
    if len(values) < 2:
        return OUTCOMES[3]
    _, low, high = interval(values)
    return OUTCOMES[0] if low > 0 else OUTCOMES[1] if high < 0 else OUTCOMES[2]


def detectable(values: np.ndarray) -> float:
    """The true difference that so many seeds with such a spread would decide four times in five; infinite for one seed.

    Args:
        values: paired differences, (seeds,).
    """
    free = len(values) - 1
    if free < 1:
        return float("inf")
    limit = stats.t.ppf((1 + CONFIDENCE) / 2, free)
    errors = optimize.brentq(lambda shift: stats.nct.sf(limit, free, shift) - POWER, 0, 100)
    return float(errors * values.std(ddof=1) / len(values) ** 0.5)


def doubt(values: np.ndarray) -> str:
    """What can be said of differences that decided nothing.

    Args:
        values: paired differences, (seeds,), two or more.
    """
    if not values.any():
        return "all seeds have the same of both"
    return f"a true difference of {detectable(values):.3f} would have been seen four times in five"


def verdict(runs: Runs, claim: Claim) -> str:
    """A sentence with the outcome and the figures behind it."""
    values, came_out = differences(runs, claim), outcome(runs, claim)
    if came_out == OUTCOMES[3]:
        return f"{claim.text} {came_out}: {len(values)} seed{'s' * (len(values) != 1)}."
    mean, low, high = interval(values)
    if not claim.is_higher_better:
        mean, low, high = -mean, -high, -low
    said = (
        f"{claim.text} {came_out}: {claim.figure} {mean:+z.3f} [{low:+z.3f}, {high:+z.3f}] for "
        f"{claim.better} against {claim.worse}, {len(values)} seeds"
    )
    return f"{said}; {doubt(values)}." if came_out == OUTCOMES[2] else f"{said}."


def decided_together(runs: Runs) -> list[Claim]:
    """The claims that are still decided when all are judged together, by the rule of Holm (1979).

    Where nothing differs, each interval alone decides one claim of twenty; by this rule one *set* of claims of twenty
    has a decided one.
    """
    ps = {claim: _p_value(differences(runs, claim)) for claim in CLAIMS if outcome(runs, claim) != OUTCOMES[3]}
    decided = list[Claim]()
    for rank, claim in enumerate(sorted(ps, key=lambda claim: ps[claim])):
        if ps[claim] >= (1 - CONFIDENCE) / (len(ps) - rank):
            break
        decided.append(claim)
    return decided


def together_in_words(runs: Runs) -> str:
    """A sentence on `decided_together`."""
    decided = decided_together(runs)
    which = "; ".join(f"{claim.text[:-1]} ({outcome(runs, claim).lower()})" for claim in decided)
    return (
        "Even where nothing differs, an interval by itself decides one claim of twenty; judged together, by Holm's "
        f"rule, {len(decided)} of {len(CLAIMS)} remain{'s' * (len(decided) == 1)} decided{': ' * bool(decided)}{which}."
    )


def _p_value(values: np.ndarray) -> float:
    """Of paired differences, (seeds,): the chance of so large a mean if nothing differs; 1 where all are 0."""
    return float(stats.ttest_1samp(values, 0).pvalue) if values.any() else 1.0


def table(runs: Runs, names: Sequence[str], shown: Sequence[str] = SHOWN) -> str:
    """Means and standard deviations over seeds as markdown."""
    rows = []
    for name in names:
        if by_seed := runs.get(name):
            cells = [_cell([figures[figure] for figures in by_seed.values() if figure in figures]) for figure in shown]
            rows.append((name, *cells, len(by_seed)))
    return markdown_table(("", *shown, "seeds"), rows) if rows else "Nothing was measured yet."


def write_results(record: dict[str, Any], folder: Path) -> Path:
    """Writes results.md and results.png from what is in `record["runs"]`.

    Args:
        record: as in results.json.
        folder: where to.

    Returns:
        Path of results.md.
    """
    runs, settings = record["runs"], record["settings"]
    said = {**{name: variant.what for name, variant in VARIANTS.items()}, **_rules_in_words()}
    by_start = {start: [name for name, one in VARIANTS.items() if one.start == start] for start in ("silent", "text")}
    plain = [figure for figure in SHOWN if figure != "mask_iou"]
    parts = [
        "# The paper's claims, in miniature\n",
        f"Written by `{record['command']}` on {record['device']}; {record['hours']:.1f} hours of training and "
        f"measuring. All begins from {settings['start']}, weights `{record['start_weights']}`, and learns from "
        f"{record['clips']} clips; each seed has {record['videos']} held-out videos of "
        "its own, and as many with a silent listener beside the speaker, the same for all. Mean ± standard deviation "
        "over seeds.\n",
        "## Sound and focus\n",
        f"Sound and mask predictor anew, all else as trained, without the detail head; {settings['steps']} steps.\n",
        table(runs, by_start["silent"]),
        f"\nBeside a silent listener: lip sync of the speaker, of renders, how much the listener's mouth follows, of "
        f"renders, and the share of the steps after which the lip sync is {APPEARS:g}.\n",
        table(runs, by_start["silent"], BESIDE),
        "\n## Stages and order\n",
        f"Self-attention too anew, {settings['base_steps']} steps of text to video, then {settings['text_steps']}.\n",
        table(runs, by_start["text"]),
        f"\n## Guidance, on {settings['start']} itself\n",
        table(runs, list(RULES), plain),
        "\n## What was compared\n",
        "\n".join(f"- `{name}`: {said[name]}" for name in [*VARIANTS, *RULES]),
        "\n## Claims\n",
        "The interval of the differences, seed by seed, decides: *reproduced* where all of it lies on the side of the "
        "claim, *not reproduced* where all of it lies on the other, else *not decidable here*, with the true "
        "difference that such a spread would have decided four times in five.\n",
        f"{together_in_words(runs)}\n",
        "Of these the paper's ablation table has figures:\n",
        "\n".join(f"- {verdict(runs, claim)}" for claim in CLAIMS if claim.is_measured),
        "\nFor these it argues:\n",
        "\n".join(f"- {verdict(runs, claim)}" for claim in CLAIMS if not claim.is_measured),
        "\n## What must be known\n",
        "\n".join(f"- {caveat}" for caveat in CAVEATS),
        "\n![Differences to the paper's recipe](results.png)\n",
    ]
    (folder / "results.md").write_text("\n".join(parts))
    draw(runs, folder / "results.png")
    return folder / "results.md"


def draw(runs: Runs, path: Path) -> None:
    """Each claim's paired differences: points for seeds, a line for the interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.42 * len(CLAIMS) + 1.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    for row, claim in enumerate(CLAIMS):
        values = differences(runs, claim)
        mean, low, high = interval(values)
        if np.isfinite([low, high]).all():
            axes.plot([low, high], [row, row], color="0.35", linewidth=2)
            axes.plot([mean], [row], "D", color="0.1", markersize=6)
        axes.plot(values, [row] * len(values), "o", color="#0072B2", markersize=5, alpha=0.8)
    axes.axvline(0, color="0.6", linewidth=1, linestyle="--")
    labels = [f"{claim.better} against {claim.worse}: {claim.figure}" for claim in CLAIMS]
    axes.set_yticks(range(len(CLAIMS)), labels)
    axes.set_ylim(len(CLAIMS) - 0.5, -0.5)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=1.2)
    axes.set_xticks(_TICKS, [f"{tick:+g}" if tick else "0" for tick in _TICKS])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.03)
    axes.set_xlabel(
        "difference in the direction of the claim (right of zero: as the paper says);\n"
        f"beyond {_LINEAR:g} the scale is logarithmic"
    )
    figure.savefig(path)


def _rules_in_words() -> dict[str, str]:
    def scales(rule: dict[str, Any]) -> str:
        text = f"text {rule['text']:g}, image {rule['image']:g}, audio {rule['audio']:g}"
        early = rule.get("early")
        if early is None:
            return text
        return f"{text}; above timestep {rule['switch']:g} " + ", ".join(f"{value:g}" for value in early)

    return {name: scales(rule) for name, rule in RULES.items()}


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
