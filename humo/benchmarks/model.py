"""Seconds of a pass of a published model's true size, with random weights: no checkpoint is needed.

Time depends on sizes, not on what the weights are. The transformer is built on the device itself in bfloat16, norms and
time embedding in float32 as loading keeps them, and one step of the model's own guidance with text, picture and sound
is timed: a pass for each branch. The rate is set against a square matrix product measured in the same run (the
ceiling). `compare="plain"` times the same step in the published code's plain way (`humo.benchmarks.plain`) in the same
run, and how far the two results lie apart.

All of this file is ours.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from humo.benchmarks.instruments import matmul_rate, now, other_load, peak_memory
from humo.benchmarks.plain import plain_step
from humo.guidance import Branch, Weights, make_rule
from humo.loading.estimates import (
    GB,
    MODELS,
    TEXT_TOKENS,
    TYPICAL_TIMESTEP,
    count_parameters,
    count_tokens,
    pass_bytes,
    pass_flops,
)
from humo.sampling import Conditions, guided_velocity
from humo.timing import check_num_frames, count_latents
from humo.transformer import HuMoTransformer3DModel

RELEASED_BRANCHES = {
    "1.7B": [Branch(True, True, True), Branch(True, False, True), Branch(True, False, False)],
    "17B": [],
}
"""Branches that the published code runs at every step, whatever their weight; ours leaves out those of weight 0."""
GPU_SQUARE, CPU_SQUARE = 8192, 1024
"""Side of the matrix product that counts as the ceiling."""


def measure_model(
    preset: str,
    num_frames: int = 97,
    height: int = 480,
    width: int = 832,
    compare: str | None = None,
    compile_blocks: bool = False,
    num_layers: int | None = None,
    repeats: int = 2,
    device: torch.device | str | None = None,
) -> dict[str, Any]:
    """Times one step of a model with random weights.

    Args:
        preset: "1.7B" or "17B".
        num_frames: video frames, 4k + 1.
        height: pixels, a multiple of 16.
        width: pixels, a multiple of 16.
        compare: "plain" times the plain way too; None does not.
        compile_blocks: compile the blocks of our way first; minutes that are not counted.
        num_layers: blocks, where less than the whole model is wanted; times are then of those blocks alone.
        repeats: steps timed after one to warm up; the median counts.
        device: default a GPU if there is one, else the CPU, where the weights are float32.

    Returns:
        Plain numbers, ready for JSON: `settings`, `ceiling`, `ours`, and with `compare` also `plain` and `gain`.

    Raises:
        ValueError: if a name or size is not allowed, or the true size is asked for without a GPU.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    _check(preset, num_frames, height, width, compare, num_layers, device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    make_config, rule_name = MODELS[preset]
    changes = {} if num_layers is None else {"num_layers": num_layers}
    load_before = other_load()
    transformer = random_transformer({**make_config(), **changes}, device, dtype)
    latents, conditions = random_conditions(transformer, num_frames, height, width)
    weights = make_rule({"rule": rule_name})(TYPICAL_TIMESTEP)
    latent_frames = latents.shape[2]
    tokens = count_tokens(latent_frames, height, width)
    flops = pass_flops(transformer.config, latent_frames, tokens, TEXT_TOKENS)
    side = CPU_SQUARE if device.type == "cpu" else GPU_SQUARE
    ceiling = matmul_rate(side, side, side, dtype, device)
    result: dict[str, Any] = {
        "settings": {
            "model": preset,
            "weights": "random",
            "layers": len(transformer.blocks),
            "parameters": count_parameters(transformer),
            "frames": num_frames,
            "height": height,
            "width": width,
            "tokens": tokens,
            "flops_per_pass": flops,
            "estimated_peak_bytes": _bytes_of(transformer) + pass_bytes(transformer.config, tokens, dtype.itemsize),
            "dtype": str(dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "torch": torch.__version__,
            "compiled": compile_blocks,
            "load_before": load_before,
        },
        "ceiling": {"side": side, "flops_per_second": ceiling},
    }
    arguments = (transformer, latents, TYPICAL_TIMESTEP, weights, conditions)
    plain = None
    if compare == "plain":
        all_weights = {**dict.fromkeys(RELEASED_BRANCHES[preset], 0.0), **weights}
        released = (transformer, latents, TYPICAL_TIMESTEP, all_weights, conditions)
        plain = _time_step(plain_step, released, flops, ceiling, repeats)
    if compile_blocks:  # only now, so that the plain way ran without
        transformer.compile_repeated_blocks()
    ours = _time_step(guided_velocity, arguments, flops, ceiling, repeats)
    velocity = ours.pop("velocity")
    result["ours"] = ours
    if plain is not None:
        difference = (velocity - plain.pop("velocity")).norm() / velocity.norm()
        result["plain"] = plain
        result["gain"] = {
            "of_a_step": plain["step"] / ours["step"],
            "of_a_pass": plain["pass"] / ours["pass"],
            "relative_difference": float(difference),
        }
    return result


def _check(
    preset: str,
    num_frames: int,
    height: int,
    width: int,
    compare: str | None,
    num_layers: int | None,
    device: torch.device,
) -> None:
    if preset not in MODELS:
        raise ValueError(
            f"Random weights are for {' and '.join(MODELS)} but the preset is {preset!r}: give one of them."
        )
    if compare not in (None, "plain"):
        raise ValueError(f"compare must be 'plain' but is {compare!r}.")
    check_num_frames(num_frames, "frames")
    if height < 16 or width < 16 or height % 16 or width % 16:
        raise ValueError(f"height and width must be multiples of 16 but are {height} and {width}.")
    if num_layers is not None and num_layers < 1:
        raise ValueError(f"layers must be 1 or more but is {num_layers}.")
    if device.type == "cpu" and num_layers is None:
        raise ValueError(
            f"The {preset} model at its true size needs a GPU and there is none: add --layers 1 and a small --frames, "
            "--height and --width to try the command here."
        )


def random_transformer(config: dict[str, Any], device: torch.device, dtype: torch.dtype) -> HuMoTransformer3DModel:
    """A transformer with PyTorch's own random weights, made on the device in its final number formats.

    Args:
        config: of `HuMoTransformer3DModel`.
        device: where it is made.
        dtype: of all weights but those that loading keeps in float32.

    Returns:
        The transformer in evaluation mode, without gradients.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # made small at once: the 17B in float32 would not fit on most GPUs
    try:
        with device:
            transformer = HuMoTransformer3DModel(**config)
    finally:
        torch.set_default_dtype(before)
    kept = set(HuMoTransformer3DModel._keep_in_fp32_modules)
    for name, parameter in transformer.named_parameters():
        if kept & set(name.split(".")):
            parameter.data = parameter.data.float()
    return transformer.eval().requires_grad_(False)


def random_conditions(
    transformer: HuMoTransformer3DModel, num_frames: int, height: int, width: int
) -> tuple[Tensor, Conditions]:
    """Noise and conditions of a video with one reference, in the sizes of Wan's codec.

    Args:
        transformer: decides form, device and number format.
        num_frames: video frames, 4k + 1.
        height: pixels.
        width: pixels.

    Returns:
        Noise (1, 16, f, h, w) in float32, and the conditions.
    """
    config, device = transformer.config, transformer.device
    latent_frames = 1 + count_latents(num_frames)
    grid = height // 8, width // 8

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, device=device)

    latents = draw(1, config.out_channels, latent_frames, *grid)
    windows = draw(1, latent_frames, config.audio_window, config.audio_bands, config.audio_channels)
    windows[:, -1] = 0
    conditions = Conditions(
        text=draw(1, TEXT_TOKENS, config.text_dim),
        negative_text=draw(1, TEXT_TOKENS, config.text_dim),
        audio=windows,
        references=draw(1, config.out_channels, 1, *grid),
        num_references=1,
        black_video=None if config.in_channels == config.out_channels else torch.zeros_like(latents),
    )
    return latents, conditions


def _bytes_of(transformer: HuMoTransformer3DModel) -> int:
    return sum(parameter.nbytes for parameter in transformer.parameters())


def _time_step(
    step: Callable[..., Tensor],
    arguments: tuple[HuMoTransformer3DModel, Tensor, float, Weights, Conditions],
    flops: int,
    ceiling: float,
    repeats: int,
) -> dict[str, Any]:
    """Seconds, rate and peak memory of a step; its velocity under "velocity"."""
    device, num_passes = arguments[1].device, len(arguments[3])
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    with torch.no_grad():
        velocity = step(*arguments)
        for _ in range(repeats):
            start = now(device)
            velocity = step(*arguments)
            seconds.append(now(device) - start)
    median = statistics.median(seconds)
    rate = num_passes * flops / median
    return {
        "step": median,
        "passes": num_passes,
        "pass": median / num_passes,
        "steps": seconds,
        "flops_per_second": rate,
        "of_ceiling": rate / ceiling,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "process_peak_mib": peak_memory() if device.type == "cpu" else None,
        "velocity": velocity,
    }


def describe_model(result: dict[str, Any]) -> str:
    """What `measure_model` found, as text."""
    settings, ceiling = result["settings"], result["ceiling"]
    lines = [
        "{model} with random weights ({layers} blocks, {parameters:,} parameters): {frames} frames of "
        "{width} x {height}, {tokens:,} tokens, {dtype} on {device}".format(**settings),
        f"  {settings['flops_per_pass'] / 1e12:,.2f} TFLOP a pass; matrix product of side {ceiling['side']}: "
        f"{ceiling['flops_per_second'] / 1e12:,.2f} TFLOP/s",
    ]
    for name in ("ours", "plain"):
        if name not in result:
            continue
        figures = result[name]
        title = "ours (compiled)" if name == "ours" and settings["compiled"] else name
        peak = figures["gpu_peak_bytes"]
        estimated = settings["estimated_peak_bytes"] / GB
        memory = "" if peak is None else f", peak {peak / GB:.1f} GB (of ours {estimated:.1f} estimated)"
        lines.append(
            f"{title:<16}{figures['pass']:8.3f} s a pass, {figures['passes']} passes: {figures['step']:8.3f} s a step, "
            f"{figures['flops_per_second'] / 1e12:,.2f} TFLOP/s, "
            f"{figures['of_ceiling']:.0%} of the matrix product{memory}"
        )
    if "gain" in result:
        gain = result["gain"]
        lines.append(
            f"ours is {gain['of_a_step']:.2f} times as fast as the plain way in a step, {gain['of_a_pass']:.2f} times "
            f"in a pass; results differ by {gain['relative_difference']:.1e} of their size"
        )
    return "\n".join(lines)
