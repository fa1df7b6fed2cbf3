"""CI refuses an error of types, and an exception that is needed no more.

Run: python -m pytest tests/test_typed.py
"""

from __future__ import annotations

import runpy
from pathlib import Path

from project import ROOT

SETTINGS = """[tool.mypy]
files = ["room"]
strict = true
cache_dir = "/dev/null"

[[tool.mypy.overrides]] # a reason
module = ["room.old", "room.more.*"]
disable_error_code = [
    "operator", "return-value",
]
"""
WRONG = "def double(x: int) -> int:\n    return x + 'x'\n"


def test_errors_and_exceptions_must_match(tmp_path: Path) -> None:
    check = runpy.run_path(str(ROOT / ".ci" / "typed.py"))["check"]
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "room" / "more").mkdir(parents=True)
    for name in ("__init__", "old", "new", "more/__init__"):
        (tmp_path / "room" / f"{name}.py").write_text("" if name == "__init__" else WRONG)
    assert check(tmp_path) == [
        'room/new.py:2: error: Unsupported operand types for + ("int" and "str")  [operator]',
        "pyproject.toml: room.more.* needs no exception for return-value",
        "pyproject.toml: room.old needs no exception for return-value",
    ]
