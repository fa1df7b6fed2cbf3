"""What `humo.benchmarks.against` runs in a process of each of two revisions: it answers commands on its standard input.

Its text is handed to `python -c` in the folder of a revision, so it uses what every revision has: `humo.load` and the
call of a pipeline. Threads are chosen as the page of the revision does it. Each line of input names a part; the answer
is a line of JSON with its seconds. Ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile
import torch
from PIL import Image

import humo

EXAMPLES = Path("assets/examples")
THREADS = Path("humo/system/threads.py")
FRAMES = 49


def main() -> None:
    """Load both forms of mini, do each part once, then answer."""
    begin_threads, adjust_threads = _threads()
    exact, fast = humo.load("mini"), humo.load("mini", fast=True)
    inputs = _inputs()
    vae, side = exact.vae, exact.config.default_height // exact.vae.config.scale_factor_spatial
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, vae.config.z_dim, (FRAMES - 1) // 4 + 1, side, side, generator=generator)
    parts: dict[str, Callable[[], Any]] = {
        "clip": lambda: exact(**inputs, on_step=lambda state: adjust_threads()),
        "quick look": lambda: fast(**inputs, on_step=lambda state: adjust_threads()),
        "decode": torch.inference_mode()(lambda: vae.decode(latents.to(vae.dtype))),
    }
    for part in parts.values():
        part()
    print(json.dumps({"folder": str(Path(humo.__file__).parents[1])}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        begin_threads()
        parts[line.strip()]()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def _threads() -> tuple[Callable[[], None], Callable[[], None]]:
    """What chooses the threads; a revision without it leaves them to torch."""
    if not THREADS.is_file():  # an import might find that of an installed revision
        return lambda: None, lambda: None
    from humo.system.threads import adjust_threads, begin_threads

    return begin_threads, adjust_threads


def _inputs() -> dict[str, Any]:
    """Text, a drawn person and two seconds of a voice."""
    samples, rate = soundfile.read(EXAMPLES / "woman.wav", dtype="float32")
    with Image.open(EXAMPLES / "woman.png") as opened:
        image = opened.convert("RGB")
    prompt = "a woman with red hair and glasses, in a blue shirt, nods"
    return {"prompt": prompt, "image": image, "audio": (samples[: round(1.96 * rate)], rate), "seed": 0}


if __name__ == "__main__":
    main()
