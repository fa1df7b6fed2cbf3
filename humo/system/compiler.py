"""Whether there is a C++ compiler, which PyTorch needs to compile for a CPU. Ours."""

from __future__ import annotations

import os
import shutil
import sys


def find_compiler() -> str | None:
    """The C++ compiler that PyTorch would use on a CPU, or None."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)
