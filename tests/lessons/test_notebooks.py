"""The lessons run, their checks judge, and their form is kept.

As a script: `python tests/lessons/test_notebooks.py --write [names]` runs lessons as published and stores them with
their outputs; `--full [names]` runs them as published and only records what they cost. Without names, all of them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]  # as a script, too, `notebooks` and helpers are found

import notebook_lint  # noqa: E402
import notebook_runner as runner  # noqa: E402

from humo.world.clips import speak_plan  # noqa: E402
from humo.world.examples import PORTRAITS  # noqa: E402
from notebooks.badges import colab_link, fetch_line, read_setting  # noqa: E402

LESSONS = runner.lessons()
README = runner.FOLDER / "README.md"
NAMES = [
    "01_flow_matching",
    "02_latents_and_references",
    "03_hearing",
    "04_transformer",
    "05_focus_by_predicting",
    "06_guidance",
    "07_training",
    "08_generate",
    "09_what_is_known_stays",
    "10_few_steps",
    "11_measuring",
]


@pytest.fixture(scope="module")
def shared_kernel() -> Iterator[AsyncKernelManager]:
    """One kernel for all lessons in the fast form: its imports cost more than most of them."""
    with runner.kernel() as manager:
        yield manager


# 1. The lessons


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_form(path: Path):
    assert notebook_lint.lint(path) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_stored_outputs(path: Path):
    assert notebook_lint.lint_outputs(path) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_fast_form_runs_and_checks_judge(path: Path, shared_kernel: AsyncKernelManager):
    notebook = runner.fast_form(runner.read(path))
    done = runner.execute(notebook, shared_kernel).notebook
    exercises = sum("exercise" in runner.tags(cell) for cell in done.cells)
    assert runner.verdicts(done, "solved") == ["✓ correct"] * exercises
    assert runner.verdicts(done, "exercise") == ["… not attempted yet"] * exercises


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_it_last_ran_in_full_as_it_stands(path: Path):
    record = json.loads(runner.RECORD.read_text())[path.stem]
    now = runner.hash_of_sources(runner.read(path))
    assert record["sources"] == now, "run python tests/lessons/test_notebooks.py --full"
    assert record["cpu_seconds"] < runner.MAX_CPU_SECONDS and record["peak_mib"] < runner.MAX_MIB
    assert record["slowest_cell_seconds"] < runner.MAX_CELL_SECONDS


def test_the_map_of_the_lessons_tells_what_they_cost():
    record = json.loads(runner.RECORD.read_text())
    row = re.compile(r"^\| \[\d\d · [^]]+\]\((\w+)\.ipynb\) \| .+? \| \d+ min \| (\d*)(½?) min \|", re.MULTILINE)
    told = {name: int(whole or 0) + len(half) / 2 for name, whole, half in row.findall(README.read_text())}
    assert list(told) == NAMES
    for name, minutes in told.items():
        assert abs(minutes - record[name]["cpu_seconds"] / 60) < 1, f"{name} takes another time to run"


def test_the_phonemes_of_the_bundled_voices_are_true():
    spoken = json.loads((runner.FOLDER / "spoken.json").read_text())
    true = {
        portrait.name: {
            "sentence": portrait.sentence,
            "phonemes": list(map(list, speak_plan(portrait.plan()).phonemes)),
        }
        for portrait in PORTRAITS
    }
    assert spoken == true, "the lessons' mouths would move to other sounds than the voices in assets/examples"


# 2. The harness itself, on a small lesson that keeps to the form

TITLE = f"""# 09 · A small lesson

{colab_link("09_small", read_setting())} ![a strip](strip.svg)

- one
- two
- three

Takes 5 minutes. [1](#1.-One) [2](#1.-One) [3](#1.-One) [4](#Sources) [5](#What-we-left-out)"""
SETUP = f"""if "google.colab" in str(get_ipython()):
{fetch_line(read_setting())}
__import__("sys").path.insert(0, "..")"""
BEGIN = """import humo.explain.figures
from notebooks.lesson import begin, check, explore, quiz, show
from PIL import Image

begin()"""
STEP = """quiz("How many?", ["one", "two"], 1, "Two.")
quiz("How many now?", ["one", "two"], 0, "One.")
show(Image.new("RGB", (8, 8 * size)), f"a black strip, {size} times as high as wide")
explore(
    lambda side: Image.new("L", (side, 8)),
    {"side": 8},
    "a black square of eight pixels",
    side=[8, 16],
)
assert size > 0
assert size < 9
assert humo.explain.figures.COLOURS"""
EXERCISE = '''def double(number):
    """Twice the number."""
    ...


def test(function):
    assert function(3) == 6, "three should become six."


check(double, test, "Add it to itself.")'''
SOLUTION = """<details><summary>Solution</summary>

```python
def double(number):
    return 2 * number
```

</details>"""


def small_lesson() -> NotebookNode:
    """A notebook without any fault."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        text(TITLE),
        code(SETUP, metadata={"tags": ["setup"]}),
        code(BEGIN),
        code("size = 4", metadata={"tags": ["parameters"]}),
        text("## 1. One"),
        code(STEP),
        text("### Exercise: twice\n\n*Difficulty ●○○ · about 5 minutes*\n\nWrite it."),
        code(EXERCISE, metadata={"tags": ["exercise"]}),
        text(SOLUTION, metadata={"tags": ["solution"]}),
        text("## Open problems\n\n1. Try `python -m humo evaluate`.\n\n2. Try `humo.guidance.paper`\nor not."),
        text("## What we left out\n\n## Sources"),
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"humo": {"fast": {"size": 2}}})


@pytest.fixture(scope="module")
def executed(shared_kernel: AsyncKernelManager) -> runner.Run:
    """The small lesson in the fast form."""
    return runner.execute(runner.fast_form(small_lesson()), shared_kernel)


def save(notebook: NotebookNode, folder: Path) -> Path:
    path = folder / "09_small.ipynb"
    nbformat.write(notebook, path)
    return path


def test_the_fast_form_has_small_parameters_and_solutions(executed: runner.Run):
    assert runner.verdicts(executed.notebook, "solved") == ["✓ correct"]
    assert runner.verdicts(executed.notebook, "exercise") == ["… not attempted yet"]
    shown = [output.data["text/plain"] for cell in executed.notebook.cells for output in cell.get("outputs", [])[2:3]]
    assert shown == ["a black strip, 2 times as high as wide"]


def test_costs_are_measured(executed: runner.Run):
    assert 0 < executed.slowest_cell < executed.cpu_seconds + 600 and executed.peak_mib > 50


def test_a_solution_may_bring_its_own_helper_and_replaces_only_what_it_defines():
    solution = "def half(number):\n    return number / 2\n\n\ndef double(number):\n    return number + 2 * half(number)"
    source = runner.solved(EXERCISE, solution)
    assert source.startswith(solution) and source.count("def double") == 1
    assert "def test(function)" in source and source.endswith('check(double, test, "Add it to itself.")')


def test_a_lesson_answers_for_the_records_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(runner.MODEL, tmp_path / "model")
    monkeypatch.setattr(runner, "MODEL", tmp_path / "model")
    plain, reading, fast = (
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        for source in ('humo.load("mini")', 'read(MINI / "report.json")', 'humo.load("mini", fast=True)')
    )
    before = [runner.hash_of_model(each) for each in (plain, reading, fast)]
    (tmp_path / "model" / "report.json").write_text("{}")
    after = [runner.hash_of_model(each) for each in (plain, reading, fast)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    (tmp_path / "model" / "fast" / "adapter.safetensors").write_bytes(b"another")
    last = [runner.hash_of_model(each) for each in (plain, reading, fast)]
    assert [one == other for one, other in zip(after, last, strict=True)] == [True, True, False]


def test_outputs_are_stored_without_what_changes(executed: runner.Run, tmp_path: Path):
    stored = runner.stripped(executed.notebook)
    stored.metadata["humo"].update(sources=runner.hash_of_sources(stored), model=runner.hash_of_model(stored))
    assert notebook_lint.lint_outputs(save(stored, tmp_path)) == []
    before = notebook_lint.lint_outputs(save(executed.notebook, tmp_path))
    assert any("widget" in sentence for sentence in before) and any("older" in sentence for sentence in before)
    assert any("execution count" in sentence for sentence in before)


def test_a_lesson_that_keeps_to_the_form_has_no_faults(tmp_path: Path):
    assert notebook_lint.lint(save(small_lesson(), tmp_path)) == []


def edit(number: int, old: str, new: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        assert old in notebook.cells[number].source
        notebook.cells[number].source = notebook.cells[number].source.replace(old, new)

    return change


def untag(number: int, *kept: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells[number].metadata["tags"] = list(kept)

    return change


FAULTS = [
    (edit(4, "## 1. One", "# 1. One"), "one heading of level 1"),
    (edit(6, "###", "####"), "skips a level"),
    (edit(10, "## Sources", ""), "'Sources' is missing"),
    (edit(0, "# 09 ·", "# Lesson 9:"), "must begin with '# 09 · '"),
    (edit(0, "Colab", "Kaggle"), "run python -m notebooks.badges"),
    (edit(1, "    !", "    pass  # !"), "the tag 'setup' must have '    !"),
    (edit(0, "[5](#What-we-left-out)", ""), "no table of contents"),
    (edit(0, "(#Sources)", "(#Source)"), "leads to #Source, which is no heading"),
    (edit(0, "- three", ""), "will be able to do"),
    (edit(0, "5 minutes", "a while"), "how many minutes"),
    (edit(0, "![a strip]", "![]"), "no alt text"),
    (edit(10, "## Sources", "## Sources\n\n[here](../README.md)"), "'here' does not say where"),
    (edit(10, "## Sources", "## Sources\n\n[the code](../nowhere.py)"), "../nowhere.py leads nowhere"),
    (edit(5, "assert size < 9", "\n" * 30), "lines of code, more than 25"),
    (edit(5, "How many now?", "How many now? " * 9), "characters, more than 88"),
    (edit(5, "assert size < 9", "class Toy: ..."), "defines the class Toy"),
    (edit(5, "assert size < 9", "import requests"), "imports requests"),
    (edit(5, "assert size < 9", "!pip list"), "runs a command"),
    (edit(2, "import humo.explain.figures", ""), "nothing of humo"),
    (untag(4, "hidden"), "'hidden' is unknown"),
    (untag(3), "must have the tag 'parameters', not 0"),
    (untag(1), "must have the tag 'setup'"),
    (edit(1, "\n", "\n\n\n"), "must have at most 4 lines"),
    (untag(8), "followed by its solution"),
    (edit(8, "<details>", ""), "must be a fold"),
    (edit(7, "check(double,", "print(double,"), "must call check once"),
    (edit(7, "check(double,", "Image = 8\n\n\ncheck(double,"), "cell 7 changes Image, which cell 5 draws with"),
    (edit(6, "●○○", "○○○"), "directly under it"),
    (edit(6, "\n\n*Diff", "\n\nWrite it.\n\n*Diff"), "directly under it"),
    (edit(6, "about 5", "5"), "directly under it"),
    (edit(9, "## Open", "## Closed"), "two numbered items"),
    (edit(9, "2. Try", "Try"), "two numbered items"),
    (edit(9, "\nor not", "\n\n3. or not"), "two numbered items"),
    (edit(9, "`humo.guidance.paper`", "it"), "names nothing to try it with"),
    (edit(9, "humo.guidance.paper", "humo.guidance.papers"), "names humo.guidance.papers, which there is not"),
    (edit(9, "humo evaluate", "humo evaluates"), "names the command 'evaluates', which there is not"),
    (edit(5, "quiz(", "print("), "quiz( is used 0 times, less than 2"),
    (edit(5, "explore(", "print("), "explore( is used 0 times, less than 1"),
    (edit(4, "## 1. One", "## 1. One\n\nSee /home" + "/me/x."), "folder of one machine"),
]


@pytest.mark.parametrize(("change", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_every_rule_of_form_is_told(change: Callable, sentence: str, tmp_path: Path):
    notebook = small_lesson()
    change(notebook)
    assert [told for told in notebook_lint.lint(save(notebook, tmp_path)) if sentence in told] != []


# 3. All of them


def test_all_of_them_exist():
    assert [path.stem for path in LESSONS] == NAMES


def main() -> None:
    """Runs lessons in full, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="run as published and store the outputs")
    choice.add_argument("--full", action="store_true", help="run as published and record the cost")
    parser.add_argument("names", nargs="*", help="lessons, for example 05_focus_by_predicting or 05")
    arguments = parser.parse_args()
    for path in LESSONS:
        if not arguments.names or path.stem in arguments.names or path.stem[:2] in arguments.names:
            run = runner.write(path) if arguments.write else runner.run_in_full(path)
            print(
                f"{path.stem}: {run.cpu_seconds:.0f} s of CPU, slowest cell {run.slowest_cell:.0f} s, "
                f"{run.peak_mib:.0f} MiB, {path.stat().st_size / 1000:.0f} kB",
                flush=True,
            )


if __name__ == "__main__":
    main()
