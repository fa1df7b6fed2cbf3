"""Exercises of a published lesson, and a learner's answers to them, read without running anything.

Of what a learner hands in only the functions that an exercise asks for are used, with what stands beside them in the
same cell; the checks are the published ones. Before an answer may run it is looked through: one that reaches for the
system, the kernel or other people's modules is not run but shown to the teacher. That is a sieve and no sandbox, and
it keeps honest mistakes and simple tricks out; how grading runs what passes it stands in `notebooks.grade`. Ours.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 20_000_000
"""Size of the largest notebook that is read."""
MODULES = {
    "__future__", "collections", "dataclasses", "einops", "functools", "humo", "itertools", "math", "matplotlib",
    "numpy", "operator", "PIL", "random", "scipy", "torch", "typing",
}  # fmt: skip
"""What an answer may import."""
FORBIDDEN = {
    "builtins", "ctypes", "exec", "gc", "get_ipython", "importlib", "inspect", "io", "multiprocessing", "notebooks",
    "os", "pathlib", "pickle", "shutil", "socket", "subprocess", "sys", "tempfile", "threading",
}  # fmt: skip
"""Names that an answer may not use, alone or after a dot."""
FORBIDDEN_ALONE = {
    "breakpoint", "check", "compile", "delattr", "display", "eval", "exit", "getattr", "globals", "locals", "open",
    "quit", "setattr", "vars",
}  # fmt: skip
"""Names that are harmless after a dot only, as in `model.eval()`."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """What a lesson asks for.

    Attributes:
        names: functions to be written; the first one stands for the exercise.
        test: the rest of the published cell, with its checks.
        num_checks: checks in it.
        position: of the cell in the lesson.
    """

    names: tuple[str, ...]
    test: str
    num_checks: int
    position: int

    @property
    def name(self) -> str:
        """For tables."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a learner wrote.

    Attributes:
        exercise: to which.
        source: that may run, or None.
        verdict, remark: of an answer that does not run.
    """

    exercise: Exercise
    source: str | None = None
    verdict: str = ""
    remark: str = ""


# 1. Reading


def code_cells(path: Path) -> list[tuple[str, list[str]]]:
    """Source and tags of a notebook's code cells.

    Raises:
        ValueError: if the file is no notebook.
    """
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is no file of its own")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1_000_000} MB; clear its outputs")
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            ("".join(cell["source"]), list(cell.get("metadata", {}).get("tags", [])))
            for cell in cells
            if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no notebook ({type(error).__name__})") from error


def exercises(path: Path) -> list[Exercise]:
    """The exercises of a published lesson, in order; positions count code cells.

    Raises:
        ValueError: if an exercise asks for no function, or checks nothing.
    """
    found = []
    for position, (source, tags) in enumerate(code_cells(path)):
        if "exercise" not in tags:
            continue
        nodes = ast.parse(source).body
        names = tuple(node.name for node in nodes if isinstance(node, ast.FunctionDef) and _is_stub(node))
        rest = [node for node in nodes if not (isinstance(node, ast.FunctionDef) and node.name in names)]
        num_checks = sum(_is_check(node) for node in rest)
        if not names or not num_checks:
            raise ValueError(
                f"{path.name}: the exercise in code cell {position} needs a function with body ... and a check."
            )
        found.append(Exercise(names, "\n".join(map(ast.unparse, rest)), num_checks, position))
    return found


def answers(path: Path, wanted: list[Exercise]) -> list[Answer]:
    """A learner's answers, one for each exercise.

    Args:
        path: the notebook that was handed in.
        wanted: from `exercises`.

    Raises:
        ValueError: if the file is no notebook.
    """
    sources = [source for source, _ in code_cells(path)]
    return [_answer(sources, exercise) for exercise in wanted]


def _answer(sources: list[str], exercise: Exercise) -> Answer:
    """The last cell that has all of the functions; one that was filled in goes before one that was not."""
    best, trouble = None, Answer(exercise, verdict="missing", remark=f"no cell defines {exercise.name}")
    for source in sources:
        if not all(f"def {name}" in source for name in exercise.names):
            continue
        try:
            nodes = _parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
            trouble = Answer(exercise, verdict="wrong", remark=f"the cell is not plain Python{where}")
            continue
        asked = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
        if set(exercise.names) <= set(asked):
            is_stub = all(_is_stub(asked[name]) for name in exercise.names)
            if best is None or best[0] or not is_stub:
                best = is_stub, nodes
    if best is None:
        return trouble
    if best[0]:
        return trouble if trouble.verdict == "wrong" else Answer(exercise, verdict="not attempted")
    kept = list(_own(best[1], exercise))
    if objection := next(objections(kept), None):
        return Answer(exercise, verdict="not run", remark=f"{objection}; read it by hand")
    return Answer(exercise, source="\n".join(map(ast.unparse, kept)))


def _parse(source: str) -> list[ast.stmt]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a learner's invalid escape is no matter of ours
        return ast.parse(source).body


def _own(nodes: list[ast.stmt], exercise: Exercise) -> Iterator[ast.stmt]:
    """What the learner wrote: all but the checks and what the published cell has as well."""
    published = {ast.dump(node) for node in ast.parse(exercise.test).body}
    for node in nodes:
        if not _is_check(node) and ast.dump(node) not in published:
            yield node


def _is_stub(node: ast.FunctionDef) -> bool:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return all(isinstance(part, ast.Expr) and _is_ellipsis(part.value) for part in body)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _is_check(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


# 2. The sieve


def objections(nodes: list[ast.stmt]) -> Iterator[str]:
    """Reasons not to run an answer, each the beginning of a sentence."""
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        match node:
            case ast.ClassDef():
                yield f"it defines the class {node.name}"
            case ast.Import():
                yield from _foreign(alias.name for alias in node.names)
            case ast.ImportFrom():
                yield from _foreign([f"{'.' * node.level}{node.module or ''}"])
                yield from _forbidden(alias.name for alias in node.names)
            case ast.Name():
                yield from _forbidden([node.id], FORBIDDEN | FORBIDDEN_ALONE)
            case ast.Attribute(ctx=ast.Load()):
                yield from _forbidden([node.attr])
            case ast.Attribute():
                yield f"it changes .{node.attr} of something"


def _foreign(modules: Iterable[str]) -> Iterator[str]:
    for module in modules:
        first, *rest = module.split(".")
        if first not in MODULES:
            yield f"it imports {module}"
        yield from _forbidden(rest)


def _forbidden(names: Iterable[str], forbidden: set[str] = FORBIDDEN) -> Iterator[str]:
    for name in names:
        if name.strip("_") in forbidden or name.startswith("__") or name == "*":
            yield f"it uses {name}"
