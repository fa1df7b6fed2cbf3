"""What a video takes with each memory preset and published model, as markdown: estimated, nothing is loaded. Ours."""

from __future__ import annotations

from humo.loading.estimates import ASSUMED_TFLOPS, GB, estimate, sizes_of_preset
from humo.loading.memory import TABLE_SIZES
from humo.loading.memory_presets import PRESETS
from humo.system.tables import markdown_table


def estimate_table(tflops: float = ASSUMED_TFLOPS) -> str:
    """Estimated memory and time as markdown.

    Args:
        tflops: 10**12 operations a second assumed for the times.

    Returns:
        One line for each model and memory preset, two columns for each of `TABLE_SIZES`: peak on the GPU, and minutes
        of 50 steps.
    """
    heads = [f"{width}x{height}, {frames} frames" for height, width, frames in TABLE_SIZES]
    titles = ["model", "memory", "how", "host", *(f"{head}: {what}" for head in heads for what in ("GPU", "50 steps"))]
    lines = []
    for memory, plans in PRESETS.items():
        for model, plan in plans.items():
            all_sizes = [estimate(sizes_of_preset(model), *size, plan) for size in TABLE_SIZES]
            cells = [model, memory, plan.describe(), f"{all_sizes[0].host / GB:.0f} GB"]
            for each in all_sizes:
                cells += [f"{each.peak / GB:.1f} GB", f"{each.seconds(50, tflops) / 60:.0f} min"]
            lines.append(cells)
    note = f"Estimates, for text, picture and sound, at {tflops:g} TFLOP/s reached by the passes; host: weights there."
    return f"{markdown_table(titles, lines)}\n\n{note}"
