"""Where the time of a pass goes: matrix products, and everything around them, from torch.profiler. Ours.

The passes of a clip are noted and then made once more, watched operator by operator; keys and values of text and sound
are known then, as in all steps but the first. What Python and the profiler take counts as the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from humo.benchmarks.clip import example_inputs
from humo.benchmarks.instruments import Stopwatch, now
from humo.pipeline import HuMoPipeline
from humo.system.dtypes import dtype_name
from humo.system.tables import markdown_table

KINDS = {
    "matrix products": {"mm", "addmm", "bmm", "baddbmm", "addbmm", "mkldnn_convolution", "cudnn_convolution"},
    "attention": {f"_scaled_dot_product_{name}" for name in ("flash_attention_for_cpu", "flash_attention")}
    | {f"_scaled_dot_product_{name}" for name in ("efficient_attention", "cudnn_attention", "attention_math")},
    "norms, modulation, activations": {
        *("native_layer_norm", "_fused_rms_norm", "rms_norm", "pow", "mean", "rsqrt", "sum", "add", "sub", "mul"),
        *("div", "addcmul", "neg", "gelu", "silu", "sigmoid", "exp", "sin", "cos", "where"),
    },
    "copies": {"copy", "_to_copy", "to", "clone", "cat", "stack", "contiguous", "index", "index_select", "fill"},
}
"""PyTorch's operators of each kind, without the underscore of those that work in place."""
REST = "the rest"
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the passes of a clip spend their time.

    Attributes:
        name: of the model.
        seconds: of a pass that is not watched, the fastest round's mean.
        shares: of each kind of `KINDS` and of `REST`, 1 in all.
    """

    name: str
    seconds: float
    shares: dict[str, float]


@torch.no_grad()
def profile_passes(pipe: HuMoPipeline, name: str, seconds: float = 1.96, rounds: int = ROUNDS) -> Profile:
    """Watch the passes of a clip from text, picture and sound.

    Args:
        pipe: the model.
        name: for the table.
        seconds: of the clip.
        rounds: in which the passes are timed first.
    """
    device, transformer = torch.device(pipe.device), pipe.transformer
    with Stopwatch(device).watch({"pass": (transformer, "forward")}) as watch:
        pipe(**example_inputs(seconds))
    noted = watch.inputs["pass"]

    def make() -> float:
        start = now(device)
        for inputs in noted:
            transformer(**inputs)
        return now(device) - start

    fastest = min(make() for _ in range(rounds))
    is_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * is_gpu]) as watched:
        whole = make()
    shares = dict.fromkeys(KINDS, 0.0)
    for event in watched.key_averages():
        if (kind := kind_of(event.key)) is not None:
            micros = event.self_device_time_total if is_gpu else event.self_cpu_time_total
            shares[kind] += micros / 1e6 / whole
    return Profile(name, fastest / len(noted), shares | {REST: 1 - sum(shares.values())})


def profile_forms(pipes: Sequence[HuMoPipeline]) -> list[Profile]:
    """Watch the passes of some models, and of the fast form of each that has one in place."""
    forms = [(pipe, form) for pipe in pipes for form in ("exact", "fast")]
    chosen = [(pipe if form == "exact" else pipe.fast_form, form) for pipe, form in forms]
    return [
        profile_passes(pipe, f"{form}, {dtype_name(pipe.transformer.dtype)}")
        for pipe, form in chosen
        if pipe is not None
    ]


def kind_of(operator: str) -> str | None:
    """Of `KINDS`, that of an operator such as "aten::addmm"; None where it is of none."""
    namespace, _, name = operator.partition("::")
    kinds = (kind for kind, names in KINDS.items() if name.rstrip("_") in names)
    return next(kinds, None) if namespace == "aten" else None


def describe_profiles(profiles: Sequence[Profile]) -> str:
    """A table in markdown."""
    head = ("model", "a step, ms", *KINDS, REST)
    return markdown_table(
        head,
        (
            (each.name, f"{1000 * each.seconds:.0f}", *(f"{each.shares[kind]:.0%}" for kind in (*KINDS, REST)))
            for each in profiles
        ),
    )
