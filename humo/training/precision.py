"""In which precision mini's parts learn: bfloat16 where the machine multiplies it in hardware, else float32. Ours."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from humo.system.processor import has_bfloat16


def mixed_precision(device: str) -> AbstractContextManager[object]:
    """Automatic mixed precision for a forward pass.

    Without instructions for bfloat16, as on many CPUs and on GPUs before Ampere, matrix
    products in it are emulated, on a CPU some thirty times slower than in float32; there everything stays in float32.

    Args:
        device: "cpu" or "cuda".
    """
    return torch.autocast(device, torch.bfloat16) if has_bfloat16(device) else nullcontext()
