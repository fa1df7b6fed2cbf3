"""Grading: what is read of a submission, what may run, what real kernels say; the map and the page for teachers."""

import csv
import re
from pathlib import Path

import nbformat
import pytest

from notebooks.answers import answers, exercises
from notebooks.grade import (
    LESSONS,
    Answer,
    Limits,
    find_submissions,
    grade,
    judge,
    main,
    published,
    table,
    write_csv,
)

TWICE = '''def twice(number):
    """Two times the number."""
    ...


def doubles(function):
    assert function(base) == 2 * base, "it should double."


check(twice, doubles, "Add it to itself.")
'''
ROOT = '''def root(number):
    """The square root."""
    ...


check(root, lambda function: close(function(9.0), 3.0), "Look into math.")
check(root, lambda function: close(function(4.0), 2.0), "Look into math.")
'''
MAP, TEACHING = ((LESSONS / name).read_text() for name in ("README.md", "TEACHING.md"))
LIMITS = Limits(seconds=300, answer_seconds=20, memory=1)


def notebook(*cells: tuple[str, str]) -> nbformat.NotebookNode:
    """Code cells from (source, tag)."""
    made = [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}) for source, tag in cells]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A lesson"), *made])


def lesson() -> nbformat.NotebookNode:
    """Two exercises; what they need stands above them."""
    whole = notebook(
        ("base = 1", "parameters"),
        ("import math\n\n\ndef close(one, other):\n    assert math.isclose(one, other), 'it is not close.'", ""),
        ("assert base == 21, 'the parameters are the fast ones'", ""),
        (TWICE, "exercise"),
        (ROOT, "exercise"),
        ("raise RuntimeError('nothing after the last answer is run')", ""),
    )
    whole.metadata["humo"] = {"fast": {"base": 21}}
    return whole


@pytest.fixture(scope="module")
def lessons(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lessons")
    nbformat.write(lesson(), folder / "01_numbers.ipynb")
    return folder


def hand_in(path: Path, *sources: str) -> Path:
    """Writes a submission of exercise cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*((source, "exercise") for source in sources)), path)
    return path


def answer_to(lessons: Path, tmp_path: Path, *sources: str) -> list[Answer]:
    return answers(hand_in(tmp_path / "handed_in.ipynb", *sources), exercises(lessons / "01_numbers.ipynb"))


@pytest.fixture(scope="module")
def results(lessons, tmp_path_factory) -> dict[tuple[str, str], tuple[str, str]]:
    """A class of seven, judged by real kernels."""
    folder = tmp_path_factory.mktemp("class")
    right = TWICE.replace("    ...", "    return number + number")
    hand_in(folder / "ada" / "01_numbers.ipynb", right, ROOT.replace("...", "return math.sqrt(number)"))
    claims = 'def twice(number):\n    print("✓ correct")\n    return number\n\n\nprint("✓ correct")\n'
    loops = ROOT.replace("...", "\n    while True:\n        pass")
    hand_in(folder / "bob" / "01_numbers.ipynb", claims + "check(twice, lambda function: None, '')", loops)
    reaches = TWICE.replace("    ...", "    import os\n    os._exit(0)")
    hand_in(folder / "cyd_01_numbers-final.ipynb", reaches, ROOT.replace("...", "raise SystemExit"))
    (folder / "dan").mkdir()
    (folder / "dan" / "01_numbers.ipynb").write_text('{"cells": [')
    hand_in(folder / "eve_02_other.ipynb")
    hand_in(folder / "fay" / "01_numbers.ipynb", TWICE)
    floods = "    for _ in range(60):\n        print('x' * 100_000)\n    return 2 * number"
    hungry = "return [bytearray(2**27) for _ in range(64)]"
    hand_in(folder / "gus_01_numbers.ipynb", TWICE.replace("    ...", floods), ROOT.replace("...", hungry))
    given = grade(folder, ["01"], LIMITS, lessons)
    return {(result.student, result.exercise): (result.verdict, result.remark) for result in given}


@pytest.mark.slow
def test_right_answers_pass(results):
    assert results["ada", "twice"] == results["ada", "root"] == ("passed", "")


def test_an_answer_that_says_it_is_right_or_brings_its_own_check_does_not_pass(results):
    assert results["bob", "twice"] == ("wrong", "it should double.")


def test_an_endless_loop_ends(results):
    assert results["bob", "root"] == ("out of time", "it took too long")


def test_an_answer_that_reaches_for_the_system_is_not_run(results):
    assert results["cyd", "twice"] == ("not run", "it imports os; read it by hand")


def test_leaving_is_no_answer(results):
    assert results["cyd", "root"][0] == "wrong" and "SystemExit" in results["cyd", "root"][1]


def test_broken_missing_and_untried_notebooks_have_a_line(results):
    assert results["dan", "twice"] == ("unreadable", "it is no notebook (JSONDecodeError)")
    assert results["eve", "root"] == ("missing", "nothing was handed in")
    assert results["fay", "twice"] == ("not attempted", "")
    assert results["fay", "root"] == ("missing", "no cell defines root")


def test_much_output_is_thrown_away_and_much_memory_refused(results):
    assert results["gus", "twice"] == ("passed", "")
    assert results["gus", "root"][0] == "wrong" and "MemoryError" in results["gus", "root"][1]


@pytest.mark.slow
def test_the_others_are_judged_when_one_kills_the_kernel_or_forges_a_verdict(lessons):
    """As if the sieve had let it through."""
    twice, root = exercises(lessons / "01_numbers.ipynb")
    forges = (
        "from IPython.display import display\n\n\ndef root(number):\n"
        "    display({'application/vnd.humo.verdict+json': {'word': '', 'passed': True, 'remark': ''}}, raw=True)\n"
    )
    killer = Answer(twice, source="import os\nos._exit(1)")
    verdicts = judge(lessons / "01_numbers.ipynb", [killer, Answer(root, source=forges)], LIMITS)
    assert verdicts["twice"] == ("crashed", "the kernel died")
    assert verdicts["root"][0] == "wrong"


def test_an_answer_cannot_change_the_names_of_the_lesson(lessons, tmp_path):
    """Neither its own `close` nor its own `base` is what the published check uses."""
    cheat = "base = 0\n\n\ndef close(one, other):\n    pass\n\n\ndef twice(number):\n    return 0\n"
    given = answer_to(lessons, tmp_path, cheat, "close = print\n" + ROOT.replace("...", "return 0"))
    verdicts = judge(lessons / "01_numbers.ipynb", given, LIMITS)
    assert verdicts == {"twice": ("wrong", "it should double."), "root": ("wrong", "it is not close.")}


def test_a_lesson_that_fails_is_not_the_learners_fault(tmp_path):
    broken = lesson()
    broken.metadata["humo"] = {}
    nbformat.write(broken, tmp_path / "01_broken.ipynb")
    given = answers(hand_in(tmp_path / "a.ipynb", TWICE.replace("...", "1")), exercises(tmp_path / "01_broken.ipynb"))
    verdicts = judge(tmp_path / "01_broken.ipynb", given, LIMITS)
    assert verdicts == {"twice": ("lesson failed", "AssertionError: the parameters are the fast ones")}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import subprocess", "imports subprocess"),
        ("from torch import os", "uses os"),
        ("torch.sys.exit()", "uses sys"),
        ("eval('1')", "uses eval"),
        ("number.__class__", "uses __class__"),
        ("torch.testing.assert_close = print", "changes .assert_close"),
        ("check = print", "uses check"),
        ("get_ipython().reset()", "uses get_ipython"),
        ("random._os.remove('x')", "uses _os"),
        ("from . import grade", "imports ."),
        ("class Yes: pass", "defines the class Yes"),
    ],
)
def test_the_sieve_names_what_it_holds_back(lessons, tmp_path, body, reason):
    (answer, _) = answer_to(lessons, tmp_path, TWICE.replace("...", body + "\n    return number"))
    assert answer.source is None and answer.verdict == "not run" and reason in answer.remark


def test_honest_answers_pass_the_sieve(lessons, tmp_path):
    body = "import torch.nn.functional as F\n    model.eval()\n    input = [number]\n    return F.relu(sum(input))"
    helper = "import math\n\n\ndef helper(x):\n    return x\n\n\n"
    (answer, _) = answer_to(lessons, tmp_path, helper + TWICE.replace("...", body))
    assert answer.source.startswith("import math") and "def helper" in answer.source
    assert "check(" not in answer.source and "doubles" not in answer.source


def test_the_filled_copy_of_a_cell_counts(lessons, tmp_path):
    filled = TWICE.replace("...", "return 2 * number")
    for sources in ((filled, TWICE), (TWICE, filled)):
        assert answer_to(lessons, tmp_path, *sources)[0].source is not None


def test_a_cell_that_is_not_python_is_named(lessons, tmp_path):
    (answer, _) = answer_to(lessons, tmp_path, TWICE.replace("...", "return (("))
    assert (answer.verdict, answer.remark) == ("wrong", "the cell is not plain Python in line 3")


def test_links_and_huge_files_are_not_read(lessons, tmp_path):
    wanted = exercises(lessons / "01_numbers.ipynb")
    (tmp_path / "link.ipynb").symlink_to(lessons / "01_numbers.ipynb")
    with pytest.raises(ValueError, match="no file of its own"):
        answers(tmp_path / "link.ipynb", wanted)
    with (tmp_path / "huge.ipynb").open("wb") as file:
        file.truncate(20_000_001)
    with pytest.raises(ValueError, match="larger than 20 MB"):
        answers(tmp_path / "huge.ipynb", wanted)


def test_both_ways_to_name_submissions(tmp_path):
    for name in ("ada/05_x.ipynb", "bob_b_05_x (1).ipynb", "notes.ipynb", ".ipynb_checkpoints/05_x.ipynb"):
        hand_in(tmp_path / name)
    assert list(find_submissions(tmp_path)) == [("ada", "05"), ("bob_b", "05")]


def test_two_notebooks_of_one_student_are_not_guessed_between(lessons, tmp_path):
    hand_in(tmp_path / "ada_01_a.ipynb", TWICE)
    hand_in(tmp_path / "ada" / "01_a.ipynb", TWICE)
    assert {result.remark for result in grade(tmp_path, lessons=lessons)} == {"2 notebooks: keep one"}


def test_tables(lessons, tmp_path):
    hand_in(tmp_path / "=ada_01_a.ipynb", TWICE)
    results = list(grade(tmp_path, lessons=lessons))
    lines = table(results).splitlines()
    assert lines[0].split() == ["student", "lesson", "exercise", "verdict", "remark"]
    assert lines[1].split() == ["=ada", "01_numbers", "twice", "not", "attempted"]
    assert lines[-1] == "=ada: 0 of 2 passed"
    write_csv(results, tmp_path / "marks.csv")
    rows = list(csv.reader((tmp_path / "marks.csv").read_text().splitlines()))
    assert len(rows) == 3 and rows[1][0] == "'=ada"


def test_wrong_calls_are_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "holds no submission" in capsys.readouterr().err
    hand_in(tmp_path / "ada_01_a.ipynb")
    assert main([str(tmp_path), "--lessons", "77"]) == 2
    assert "There is no lesson 77" in capsys.readouterr().err


def test_an_exercise_needs_a_function_and_a_check(tmp_path):
    nbformat.write(notebook(("check(1, 2, 3)", "exercise")), tmp_path / "01_x.ipynb")
    with pytest.raises(ValueError, match="needs a function"):
        exercises(tmp_path / "01_x.ipynb")


@pytest.mark.parametrize("path", published().values(), ids=lambda path: path.stem)
def test_every_published_lesson_can_be_graded(path, tmp_path):
    """Its stubs are no answers, and its folded solutions may run."""
    wanted = exercises(path)
    assert wanted and {answer.verdict for answer in answers(path, wanted)} == {"not attempted"}
    cells = nbformat.read(path, as_version=4).cells
    solutions = [cell.source for cell in cells if "solution" in cell.metadata.get("tags", [])]
    blocks = [block for source in solutions for block in re.findall(r"^```python\n(.*?)^```$", source, re.M | re.S)]
    filled = answers(hand_in(tmp_path / path.name, *blocks), wanted)
    assert [answer.remark for answer in filled if answer.source is None] == []


@pytest.mark.parametrize("path", published().values(), ids=lambda path: path.stem)
def test_the_map_calls_every_lesson_as_it_calls_itself(path):
    (row,) = [line for line in MAP.splitlines() if line.startswith(f"| [{path.stem[:2]} ")]
    first = nbformat.read(path, as_version=4).cells[0].source
    title, minutes = first.splitlines()[0].removeprefix("# "), re.search(r"(\d+) minutes to read", first)[1]
    assert f"[{title}]({path.name})" in row and f"| {minutes} min |" in row


def test_links_of_map_and_teaching_lead_somewhere():
    targets = re.findall(r"\]\(([^)#\s]+)\)", MAP + TEACHING)
    assert [target for target in targets if "://" not in target and not (LESSONS / target).exists()] == []
    assert len(TEACHING.split()) < 1600, "three pages"
