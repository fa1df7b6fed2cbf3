"""The project's files as git has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked_files(*options: str) -> list[Path]:
    """Files under version control that exist; in an unpacked archive without git, every visible file.

    Args:
        options: of `git ls-files`.
    """
    if not (ROOT / ".git").exists():
        return [p for p in ROOT.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.parts)]
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", *options]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def requirement_lines() -> list[str]:
    """What requirements.txt asks for, without its comments."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
