"""How long each part of a generation takes, and how close the transformer comes to what the machine can do.

`measure` makes one 2-second clip from text, picture and sound with the pipeline's own defaults, which are
the page's, and times its parts from outside, so that nothing in the pipeline knows about it. The rate of the
transformer is set against matrix products measured in the same run and number format: a large
square one (what the machine can do) and one with the sizes of the model's own feed-forward layer (what this
model could reach at best).

All of this file is ours.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from humo.benchmarks.instruments import MIB, Stopwatch, count_flops, matmul_rate, now, other_load, peak_memory
from humo.checkpoints import load
from humo.loading.compiling import computed_by
from humo.pipeline import HuMoPipeline
from humo.system.dtypes import dtype_name
from humo.timing import SAMPLE_RATE

PROMPT = "a woman with red hair and glasses, in a blue shirt, nods"
SQUARE = 1024


def example_inputs(seconds: float) -> dict[str, Any]:
    """Text, a picture shown as it is, and a sound of the given length: timing asks for sizes, not for sense."""
    slope = np.linspace(0, 255, 256, dtype=np.float32)
    picture = np.stack(np.broadcast_arrays(slope[:, None], slope[None], 128.0), axis=-1).astype(np.uint8)
    moment = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = 0.3 * np.sin(2 * np.pi * 160 * moment) * (1 + np.sin(2 * np.pi * 4 * moment)) / 2
    audio = (voice.astype(np.float32), SAMPLE_RATE)
    return {"prompt": PROMPT, "image": Image.fromarray(picture), "audio": audio, "seed": 0, "as_is": True}


def measure(
    preset_or_folder: str = "mini",
    seconds: float = 1.96,
    num_inference_steps: int | None = None,
    fast: bool = False,
    is_compiled: bool = False,
) -> dict[str, Any]:
    """Times one clip from text, picture and sound.

    Args:
        preset_or_folder: what `humo.load` takes.
        seconds: length of the sound and so of the clip.
        num_inference_steps: by default the pipeline's own number, which is the page's.
        fast: the model's fast form.
        is_compiled: compute compiled code, whose making, the first time, is part of loading.

    Returns:
        Plain numbers, ready for JSON: `settings`, `seconds` by part, transformer `passes`, floating-point
        `rates` in operations a second, and `memory` in MiB.

    Raises:
        ValueError: if the preset or the folder cannot be loaded.
    """
    start = time.perf_counter()
    pipe = load(preset_or_folder, fast=fast, compile=is_compiled)
    load_seconds = time.perf_counter() - start
    result = measure_pipeline(pipe, seconds, num_inference_steps)
    result["settings"] = {
        "model": preset_or_folder + ", fast form" * fast + ", compiled" * is_compiled,
        **result["settings"],
    }
    result["seconds"] = {"load": load_seconds, **result["seconds"]}
    return result


def measure_pipeline(
    pipe: HuMoPipeline, seconds: float = 1.96, num_inference_steps: int | None = None
) -> dict[str, Any]:
    """Times one clip of a loaded pipeline; see `measure`, whose `load` time is missing here."""
    device = torch.device(pipe.device)
    parts = {
        "text": (pipe.text_encoder, "forward"),
        "audio": (pipe.audio_encoder, "forward"),
        "picture": (pipe.vae, "encode"),
        "transformer": (pipe.transformer, "forward"),
        "decode": (pipe.vae, "decode"),
    }
    load_before = other_load()
    with Stopwatch(device).watch(parts) as watch:
        start = now(device)
        video = pipe(**example_inputs(seconds), num_inference_steps=num_inference_steps)
        generated = now(device) - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        video.save(Path(folder) / "clip.mp4")
        write = time.perf_counter() - start
    spent = {name: sum(watch.calls[name]) for name in parts}
    frames, height, width, _ = video.frames.shape
    return {
        "settings": {
            "frames": frames,
            "height": height,
            "width": width,
            "steps": video.settings["num_inference_steps"],
            "device": str(device),
            "dtype": dtype_name(pipe.transformer.dtype),
            "threads": torch.get_num_threads(),
            "load_before": load_before,
        },
        "seconds": {
            **spent,
            "other": generated - sum(spent.values()),
            "write": write,
            "total": generated + write,
        },
        "passes": _passes(watch),
        "rates": _rates(pipe, watch),
        "memory": {
            "peak_mib": peak_memory(),
            "gpu_peak_mib": torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None,
        },
    }


def _passes(watch: Stopwatch) -> dict[str, Any]:
    """Number and seconds of the transformer's calls; a call may hold several branches of the guidance."""
    calls = watch.calls["transformer"]
    batches = [len(arguments["hidden_states"]) for arguments in watch.inputs["transformer"]]
    return {
        "count": len(calls),
        "branches": sum(batches),
        "first": calls[0],
        "median": float(np.median(calls)),
        "longest": max(calls),
    }


def _rates(pipe: HuMoPipeline, watch: Stopwatch) -> dict[str, float]:
    """Floating-point rate of the transformer's passes beside those of two matrix products."""
    transformer, inputs = pipe.transformer, watch.inputs["transformer"]
    first = inputs[0]["hidden_states"]
    batch, _, frames, height, width = first.shape

    def kind(given: dict[str, Any]) -> tuple[Any, ...]:
        """What decides how many operations a call has."""
        return given["hidden_states"].shape, transformer.needs_detail(given["timestep"])

    with computed_by(transformer, None):  # the counter sees PyTorch's own operations
        counted = {kind(given): partial(transformer, **given) for given in inputs}
        counts = {each: count_flops(call) for each, call in counted.items()}
    flops = sum(counts[kind(given)] for given in inputs)
    achieved = flops / sum(watch.calls["transformer"])
    _, patch_height, patch_width = transformer.config.patch_size
    tokens = batch * frames * (height // patch_height) * (width // patch_width)
    dim = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    dtype, device = transformer.dtype, first.device
    square = matmul_rate(SQUARE, SQUARE, SQUARE, dtype, device)
    feed_forward = matmul_rate(tokens, dim, transformer.config.ffn_dim, dtype, device)
    return {
        "flops_per_branch": flops / sum(len(given["hidden_states"]) for given in inputs),
        "transformer": achieved,
        "square_product": square,
        "feed_forward_product": feed_forward,
        "of_square_product": achieved / square,
        "of_feed_forward_product": achieved / feed_forward,
    }


def world_rates(sizes: tuple[int, ...] = (128, 64), seconds: float = 2.0) -> dict[str, float]:
    """Frames a second that the procedural world draws on one core, masks and reference pictures included.

    Args:
        sizes: sides of the pictures in pixels.
        seconds: how long to draw at each size.

    Returns:
        Frames a second by size.
    """
    from humo.world.clips import plan_clip, render_clip
    from humo.world.speech import Speech

    silence = Speech(np.zeros(2 * SAMPLE_RATE, np.float32), ())
    rates = {}
    for size in sizes:
        render_clip(plan_clip(0), 49, size, silence)  # compiles
        start, frames, seed = time.perf_counter(), 0, 1
        while time.perf_counter() - start < seconds:
            frames += len(render_clip(plan_clip(seed), 49, size, silence).frames)
            seed += 1
        rates[str(size)] = frames / (time.perf_counter() - start)
    return rates


@contextlib.contextmanager
def serve_page(app: Path | None = None, timeout: float = 120.0) -> Iterator[tuple[str, float, subprocess.Popen[bytes]]]:
    """The page's program, until the block ends.

    Args:
        app: path of a checkout's app.py; None for the page of this package.
        timeout: seconds after which to give up.

    Yields:
        Its address, seconds from its start until it answered a browser, and its process.

    Raises:
        ValueError: if there is no such file, the program ends, or it does not answer in time.
    """
    if app is not None and not app.is_file():
        raise ValueError(f"{app} does not exist: give the app.py of a checkout.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    start = time.perf_counter()
    told = ["-m", "humo", "page"] if app is None else [str(app)]
    command = [sys.executable, *told, "--port", address.rpartition(":")[2]]
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address, _until_answered(address, program, start, timeout), program
    finally:
        program.terminate()
        program.wait()


def _until_answered(address: str, program: subprocess.Popen[bytes], start: float, timeout: float) -> float:
    while time.perf_counter() - start < timeout:
        if program.poll() is not None:
            raise ValueError(f"The page ended with code {program.returncode}: start it by hand to see.")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/", timeout=5):
            return time.perf_counter() - start
        time.sleep(0.1)
    raise ValueError(f"The page did not answer within {timeout:.0f} seconds: start it by hand to see why.")


def page_start(app: Path | None = None, timeout: float = 120.0) -> float:
    """Seconds from starting the page's program until it answers a browser; see `serve_page`."""
    with serve_page(app, timeout) as (_, seconds, _):
        return seconds


def describe(result: dict[str, Any]) -> str:
    """What `measure`, `world_rates` (under "world") and `page_start` (under "page") found, as text."""
    lines = []
    if "seconds" in result:
        lines += _describe_clip(result)
    if "world" in result:
        rates = result["world"].items()
        lines += [f"world at {size} x {size}: {rate:,.0f} frames/s on one core" for size, rate in rates]
    if "page" in result:
        lines.append(f"page: {result['page']:.1f} s from start to first answer")
    return "\n".join(lines)


def _describe_clip(result: dict[str, Any]) -> list[str]:
    settings, passes, rates, memory = (result[key] for key in ("settings", "passes", "rates", "memory"))
    lines = [
        "{model}: {frames} frames of {width} x {height} in {steps} steps, text + picture + sound, "
        "{dtype} on {device}, {threads} threads".format(**settings)
    ]
    if settings["load_before"] is not None:
        lines.append(f"  load of the machine in the minute before: {settings['load_before']:.1f} (idle is 0)")
    lines += [f"  {name:<12}{seconds:8.2f} s" for name, seconds in result["seconds"].items()]
    lines += [
        "transformer: {count} calls with {branches} passes (branches of the guidance) in all; first {first:.3f} s, "
        "median {median:.3f} s, longest {longest:.3f} s".format(**passes),
        f"  {rates['transformer'] / 1e9:,.0f} GFLOP/s, {rates['flops_per_branch'] / 1e9:,.1f} GFLOP a pass",
        f"  {rates['of_square_product']:.0%} of a {SQUARE}-square matrix product "
        f"({rates['square_product'] / 1e9:,.0f} GFLOP/s)",
        f"  {rates['of_feed_forward_product']:.0%} of a product of the feed-forward layer's sizes "
        f"({rates['feed_forward_product'] / 1e9:,.0f} GFLOP/s)",
    ]
    if memory["peak_mib"] is not None:
        lines.append(f"peak memory of the process: {memory['peak_mib']:,.0f} MiB")
    if memory["gpu_peak_mib"] is not None:
        lines.append(f"peak memory of the GPU: {memory['gpu_peak_mib']:,.0f} MiB")
    return lines
