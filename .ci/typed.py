"""Checks the types of humo/ and app.py by mypy, and that every exception in pyproject.toml is still needed.

mypy runs without the exceptions (`disable_error_code`), and what it finds must be just what they name.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CODES = re.compile(r"^disable_error_code = \[[^]]*\]\n", re.MULTILINE)
_ERROR = re.compile(r"(\S+?)\.pyi?:\d+: error: .*\[([\w-]+)\]")


def check(root: Path) -> list[str]:
    """What is wrong in a project with such a pyproject.toml, a line each."""
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "pyproject.toml"
        bare.write_text(_CODES.sub("", settings), encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--config-file", str(bare), "--no-error-summary"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode > 1 or done.stderr:
        return [done.stdout + done.stderr]
    allowed = exceptions(settings)
    needed: set[tuple[str, str]] = set()
    wrong = []
    for line in done.stdout.splitlines():
        match = _ERROR.fullmatch(line)
        module = match[1].replace("/", ".").removesuffix(".__init__") if match else ""
        fitting = {(name, code) for name, code in allowed if match and match[2] == code and _is_of(module, name)}
        needed |= fitting
        if not fitting and ": note: " not in line:
            wrong.append(line)
    return wrong + [f"pyproject.toml: {name} needs no exception for {code}" for name, code in sorted(allowed - needed)]


def exceptions(settings: str) -> set[tuple[str, str]]:
    """Module or pattern, and kind of error, that a pyproject.toml does not check."""
    overrides = tomllib.loads(settings)["tool"]["mypy"]["overrides"]
    listed = [each for each in overrides if "disable_error_code" in each]
    return {(name, code) for each in listed for name in each["module"] for code in each["disable_error_code"]}


def _is_of(module: str, name: str) -> bool:
    """As mypy has it: the pattern room.* means room as well."""
    return module == name or fnmatchcase(f"{module}.", name)


if __name__ == "__main__":
    if found := check(ROOT):
        sys.exit("\n".join(found))
