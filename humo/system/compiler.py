"""Whether there is a C++ compiler, which PyTorch needs to compile for a CPU. Ours."""

from __future__ import annotations

import os
import shutil
import sys

from humo.system.caches import compiled_folder

NO_COMPILER = "--compile needs a C++ compiler, and none was found: install g++, name yours in CXX, or leave it out."
"""Of a command that is asked to compile for a CPU."""


def find_compiler() -> str | None:
    """The C++ compiler that PyTorch would use on a CPU, or None."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)


def check_compiler() -> None:
    """Refuse to compile where nothing can: without a compiler, compiled code from before, or a GPU.

    Raises:
        ValueError: then; the sentence is `NO_COMPILER`.
    """
    if find_compiler() is not None or any(compiled_folder().glob("*.pt2")):
        return
    import torch  # few come here

    if not torch.cuda.is_available():
        raise ValueError(NO_COMPILER)
