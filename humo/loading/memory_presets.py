"""Which switches are on for how much memory: the one list of the memory presets.

`humo.loading.memory` applies a plan, `humo.loading.estimates` says what it takes. Nothing is imported here, so that the
command line names the presets before it loads anything. All of this file is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

SMALL, LARGE = 5 * 10**8, 6 * 10**9
"""Parameters of a transformer below which nothing needs saving, and from which it is treated as the 17B model."""
_TOLERANCE = 0.9
"""A GPU sold as 24 GB may report a little less: it counts as one from this share on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is switched on; everything off keeps the whole pipeline on the device."""

    model_offload: bool = False
    """One component on the device at a time (`enable_model_cpu_offload`)."""
    offload_encoders: bool = False
    """Text and audio encoder layer by layer (`apply_group_offloading`, leaf level)."""
    offload_blocks: bool = False
    """The transformer block by block (`enable_group_offload`, block level; prefetched in a stream on CUDA)."""
    layerwise_casting: bool = False
    """The transformer's blocks rest in float8_e4m3fn (`enable_layerwise_casting`)."""
    tile_vae: bool = False
    """The codec in tiles, one video at a time (`enable_tiling`, `enable_slicing`), where it can."""
    cache_prompts: bool = False
    """Features of prompts kept on disk."""

    def __post_init__(self) -> None:
        if self.model_offload and (self.offload_encoders or self.offload_blocks):
            raise ValueError("model_offload moves whole components: leave offload_encoders and offload_blocks off.")

    def describe(self) -> str:
        """The switches that are on, in words."""
        words = {
            "model_offload": "model offload",
            "offload_encoders": "encoders by layer",
            "offload_blocks": "blocks in turn",
            "layerwise_casting": "float8 storage",
            "tile_vae": "tiled codec",
            "cache_prompts": "prompts cached",
        }
        return ", ".join(word for name, word in words.items() if getattr(self, name)) or "all on the GPU"


_WHOLE = Plan()
_TURNS = Plan(model_offload=True, cache_prompts=True)
_TURNS_TILED = Plan(model_offload=True, tile_vae=True, cache_prompts=True)
_ENCODERS_TILED = Plan(offload_encoders=True, tile_vae=True, cache_prompts=True)
_BLOCKS = Plan(offload_encoders=True, offload_blocks=True, cache_prompts=True)
_BLOCKS_TILED = Plan(offload_encoders=True, offload_blocks=True, tile_vae=True, cache_prompts=True)

PRESETS: dict[str, dict[str, Plan]] = {
    "6GB": {"1.7B": _BLOCKS_TILED},
    "8GB": {
        "1.7B": _BLOCKS_TILED,
        "17B": Plan(
            offload_encoders=True, offload_blocks=True, layerwise_casting=True, tile_vae=True, cache_prompts=True
        ),
    },
    "10GB": {"1.7B": _ENCODERS_TILED, "17B": _BLOCKS_TILED},
    "12GB": {"1.7B": _ENCODERS_TILED, "17B": _BLOCKS_TILED},
    "16GB": {"1.7B": _TURNS_TILED, "17B": _BLOCKS_TILED},
    "24GB": {"1.7B": _TURNS, "17B": _BLOCKS},
    "48GB": {"1.7B": _WHOLE, "17B": _TURNS},
    "80GB": {"1.7B": _WHOLE, "17B": _WHOLE},
}
"""Plan by memory and model; weights are bfloat16, the codec's float32. Chosen so that 480x832 with 97 frames fits by
`humo.loading.estimates` (a test holds them to it), with the cheapest switches that do."""
QUANTISED = (_WHOLE, _TURNS, _TURNS_TILED, _ENCODERS_TILED, _BLOCKS, _BLOCKS_TILED)
"""Plans for a transformer that came quantised, the cheapest first: `humo.loading.memory.plan_of` takes the first that
fits the weights as they are stored. Its blocks rest in few bits already, so none is cast."""


def fits(preset: str, num_bytes: int) -> bool:
    """Whether a GPU with so many bytes of memory is as large as a memory preset says."""
    return int(preset.removesuffix("GB")) * 10**9 * _TOLERANCE <= num_bytes


def plan_for(memory: str | None, num_parameters: int) -> Plan:
    """The plan of a memory preset.

    Args:
        memory: "6GB", "8GB", "10GB", "12GB", "16GB", "24GB", "48GB" or "80GB"; None keeps everything on the device.
        num_parameters: of the transformer. A model as small as mini is always kept on the device.

    Raises:
        ValueError: if there is no such preset, or it is too small for the model in 16 bits.
    """
    if memory is not None and memory not in PRESETS:
        raise ValueError(f"There is no memory preset {memory!r}: give {', '.join(PRESETS)}, or leave it out.")
    if memory is None or num_parameters < SMALL:
        return _WHOLE
    plans = PRESETS[memory]
    if num_parameters >= LARGE and "17B" not in plans:
        raise ValueError(f"memory={memory!r} is too little for the 17B in 16 bits: give a quantised file, or 8GB.")
    return plans["1.7B" if num_parameters < LARGE else "17B"]
