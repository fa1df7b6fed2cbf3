"""Who imports whom in `humo`: no module needs itself by way of others, also not for its types alone.

Run: python -m pytest tests/test_imports.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from project import ROOT


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path, modules: set[str]) -> Iterator[str]:
    """The modules that a file imports, wherever in it; a name of a package's own `__init__` is the package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            named = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else node.module for name in named)


def arrows(paths: list[Path]) -> dict[str, set[str]]:
    modules = {module_of(path) for path in paths}
    return {module_of(path): set(imported(path, modules)) & modules - {module_of(path)} for path in paths}


def test_no_module_imports_itself_by_way_of_others() -> None:
    paths = sorted((ROOT / "humo").rglob("*.py"))
    assert len(paths) > 200
    try:
        list(TopologicalSorter(arrows(paths)).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_a_circle_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_imports.ROOT", tmp_path)
    (tmp_path / "a.py").write_text("def late():\n    from b import one\n")
    (tmp_path / "b.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\n")
    found = arrows(sorted(tmp_path.glob("*.py")))
    assert found == {"a": {"b"}, "b": {"a"}}
