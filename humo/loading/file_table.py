"""Which file of the published models fits into which GPU, as markdown: estimated, nothing is loaded.

A file is counted as if the matrices of its blocks were all of its kind and the rest in 16 bits. Names with `_S`, `_M`
and `_L` mix kinds: such a file may be a tenth larger. Bits of a number are those of GGUF's blocks. Ours.
"""

from __future__ import annotations

from dataclasses import replace

from humo.loading.estimates import GB, MODELS, Sizes, estimate, sizes_of_preset
from humo.loading.memory import TABLE_SIZES, plan_of
from humo.loading.memory_presets import Plan
from humo.system.tables import markdown_table

BITS = {"bf16": 16, "fp8": 8, "Q8_0": 8.5, "Q6_K": 6.5625, "Q5_K": 5.5, "Q4_K": 4.5, "Q3_K": 3.4375}
"""Of a number in a file of each kind."""
MEMORY = ("6GB", "8GB", "10GB", "12GB", "16GB")
_SHORT = {"model_offload": "parts in turn", "offload_blocks": "blocks in turn", "offload_encoders": "encoders by layer"}


def file_table() -> str:
    """Markdown: a line for each model and kind of file, a column for each memory.

    Returns:
        In a cell what is moved to the GPU in turn, and the most frames of 832x480 if 97 do not fit; – if none do.
    """
    height, width, frames = TABLE_SIZES[0]
    lines = []
    for model in MODELS:
        for kind, bits in BITS.items():
            sizes = replace(sizes_of_preset(model), block_bytes=bits / 8)
            size = (bits / 8 * sizes.blocks + 2 * (sizes.transformer - sizes.blocks)) / GB
            lines.append([model, kind, f"{size:.1f} GB", *(_cell(sizes, memory) for memory in MEMORY)])
    note = (
        f"Estimated for {width}x{height} with {frames} frames, text, picture and sound, umT5 in bf16 on the host; a "
        "number of frames where fewer fit. The host holds what is in turn."
    )
    return f"{markdown_table(['model', 'file', 'transformer', *MEMORY], lines)}\n\n{note}"


def _cell(sizes: Sizes, memory: str) -> str:
    height, width, most = TABLE_SIZES[0]
    try:
        plan = plan_of(memory, sizes)
    except ValueError:  # which says that no plan does
        return "–"
    room = int(memory.removesuffix("GB")) * GB
    lengths = (frames for frames in range(most, 0, -4) if estimate(sizes, height, width, frames, plan).peak <= room)
    frames = next(lengths, 0)
    return "–" if not frames else _describe(plan) if frames == most else f"{frames} frames, {_describe(plan)}"


def _describe(plan: Plan) -> str:
    """What is moved to the GPU in turn, in few words."""
    told = next((word for name, word in _SHORT.items() if getattr(plan, name)), "all on the GPU")
    return f"{told}, as float8" if plan.layerwise_casting else told
