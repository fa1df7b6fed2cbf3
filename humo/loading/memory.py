"""One GPU of any size: which of diffusers' own mechanisms are switched on for how much memory.

`humo.load(..., memory="24GB")` calls `place`, which looks the plan of that memory and model up in
`humo.loading.memory_presets` and applies it. Every switch of a `Plan` is a mechanism of diffusers; `apply_plan` shows
all calls. A smaller preset always works on a larger GPU. What each costs:

- `model_offload`: one whole component on the GPU at a time. Exact; costs the moves, seconds for a video.
- `offload_encoders`: text and audio encoder come to the GPU layer by layer. Exact; they run once for a video.
- `offload_blocks`: the transformer's blocks come one after another, the next while one computes. Exact. A block of the
  17B model is 0.8 GB, which a PCIe 4 slot brings in about 40 ms, while it computes for far longer at 480x832. That is
  hidden where the host has room for the whole model in pinned memory; else each block is pinned anew when it is
  wanted, on the thread that starts the GPU's work, while the GPU waits (`has_room_to_pin`).
- `layerwise_casting`: the blocks' weights rest as float8_e4m3fn and are widened for computing. Halves what they take;
  NOT exact (3 bits of mantissa are left).
- `tile_vae`: the video codec works on overlapping tiles of 256x256 pixels, and on one video of a batch at a time. Seams
  are blended: close, not exact.
- `cache_prompts`: features of prompts are kept on disk (`humo.requests.prompt_cache`). Exact.

Not done, and why. The text encoder is not quantised: bitsandbytes is no requirement here, layer-wise casting breaks
transformers' UMT5 (its feed-forward layer casts activations to the type in which the weights rest), and offloaded layer
by layer the encoder takes no more room than its largest layer; with `humo.requests.prompt_cache.release_text_encoder`
it leaves the host's memory too. It is not run on the CPU, where 512 tokens of umT5-xxl take long.

Two more switches need no plan and work on any loaded pipeline: `pipe.transformer.set_attention_backend("native")`, or
any other name of diffusers' dispatcher whose package is installed (`flash`, `sage`, `_native_cudnn` ...), and
`pipe.load_lora_weights(...)` (with peft installed) with Wan LoRAs in diffusers' or Wan's own key names. A few-step LoRA
keeps audio guidance: it was distilled to do without text guidance, so ask for its number of steps and for
`guidance={"rule": "constant", "text": 1.0, "image": 1.0, "audio": 3.0}`, two passes a step (`audio` 1.0: one pass).
Under `layerwise_casting` a LoRA must be there before, as in `humo.load("17B", memory="8GB", lora=...)`, for peft would
make its weights in float8, in which nothing can be computed; and such weights cannot be saved (`humo.layers.float8`).

All of this file is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil
import torch
from diffusers.hooks import apply_group_offloading
from diffusers.models.modeling_utils import ModelMixin

from humo.layers.float8 import is_quantised
from humo.loading.estimates import (
    ASSUMED_TFLOPS,
    BFLOAT16,
    GB,
    Call,
    Estimate,
    Sizes,
    estimate,
    sizes_of_pipeline,
    sizes_of_preset,
)
from humo.loading.memory_presets import LARGE, PRESETS, QUANTISED, SMALL, Plan, fits, plan_for
from humo.requests.prompt_cache import PromptCache
from humo.system.fingerprint import fingerprint_text_encoder
from humo.system.processes import local_processes
from humo.system.processor import has_bfloat16

if TYPE_CHECKING:
    from humo.pipeline import HuMoPipeline

logger = logging.getLogger(__name__)

__all__ = [
    "PRESETS",
    "Estimate",
    "Plan",
    "apply_plan",
    "check_memory_preset",
    "estimate",
    "estimate_run",
    "has_room_to_pin",
    "place",
    "plan_for",
    "plan_of",
    "stays_in_float32",
]

TABLE_SIZES = ((480, 832, 97), (720, 1280, 97))
"""(height, width, frames) of the table of estimates."""


def default_dtype(device: torch.device | None = None) -> torch.dtype:
    """The dtype in which `load` loads unless asked otherwise: bfloat16 where hardware multiplies it; else float16 on a
    GPU, for the plans count 16 bits, and float32 on a CPU.

    GPUs without bfloat16 are NVIDIA's before Ampere: GTX 16, RTX 20, T4, V100. float16 is untried on such a card. What
    speaks for it: with mini and tiny models on a CPU it came nearer to float32 than bfloat16 did (54 to 43 dB of mini's
    frames); the norms and what modulates them are computed in float32; and transformers keeps the layer of umT5 that
    overflows (`wo`) in float32, which takes 2 GB more of umT5-xxl than is estimated. Its largest number is 65504, and
    that the published models stay below it is not shown here: should a video come out black, give dtype=torch.float32.

    Args:
        device: where to compute; default a GPU if there is one, else the CPU.
    """
    where = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if has_bfloat16(str(where)):
        return torch.bfloat16
    return torch.float16 if where.type == "cuda" else torch.float32


def stays_in_float32(model: ModelMixin, name: str) -> bool:
    """Whether a model keeps a parameter in float32 whatever dtype the others have, as diffusers' loading decides it.

    Args:
        model: a transformer, codec or head.
        name: of the parameter, in it or in a module around it.
    """
    return not set(name.split(".")).isdisjoint(model._keep_in_fp32_modules or ())


def place(pipeline: HuMoPipeline, device: torch.device | str, memory: str | None = None) -> HuMoPipeline:
    """Put a pipeline where it computes, with as little of the GPU's memory as asked for.

    Args:
        pipeline: on the CPU, in bfloat16 (its codec in float32).
        device: where to compute.
        memory: one of `PRESETS`; None keeps everything on the device.

    Returns:
        The same pipeline.

    Raises:
        ValueError: if there is no such preset, the device is not a GPU although the preset needs one, the preset is
            too small for the model, or the GPU is too small for the preset or, without one, for the weights. Where it
            is for the weights alone, and not for a video of the usual size, a warning says so.
    """
    device = torch.device(device)
    sizes = sizes_of_pipeline(pipeline)
    check_memory_preset(memory, device, sizes.transformer, sizes.block_bytes != BFLOAT16)
    if memory is None and device.type == "cuda":
        _check_room(pipeline, sizes, torch.cuda.mem_get_info(device)[1])
    return apply_plan(pipeline, device, plan_of(memory, sizes))


def check_memory_preset(
    memory: str | None, device: torch.device, num_parameters: int, is_quantised: bool = False, total: int | None = None
) -> None:
    """Refuse a memory preset that is not for this device or this model.

    Args:
        memory: as `place` takes it.
        device: where to compute.
        num_parameters: of the transformer, 0 if that is not known yet.
        is_quantised: whether it is stored in fewer than 16 bits.
        total: bytes of the GPU's memory; None for what it tells.

    Raises:
        ValueError: as `place`, but for the model's weights.
    """
    plan_for(memory, 0 if is_quantised else num_parameters)
    if memory is not None and num_parameters >= SMALL and device.type == "cpu":
        raise ValueError(f"memory={memory!r} is about a GPU but the device is the CPU: leave it out, or use a GPU.")
    if total is None and memory is not None and device.type == "cuda":
        total = torch.cuda.mem_get_info(device)[1]
    if memory is not None and total is not None and not fits(memory, total):
        raise ValueError(f"memory={memory!r} is more than this GPU's {total / GB:.0f} GB: give a smaller preset.")


def plan_of(memory: str | None, sizes: Sizes) -> Plan:
    """The plan of a memory preset for a model as it is stored.

    Args:
        memory: as `plan_for` takes it.
        sizes: of the model.

    Returns:
        That of `plan_for` for weights in 16 bits; for quantised ones the cheapest of `QUANTISED` with which 480x832
        and 97 frames fit by the estimates, and where none does, the one that takes least.

    Raises:
        ValueError: as `plan_for`.
    """
    if memory not in PRESETS or sizes.transformer < SMALL or sizes.block_bytes == BFLOAT16:
        return plan_for(memory, sizes.transformer)
    most = int(memory.removesuffix("GB")) * GB
    return next((plan for plan in QUANTISED if estimate(sizes, *TABLE_SIZES[0], plan).peak <= most), QUANTISED[-1])


def _check_room(pipeline: HuMoPipeline, sizes: Sizes, total: int) -> None:
    """Refuses a whole model that does not fit the GPU of `total` bytes, and tells if a video by it would not."""
    models = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    needed = sum(parameter.nbytes for model in models for parameter in model.parameters())
    if needed > total:
        raise ValueError(
            f"The weights take {needed / GB:.0f} GB but this GPU has {total / GB:.0f} GB: {_remedy(sizes, total)}."
        )
    if sizes.transformer < SMALL:
        return
    config = pipeline.config
    height, width, num_frames = config.default_height, config.default_width, config.default_num_frames
    peak = estimate(sizes, height, width, num_frames, plan_for(None, sizes.transformer)).peak
    if peak > total:
        logger.warning(
            "%d frames of %dx%d are expected to take up to %.1f GB but this GPU has %.1f GB, so it may run out of "
            "memory: %s.",
            *(num_frames, width, height, peak / GB, total / GB, _remedy(sizes, total)),
        )


def _remedy(sizes: Sizes, total: int) -> str:
    """What to do where a whole model does not fit a GPU of `total` bytes."""
    is_large = sizes.transformer >= LARGE and sizes.block_bytes == BFLOAT16
    serving = [name for name, plans in PRESETS.items() if "17B" in plans or not is_large]
    fitting = [name for name in serving if fits(name, total)]
    return f'give memory="{fitting[-1]}"' if fitting else f"a GPU of {serving[0]} or more is needed"


def apply_plan(pipeline: HuMoPipeline, device: torch.device | str, plan: Plan) -> HuMoPipeline:
    """Switch on what a plan says.

    Args:
        pipeline: on the CPU.
        device: where to compute; also the CPU, so that every mechanism can be tried without a GPU.
        plan: the switches.

    Returns:
        The same pipeline.
    """
    device = torch.device(device)
    if plan.cache_prompts and pipeline.text_encoder is not None:
        pipeline.prompt_cache = PromptCache(fingerprint_text_encoder(pipeline.text_encoder))
    if plan.layerwise_casting and not is_quantised(pipeline.transformer):  # before hooks that move the weights
        pipeline.transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=pipeline.transformer.dtype
        )
    if plan.tile_vae and hasattr(pipeline.vae, "use_tiling"):  # mini's codec has none and needs none
        pipeline.vae.enable_tiling()
        pipeline.vae.enable_slicing()
    if plan.model_offload:
        pipeline.enable_model_cpu_offload(device=device)
        return pipeline
    if plan.offload_encoders:
        for encoder in (pipeline.text_encoder, pipeline.audio_encoder):
            if encoder is not None:
                apply_group_offloading(encoder, device, torch.device("cpu"), offload_type="leaf_level")
    if plan.offload_blocks:
        pipeline.transformer.enable_group_offload(
            device,
            torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
            low_cpu_mem_usage=not has_room_to_pin(pipeline.transformer, psutil.virtual_memory().available),
        )
    if not (plan.offload_encoders or plan.offload_blocks):
        return pipeline.to(device)
    offloaded = {"text_encoder", "audio_encoder"} if plan.offload_encoders else set()
    offloaded |= {"transformer"} if plan.offload_blocks else set()
    for name, component in pipeline.components.items():
        if isinstance(component, torch.nn.Module) and name not in offloaded:
            component.to(device)
    return pipeline


def has_room_to_pin(transformer: torch.nn.Module, available: int, num_processes: int | None = None) -> bool:
    """Whether the host can hold a transformer in pinned memory, from which a GPU copies while it computes.

    PyTorch rounds each pinned tensor up to a power of two. At most half of what is free is taken: what is pinned is
    lost to all other programs, and some systems refuse more.

    Args:
        transformer: whose weights are pinned.
        available: bytes of the host's memory that are free.
        num_processes: of this computer that pin one each; default those that torchrun started.
    """
    num_processes = local_processes() if num_processes is None else num_processes
    pinned = sum(1 << (weight.nbytes - 1).bit_length() for weight in transformer.parameters())
    return 2 * pinned * num_processes <= available


def estimate_run(
    pipeline_or_preset: HuMoPipeline | str,
    height: int,
    width: int,
    num_frames: int,
    num_inference_steps: int,
    memory: str | None = None,
    tflops: float | None = None,
    *,
    num_images: int = 1,
    has_audio: bool = True,
    guidance: Mapping[str, Any] | None = None,
    num_processes: int = 1,
) -> str | None:
    """What a video is expected to take, in a sentence to print before the run.

    Args:
        pipeline_or_preset: a loaded pipeline, or "1.7B" or "17B".
        height: pixels.
        width: pixels.
        num_frames: video frames.
        num_inference_steps: steps.
        memory: the preset it was loaded with.
        tflops: 10**12 operations a second that the passes of one process reach; None assumes `ASSUMED_TFLOPS`.
        num_images: pictures given, 0 for T and TA.
        has_audio: whether a sound is given.
        guidance: rule as plain data; None for the model's own.
        num_processes: that share the video (`humo.layers.context_parallel`), each on a GPU of its own.

    Returns:
        The sentence, or None for a model as small as mini, which needs no warning.
    """
    if pipeline_or_preset == "mini":
        return None
    sizes = _sizes(pipeline_or_preset)
    if sizes.transformer < SMALL:
        return None
    plan = plan_of(memory, sizes)
    call = Call(num_images=num_images, has_audio=has_audio, guidance=guidance, num_processes=num_processes)
    figures = estimate(sizes, height, width, num_frames, plan, call)
    rate = ASSUMED_TFLOPS if tflops is None else tflops
    operations = num_inference_steps * figures.branches * figures.flops / 1e15
    minutes = figures.seconds(num_inference_steps, rate) / 60
    shared, where = (f", shared by {num_processes} GPUs", "each") if num_processes > 1 else ("", "the GPU")
    return (
        f"Estimate for {num_frames} frames of {width}x{height} in {num_inference_steps} steps of {figures.branches} "
        f"passes{shared}: up to {figures.peak / GB:.1f} GB on {where} ({plan.describe()}), {figures.host / GB:.0f} GB "
        f"of weights on the host, {operations:,.0f} PFLOP, about {minutes:.0f} minutes at "
        f"{'an assumed ' if tflops is None else ''}{rate:g} TFLOP/s{' each' if shared else ''}."
    )


def _sizes(model: HuMoPipeline | str) -> Sizes:
    return sizes_of_preset(model) if isinstance(model, str) else sizes_of_pipeline(model)
