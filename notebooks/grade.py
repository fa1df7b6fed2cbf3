"""Who passed what: `python -m notebooks.grade folder/` judges the answers in notebooks that learners handed in.

The folder holds `<student>/NN_name.ipynb` or `<student>_NN_name.ipynb`. Only answers are read from them
(`notebooks.answers`): they are put into the published lesson, which runs in its fast form in a fresh kernel, in a
temporary copy, with limits of time, memory and output. Nothing of a learner's code runs in this process. An answer that
ends the kernel or the time is named, and the others are judged without it.

Whoever wants to cheat still shares a kernel with the judge: the checks help honest learners and their teacher, and a
result that matters is worth a look at the answer. Ours.
"""

from __future__ import annotations

import csv
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from notebooks.answers import Answer, Exercise, answers, exercises
from notebooks.judging import VERDICT
from notebooks.running import kernel

LESSONS = Path(__file__).parent
MAX_OUTPUT = 5_000_000
"""Bytes of output that are read from one kernel; the rest is thrown away."""
_NAMED = re.compile(r"(?P<number>\d\d)_[^/]*\.ipynb")
_FLAT = re.compile(r"(?P<student>.+?)_(?P<number>\d\d)_[^/]*\.ipynb")
_ANSWER, _JUDGE = "answer", "judge"
_JUDGING = "__import__('notebooks.judging').judging"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a graded kernel may use."""

    seconds: float = 300
    """For one lesson of one student."""
    answer_seconds: float = 30
    """For one answer, and as much for its checks; they take milliseconds."""
    memory: float = 6
    """GiB; only where the system has such limits (Linux, macOS)."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    student: str
    lesson: str
    exercise: str
    verdict: str
    """passed, wrong, not attempted, not run, out of time, crashed, missing, unreadable or lesson failed."""
    remark: str = ""


DEFAULT = Limits()


# 1. Submissions


def find_submissions(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """Notebooks by student and number of the lesson, in the order of their names.

    Raises:
        ValueError: if there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {str(folder)!r}: give the one with the submissions.")
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("*/*.ipynb")]):
        is_flat = path.parent == folder
        match = (_FLAT if is_flat else _NAMED).fullmatch(path.name)
        if match and not path.parent.name.startswith("."):
            student = match["student"] if is_flat else path.parent.name
            found.setdefault((student, match["number"]), []).append(path)
    if not found:
        raise ValueError(
            f"{folder.name} holds no submission: name them STUDENT/NN_name.ipynb or STUDENT_NN_name.ipynb."
        )
    return found


def published(folder: Path = LESSONS) -> dict[str, Path]:
    """The lessons by number."""
    return {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


# 2. Grading


def grade(
    folder: Path, numbers: Sequence[str] = (), limits: Limits = DEFAULT, lessons: Path = LESSONS
) -> Iterator[Result]:
    """Judges every student's answers in every lesson.

    Args:
        folder: of the submissions.
        numbers: lessons that everybody was to hand in, as "05"; empty: those that somebody did.
        limits: of every kernel.
        lessons: folder of the published lessons.

    Yields:
        Results, student by student.

    Raises:
        ValueError: if the folder or a lesson is not there.
    """
    found, known = find_submissions(folder), published(lessons)
    numbers = sorted(set(numbers) or {number for _, number in found})
    if unknown := [number for number in numbers if number not in known]:
        raise ValueError(f"There is no lesson {unknown[0]}: there are {', '.join(known)}.")
    wanted = {number: exercises(known[number]) for number in numbers}
    for student in sorted({student for student, _ in found}):
        for number in numbers:
            for verdict in _grade_one(found.get((student, number), []), known[number], wanted[number], limits):
                yield Result(student, known[number].stem, *verdict)


def _grade_one(
    paths: list[Path], lesson: Path, wanted: list[Exercise], limits: Limits
) -> Iterator[tuple[str, str, str]]:
    """Exercise, verdict and remark of one student's lesson."""
    if len(paths) != 1:
        remark = "nothing was handed in" if not paths else f"{len(paths)} notebooks: keep one"
        yield from ((exercise.name, "missing" if not paths else "unreadable", remark) for exercise in wanted)
        return
    try:
        given = answers(paths[0], wanted)
    except ValueError as error:
        yield from ((exercise.name, "unreadable", str(error)) for exercise in wanted)
        return
    verdicts = judge(lesson, given, limits)
    for answer in given:
        verdict, remark = verdicts.get(answer.exercise.name, (answer.verdict, answer.remark))
        yield answer.exercise.name, verdict, _plain(remark)


def judge(lesson: Path, given: Sequence[Answer], limits: Limits = DEFAULT) -> dict[str, tuple[str, str]]:
    """Runs answers in the published lesson.

    Args:
        lesson: the published notebook.
        given: answers; those without source are left out.
        limits: of a run of the lesson; there are several if answers end it.

    Returns:
        Verdict and remark by exercise.
    """
    verdicts: dict[str, tuple[str, str]] = {}
    while left := [answer for answer in given if answer.source and answer.exercise.name not in verdicts]:
        verdicts |= _run(lesson, left, limits)  # at least one verdict
    return verdicts


def _run(lesson: Path, left: list[Answer], limits: Limits) -> dict[str, tuple[str, str]]:
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="humo-grade-") as place:
        copy_project(Path(place))
        notebook = graded_form(lesson, left, word, Path(place), limits.memory)
        with kernel(Path(place) / "notebooks") as manager:
            client = _Client(notebook, manager, limits)
            trouble = client.run()
    verdicts: dict[str, tuple[str, str]] = {}
    for answer in left:
        cells = [cell for cell in notebook.cells if cell.metadata.get("exercise") == answer.exercise.name]
        verdict = _read(cells, answer.exercise.num_checks, word)
        if verdict is None and any(client.current is cell for cell in cells):
            verdict = trouble or ("wrong", "no verdict came back")
        if verdict is not None:
            verdicts[answer.exercise.name] = verdict
    return verdicts or {answer.exercise.name: ("lesson failed", (trouble or ("", ""))[1]) for answer in left}


def _read(cells: list[NotebookNode], num_checks: int, word: str) -> tuple[str, str] | None:
    """The verdict on an answer from the outputs of its two cells; None if it did not come so far."""
    for output in (output for cell in cells for output in cell.outputs):
        if output.output_type == "error":
            return "wrong", f"{output.ename}: {output.evalue}"
    outputs = [output.data.get(VERDICT) for output in cells[1].outputs if output.output_type == "display_data"]
    told = [verdict for verdict in outputs if isinstance(verdict, dict) and verdict.get("word") == word]
    if failed := [verdict for verdict in told if not verdict["passed"]]:
        return "wrong", failed[0]["remark"]
    return ("passed", "") if len(told) == num_checks else None


def copy_project(place: Path) -> None:
    """Copies what a lesson reads, so that an answer cannot change it for others."""
    root = LESSONS.parent
    for part in ("humo", "assets"):
        shutil.copytree(root / part, place / part)
    shutil.copytree(LESSONS, place / "notebooks", ignore=shutil.ignore_patterns("*.ipynb", ".*"))


def graded_form(lesson: Path, left: Sequence[Answer], word: str, place: Path, memory: float) -> NotebookNode:
    """The published lesson with its fast parameters, limits before all, and answer and judge in place of an exercise.

    Args:
        lesson: the published notebook.
        left: answers to be judged; what follows the last one is left out.
        word: the judge's.
        place: folder of the copied project.
        memory: of the kernel, GiB.
    """
    notebook = nbformat.read(lesson, as_version=4)
    fast = notebook.metadata.get("humo", {}).get("fast", {})
    by_position = {answer.exercise.position: answer for answer in left}
    begin = ["import sys", f"sys.path.insert(0, {str(place)!r})", f"{_JUDGING}.limit({memory})"]
    cells = [nbformat.v4.new_code_cell("\n".join(begin))]
    for position, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        tags = cell.metadata.get("tags", [])
        if position > max(by_position):
            break
        if "parameters" in tags:
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in fast.items())
        if position in by_position:
            cells += _pair(by_position[position], word)
        elif "exercise" not in tags:
            cells.append(cell)
    notebook.cells = cells
    return notebook


def _pair(answer: Answer, word: str) -> list[NotebookNode]:
    """Two cells: the answer, and the published checks with the judge in the place of `check`."""
    exercise = answer.exercise
    sources = {
        _ANSWER: f"{_JUDGING}.take({answer.source!r}, {exercise.names!r})",
        _JUDGE: f"check = {_JUDGING}.Judge({word!r})\n{exercise.test}",
    }
    return [
        nbformat.v4.new_code_cell(source, metadata={"tags": [kind, "raises-exception"], "exercise": exercise.name})
        for kind, source in sources.items()
    ]


class _Client(NotebookClient):
    """Runs a notebook until an answer ends it, with a limit on time and on what is kept of the outputs.

    Attributes:
        current: the cell that runs, or ran last.
    """

    def __init__(self, notebook: NotebookNode, manager: Any, limits: Limits) -> None:
        super().__init__(notebook, km=manager, timeout_func=self._left, store_widget_state=False, iopub_timeout=10)
        self._limits, self._deadline, self._room = limits, time.monotonic() + limits.seconds, MAX_OUTPUT
        self.current: NotebookNode | None = None

    def run(self) -> tuple[str, str] | None:
        """Runs it; a verdict and a remark if it ended early."""
        try:
            self.execute()
        except CellTimeoutError:
            return "out of time", "it took too long"
        except DeadKernelError:
            return "crashed", "the kernel died"
        except CellExecutionError as error:
            return "lesson failed", f"{error.ename}: {error.evalue}"
        finally:
            self.kc.stop_channels()
        return None

    def _left(self, cell: NotebookNode) -> float:
        self.current = cell
        left = max(1.0, self._deadline - time.monotonic())
        return min(self._limits.answer_seconds, left) if "exercise" in cell.metadata else left

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        content = msg["content"]
        if msg["msg_type"] in ("stream", "display_data", "execute_result") and VERDICT not in content.get("data", ()):
            self._room -= len(repr(content))
            if self._room < 0:
                return None
        return super().process_message(msg, cell, cell_index)


# 3. Tables


def _plain(remark: str) -> str:
    """One short line without control characters, whatever an answer said."""
    line = "".join(letter if letter.isprintable() else " " for letter in remark)
    return line if len(line) <= 100 else line[:99] + "…"


def table(results: Sequence[Result]) -> str:
    """Results in columns, and below how many exercises each student passed."""
    rows = [tuple(field.name for field in fields(Result)), *(astuple(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    for student in sorted({result.student for result in results}):
        own = [result.verdict for result in results if result.student == student]
        lines.append(f"{student}: {own.count('passed')} of {len(own)} passed")
    return "\n".join(lines)


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Results as a table for spreadsheets, in which no cell is read as a formula."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Result))
        for result in results:
            writer.writerow(f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in astuple(result))


# 4. Command


def grade_command(
    folder: Annotated[Path, typer.Argument(help="With STUDENT/NN_name.ipynb or STUDENT_NN_name.ipynb.")],
    lessons: Annotated[str, typer.Option(help="Numbers of the lessons due, as 01,05; empty: all handed in.")] = "",
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write the table to this file.")] = None,
    seconds: Annotated[float, typer.Option(help="For one lesson of one student.", min=1)] = DEFAULT.seconds,
    memory: Annotated[float, typer.Option(help="Of a kernel, GiB (Linux and macOS).", min=0.25)] = DEFAULT.memory,
) -> None:
    """Judge the answers in notebooks that learners handed in."""
    numbers = [number.strip().zfill(2) for number in lessons.split(",") if number.strip()]
    results = []
    for result in grade(folder, numbers, Limits(seconds=seconds, memory=memory)):
        results.append(result)
        typer.echo(f"{result.student} {result.lesson} {result.exercise}: {result.verdict}", err=True)
    typer.echo(table(results))
    if csv_file is not None:
        write_csv(results, csv_file)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        Exit code: 0, 2 for a wrong call.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(grade_command)
    try:
        return app(arguments, prog_name="python -m notebooks.grade") or 0
    except ValueError as error:
        typer.echo(f"Error: {error}", err=True)
        return 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
