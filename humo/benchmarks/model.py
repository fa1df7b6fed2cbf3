"""Seconds of a pass of a published model's true size, with random weights: no checkpoint is needed.

Time depends on sizes, not on what the weights are. The transformer is built on the device itself in its final number
formats, norms and time embedding in float32 as loading keeps them, and one step of the model's own guidance with text,
picture and sound is timed: a pass for each branch. The rate is set against a square matrix product measured in the same
run (the ceiling). Beside it the same passes can be timed in the published code's plain way (`humo.benchmarks.plain`),
and those of diffusers' own Wan, which hears nothing (`humo.benchmarks.wan`); all ways take turns pass by pass, so that
a slower minute of the machine meets all of them.

All of this file is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psutil
import torch
from torch import Tensor

from humo.benchmarks.instruments import matmul_rate, other_load, peak_memory
from humo.benchmarks.plain import plain_step
from humo.benchmarks.turns import Way, take_turns
from humo.benchmarks.wan import wan_of, wan_step
from humo.guidance import Branch, Weights, make_rule
from humo.layers.key_value_cache import ConditionMemory
from humo.loading.estimates import (
    GB,
    MODELS,
    TEXT_TOKENS,
    TYPICAL_TIMESTEP,
    count_parameters,
    count_tokens,
    pass_bytes,
    pass_flops,
    sound_flops,
)
from humo.loading.memory import stays_in_float32
from humo.sampling import Conditions, guided_velocity
from humo.system.dtypes import DTYPES, read_dtype
from humo.timing import check_num_frames, count_latents
from humo.transformer import HuMoTransformer3DModel

RELEASED_BRANCHES = {
    "1.7B": [Branch(True, True, True), Branch(True, False, True), Branch(True, False, False)],
    "17B": [],
}
"""Branches that the published code runs at every step, whatever their weight; ours leaves out those of weight 0."""
GPU_SQUARE, CPU_SQUARE = 8192, 1024
"""Side of the matrix product that counts as the ceiling."""
COMPARISONS = ("plain", "wan")
CPU_FLOPS = 10**13
"""Operations of a pass that a CPU is asked for at the most: some ten seconds to a minute."""


def measure_model(
    preset: str,
    num_frames: int = 97,
    height: int = 480,
    width: int = 832,
    compare: Collection[str] = (),
    compile_blocks: bool = False,
    num_layers: int | None = None,
    repeats: int = 2,
    device: torch.device | str | None = None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Times one step of a model with random weights.

    Args:
        preset: "1.7B" or "17B".
        num_frames: video frames, 4k + 1.
        height: pixels, a multiple of 16.
        width: pixels, a multiple of 16.
        compare: "plain" times the plain way too, "wan" diffusers' Wan of the same size.
        compile_blocks: compile the blocks of ours and of Wan first; minutes that are not counted.
        num_layers: blocks, where less than the whole model is wanted; times are then of those blocks alone.
        repeats: steps timed after passes to warm up; the median counts.
        device: default a GPU if there is one, else the CPU.
        dtype: "float32" or "bfloat16"; default bfloat16 on a GPU, float32 on a CPU.

    Returns:
        Plain numbers, ready for JSON: `settings`, `ceiling`, `ours`, with "plain" also `plain` and `gain`, with "wan"
        also `wan`, `kept` (ours where text and sound are known from a step before, as in all steps but the first) and
        `beside_wan`.

    Raises:
        ValueError: if a name or size is not allowed, or more is asked for than a CPU or the memory can do.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or ("float32" if device.type == "cpu" else "bfloat16")
    _check(preset, num_frames, height, width, compare, num_layers, dtype)
    make_config, rule_name = MODELS[preset]
    config = {**make_config(), **({} if num_layers is None else {"num_layers": num_layers})}
    _check_room(preset, config, num_frames, height, width, device, DTYPES[dtype])
    load_before = other_load()
    transformer = random_transformer(config, device, DTYPES[dtype])
    latents, conditions = random_conditions(transformer, num_frames, height, width)
    weights = make_rule({"rule": rule_name})(TYPICAL_TIMESTEP)
    latent_frames = latents.shape[2]
    tokens = count_tokens(latent_frames, height, width)
    flops = pass_flops(transformer.config, latent_frames, tokens, TEXT_TOKENS)
    side = CPU_SQUARE if device.type == "cpu" else GPU_SQUARE
    ceiling = matmul_rate(side, side, side, DTYPES[dtype], device)
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
            "estimated_peak_bytes": _bytes_of(transformer)
            + pass_bytes(transformer.config, tokens, DTYPES[dtype].itemsize),
            "dtype": dtype,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "compiled": compile_blocks,
            "load_before": load_before,
        },
        "ceiling": {"side": side, "flops_per_second": ceiling},
    }
    ways = _make_ways(transformer, latents, conditions, weights, RELEASED_BRANCHES[preset], compare, compile_blocks)
    take_turns(list(ways.values()), device, repeats)
    heard = sound_flops(transformer.config, latent_frames, tokens)
    operations = {"ours": flops, "plain": flops, "wan": flops - heard}
    for name, way in ways.items():
        result[name] = _figures(way, device, operations.get(name), ceiling)
    if "plain" in ways:
        result["gain"] = _gain(ways["ours"], ways["plain"])
    if "wan" in ways:
        result["beside_wan"] = _beside_wan(ways, heard / (flops - heard))
    return result


def _check(
    preset: str, num_frames: int, height: int, width: int, compare: Collection[str], num_layers: int | None, dtype: str
) -> None:
    if preset not in MODELS:
        raise ValueError(
            f"Random weights are for {' and '.join(MODELS)} but the preset is {preset!r}: give one of them."
        )
    for name in compare:
        if name not in COMPARISONS:
            raise ValueError(f"compare must be {' or '.join(map(repr, COMPARISONS))} but is {name!r}.")
    read_dtype(dtype)
    check_num_frames(num_frames, "frames")
    if height < 16 or width < 16 or height % 16 or width % 16:
        raise ValueError(f"height and width must be multiples of 16 but are {height} and {width}.")
    if num_layers is not None and num_layers < 1:
        raise ValueError(f"layers must be 1 or more but is {num_layers}.")


def _check_room(
    preset: str,
    config: dict[str, Any],
    num_frames: int,
    height: int,
    width: int,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Refuse what would take a CPU many minutes, or more memory than is free."""
    if device.type != "cpu":
        return
    with torch.device("meta"):
        transformer = HuMoTransformer3DModel(**config)
    latent_frames = 1 + count_latents(num_frames)
    flops = pass_flops(transformer.config, latent_frames, count_tokens(latent_frames, height, width))
    if flops > CPU_FLOPS:
        raise ValueError(
            f"A pass of the {preset} model at this size has {flops / 1e12:,.0f} TFLOP, a CPU takes "
            f"{CPU_FLOPS / 1e12:.0f} at the most: use a GPU, or give smaller --frames, --height and --width, or fewer "
            "--layers."
        )
    needed, free = count_parameters(transformer) * dtype.itemsize, psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"The weights take {needed / GB:,.0f} GB and {free / GB:,.0f} GB are free: give --dtype bfloat16 or fewer "
            "--layers."
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
    for name, parameter in transformer.named_parameters():
        if stays_in_float32(transformer, name):
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


def _make_ways(
    transformer: HuMoTransformer3DModel,
    latents: Tensor,
    conditions: Conditions,
    weights: Weights,
    released: Sequence[Branch],
    compare: Collection[str],
    compile_blocks: bool,
) -> dict[str, Way]:
    """The ways by name, each warmed up."""
    if compile_blocks:  # the plain way does not call the blocks, only their parts
        transformer.compile_repeated_blocks()
    device = latents.device
    inputs = (latents, TYPICAL_TIMESTEP)

    def ours(weights: Weights, memory: ConditionMemory | None = None) -> Tensor:
        return guided_velocity(transformer, *inputs, weights, conditions, memory=memory)

    ways = {"ours": Way(ours, weights)}
    if "plain" in compare:
        all_weights = {**dict.fromkeys(released, 0.0), **weights}
        ways["plain"] = Way(lambda weights: plain_step(transformer, *inputs, weights, conditions), all_weights)
    if "wan" in compare:
        wan = wan_of(transformer)
        if compile_blocks:
            wan.compile_repeated_blocks()
        ways["wan"] = Way(lambda weights: wan_step(wan, transformer, *inputs, weights, conditions), weights)
    for way in ways.values():
        way.warm_up(device)
    if "wan" in compare:
        memory = ConditionMemory()
        kept = ways["kept"] = Way(lambda weights: ours(weights, memory), weights)
        for branch in (*weights, next(iter(weights))):  # the first time each is written, then read
            kept.pass_of(branch, device)
    return ways


def _figures(way: Way, device: torch.device, flops: int | None, ceiling: float) -> dict[str, Any]:
    """Seconds, rate and peak memory of a way; no rate where its operations are not counted."""
    num_passes = len(way.weights)
    rate = None if flops is None else num_passes * flops / way.step
    return {
        "step": way.step,
        "passes": num_passes,
        "pass": way.step / num_passes,
        "steps": way.steps,
        "flops_per_second": rate,
        "of_ceiling": None if rate is None else rate / ceiling,
        "gpu_peak_bytes": way.peak,
        "process_peak_mib": peak_memory() if device.type == "cpu" else None,
    }


def _gain(ours: Way, plain: Way) -> dict[str, float]:
    assert ours.velocity is not None and plain.velocity is not None
    return {
        "of_a_step": plain.step / ours.step,
        "of_a_pass": plain.step / ours.step * len(ours.weights) / len(plain.weights),
        "relative_difference": float((ours.velocity - plain.velocity).norm() / ours.velocity.norm()),
    }


def _beside_wan(ways: dict[str, Way], sound_share: float) -> dict[str, float]:
    """Our passes as shares of Wan's beside them, and what sound adds to Wan's operations."""
    ours, kept = (ways[name].share_of(ways["wan"]) for name in ("ours", "kept"))
    return {
        "of_a_pass": ours,
        "of_a_later_pass": kept,
        "sound_operations": sound_share,
        "for_equal_operations": ours / (1 + sound_share),
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
    titles = {"ours": "ours", "kept": "ours, later", "plain": "plain", "wan": "Wan"}
    for name, title in titles.items():
        if name not in result:
            continue
        if settings["compiled"] and name != "plain":
            title += " (compiled)"
        lines.append(f"{title:<16}{_describe_way(result[name], settings['estimated_peak_bytes'])}")
    if "gain" in result:
        gain = result["gain"]
        lines.append(
            f"ours is {gain['of_a_step']:.2f} times as fast as the plain way in a step, {gain['of_a_pass']:.2f} times "
            f"in a pass; results differ by {gain['relative_difference']:.1e} of their size"
        )
    if "beside_wan" in result:
        beside = result["beside_wan"]
        lines.append(
            f"ours takes {beside['of_a_pass']:.2f} of a pass of diffusers' Wan with the same weights, "
            f"{beside['of_a_later_pass']:.2f} once text and sound are known (later); hearing adds "
            f"{beside['sound_operations']:.1%} to Wan's operations: {beside['for_equal_operations']:.2f} for as many"
        )
    return "\n".join(lines)


def _describe_way(figures: dict[str, Any], estimated_peak: int) -> str:
    told = f"{figures['pass']:8.3f} s a pass, {figures['passes']} passes: {figures['step']:8.3f} s a step"
    if figures["flops_per_second"] is not None:
        told += (
            f", {figures['flops_per_second'] / 1e12:,.2f} TFLOP/s, {figures['of_ceiling']:.0%} of the matrix product"
        )
    if figures["gpu_peak_bytes"] is not None:
        told += f", peak {figures['gpu_peak_bytes'] / GB:.1f} GB (of ours {estimated_peak / GB:.1f} estimated)"
    return told
