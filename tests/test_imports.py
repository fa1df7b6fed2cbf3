"""Who imports whom in `humo`: rooms in one order, no module by way of others itself, also not for its types alone.

Run: python -m pytest tests/test_imports.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from project import ROOT

ROOMS = (
    "benchmarks", "evaluation", "finetuning", "training", "doctor", "jobs", "space", "checkpoints", "live", "shots",
    "loading", "explain", "modular", "pipeline", "dubbing", "requests", "portrait", "wording", "world", "sampling",
    "transformer", "known", "references", "layers", "focus", "guidance", "audio", "media", "system", "assets", "timing",
)  # fmt: skip
"""A room imports itself and those that follow."""
MOST_FILES, MOST_ON_TOP = 15, 12


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


def is_command(module: str) -> bool:
    """Whether it is of the command line, which starts what lies anywhere."""
    return module in ("humo", "humo.__main__", "humo.generate") or module.endswith(".command")


def test_rooms_import_only_those_below() -> None:
    found = arrows(sorted((ROOT / "humo").rglob("*.py")))
    rooms = {module: module.split(".")[1] for module in found if "." in module}
    assert set(rooms.values()) == {*ROOMS, "__main__", "generate"}
    upward = [
        f"{module} -> {other}"
        for module, others in found.items()
        for other in others
        if not is_command(module) and not is_command(other)
        if ROOMS.index(rooms[module]) > ROOMS.index(rooms[other])
    ]
    assert upward == []


def test_the_readme_has_the_rooms_in_their_order() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1]
    listed = re.findall(r"^  (\w+)(?:/|\.py) ", text.split("```")[1], re.MULTILINE)
    assert tuple(listed) == ROOMS


def test_no_room_is_crowded() -> None:
    folders = {path.parent for path in (ROOT / "humo").rglob("*.py")}
    crowds = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert crowds.pop("humo") <= MOST_ON_TOP
    assert {folder: number for folder, number in crowds.items() if number > MOST_FILES} == {}
    assert all((folder / "__init__.py").read_text(encoding="utf-8").startswith('"""') for folder in folders)
    rooms = [ROOT / "humo" / room / "__init__.py" for room in ROOMS if (ROOT / "humo" / room).is_dir()]
    assert [str(room) for room in rooms if "may import" not in room.read_text(encoding="utf-8").lower()] == []


def test_the_tests_lie_in_the_same_rooms() -> None:
    """A room of one file is tested on top; what is no room's: hostile inputs, the lessons, data and helpers."""
    tests, others = ROOT / "tests", {"abuse", "lessons", "support"}
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path(".")}
    missing = [
        str(folder) for folder in folders if folder.parts[0] not in others and not (ROOT / "humo" / folder).is_dir()
    ]
    assert missing == [] and {str(folder) for folder in folders} >= {*_folders_of_rooms()}
    assert len(list(tests.glob("test_*.py"))) <= 20


def _folders_of_rooms() -> set[str]:
    return {room for room in ROOMS if (ROOT / "humo" / room).is_dir()}


def test_a_circle_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_imports.ROOT", tmp_path)
    (tmp_path / "a.py").write_text("def late():\n    from b import one\n")
    (tmp_path / "b.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\n")
    found = arrows(sorted(tmp_path.glob("*.py")))
    assert found == {"a": {"b"}, "b": {"a"}}
