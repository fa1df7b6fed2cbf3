"""Processor, memory and GPU, and what of them `humo.load` will use. Ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import psutil

from humo.doctor.finding import Finding, fails, note, ok
from humo.system.caches import compiled_folder
from humo.system.compiler import find_compiler
from humo.system.threads import OPENMP, usable_cores

GB = 10**9


def pytorch() -> Iterator[Finding]:
    """Whether PyTorch can be imported, and for what it was built."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    yield ok("torch runs", f"built for {built}")


def processor() -> Iterator[Finding]:
    """Its name, threads and memory."""
    import torch

    from humo.system.processor import processor_name

    cores, usable = os.cpu_count() or 1, usable_cores()
    threads = min(torch.get_num_threads(), usable)
    told = f" ({OPENMP} is {os.environ[OPENMP]})" if OPENMP in os.environ else ""
    yield ok("processor", f"{processor_name()}, {usable} of {cores} cores may be used, at most {threads} threads{told}")
    memory = psutil.virtual_memory()
    yield ok("memory", f"{memory.available / GB:.1f} of {memory.total / GB:.1f} GB are free")


def graphics() -> Iterator[Finding]:
    """The GPU, and the memory preset that it has room for."""
    import torch

    from humo.space.jobs.model_choice import memory_preset

    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi"):
            why = "is built for the CPU" if torch.version.cuda is None else "cannot use it"
            yield note(
                "GPU", f"a driver is here (nvidia-smi) but this PyTorch {why}", "install PyTorch's build for your CUDA"
            )
        else:
            yield ok("GPU", "none: everything is computed on the CPU")
        return
    for number in range(torch.cuda.device_count()):
        name, (free, total) = torch.cuda.get_device_name(number), torch.cuda.mem_get_info(number)
        told = f"{name}, {free / GB:.1f} of {total / GB:.1f} GB are free"
        try:
            yield ok(f"GPU {number}", f'{told}, memory="{memory_preset(total)}"')
        except ValueError:
            yield note(f"GPU {number}", f"{told}, too small for the published models")


def numbers() -> Iterator[Finding]:
    """In which number format models are loaded."""
    from humo.loading.memory import default_dtype
    from humo.system.dtypes import dtype_name

    name = dtype_name(default_dtype())
    why = "multiplied in hardware" if name == "bfloat16" else "bfloat16 would only be emulated here"
    yield ok("dtype", f"{name}: {why}")


def compiling() -> Iterator[Finding]:
    """Whether the model can be compiled, and whether the page may do it."""
    from humo.space.environment import COMPILE, read_compile

    compiler, folder = find_compiler(), compiled_folder()
    kept = f"{len(list(folder.glob('*.pt2')))} compiled passes are kept in {folder}"
    if compiler is None:
        yield note("compiler", f"no C++ compiler, {kept}", "for --compile install g++ or name yours in CXX")
    else:
        yield ok("compiler", f"{compiler}, {kept}")
    if not read_compile(os.environ):
        yield note(COMPILE, "is off: the page leaves the model as written")


def model_runs() -> Iterator[Finding]:
    """Whether mini loads, in which numbers, and whether it is compiled already."""
    from humo.checkpoints import load
    from humo.space.compiling import is_compilable
    from humo.system.command_line import silence_libraries
    from humo.system.dtypes import dtypes_of

    silence_libraries()
    pipe = load()
    formats = dtypes_of(pipe)
    parts = [f"{', '.join(name for name in formats if formats[name] == each)} {each}" for each in {*formats.values()}]
    yield ok("mini loads", f"on {pipe.device.type}: {'; '.join(sorted(parts))}")
    if is_compilable(pipe):
        from humo.loading.compiling import find_pass

        made = find_pass(pipe) if any(compiled_folder().glob("*.pt2")) else None
        told = "not yet: --compile does it" if made is None else f"{made.psnr:.0f} dB to the model as written"
        yield ok("mini compiled", told)
    result = pipe("a woman talks", num_frames=5, num_inference_steps=1, seed=0)
    if result.frames.std() > 0:
        yield ok("mini makes", f"{len(result.frames)} frames of {result.frames.shape[2]}x{result.frames.shape[1]}")
    else:
        yield fails("mini makes", "frames without any picture", "reinstall PyTorch")
