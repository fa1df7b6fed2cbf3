"""Whether a training is compiled: what stands between its matrix products then becomes a few loops. Ours."""

from __future__ import annotations

import sys

from humo.system.compiler import find_compiler

LONG_STEPS, LONG_MINUTES = 1000, 30.0
"""A run that goes on for so long gains more than the compiler takes."""


def should_compile(wanted: bool | None, device: str, is_long: bool) -> bool:
    """Whether a run is compiled. Where it would be, but there is no compiler, a sentence says so.

    Args:
        wanted: None compiles on a CPU, where the run is long.
        device: "cpu" or "cuda".
        is_long: whether the run goes on for `LONG_STEPS` or `LONG_MINUTES`.
    """
    if not (device == "cpu" and is_long if wanted is None else wanted):
        return False
    if device == "cpu" and find_compiler() is None:
        sys.stderr.write("No C++ compiler was found, so a step takes longer: install g++ or name yours in CXX.\n")
        return False
    return True
