"""What the processor is called, and whether it multiplies bfloat16 in hardware. Ours."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch


def has_bfloat16(device: str) -> bool:
    """Whether a device, "cpu", "cuda" or "cuda:1", multiplies bfloat16 in hardware.

    A CPU does with the instructions AMX or avx512_bf16, an NVIDIA GPU from Ampere on, and any AMD GPU that PyTorch
    runs on. Others emulate such products: a CPU some thirty times slower than in float32.
    """
    where = torch.device(device)
    if where.type == "cuda":
        if not torch.cuda.is_available():
            return False
        with torch.cuda.device(where):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return where.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@cache
def instruction_sets() -> str:
    """The instructions that this processor has, as the system tells them: code made for these runs here."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    flags = [line.partition(":")[2].strip() for line in lines if line.startswith(("flags", "Features"))]
    return flags[0] if flags else f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@cache
def processor_name() -> str:
    """As the system tells it, such as "AMD EPYC"."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
