"""Two revisions in turn: the worktree of another one, the process that answers, the table.

Run: python -m pytest tests/benchmarks/test_against.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from humo.benchmarks import against
from humo.benchmarks.against import Comparison, busy_process, describe_comparisons, worktree


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits of one file."""
    monkeypatch.setattr(against, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for text in ("one", "two"):
        (tmp_path / "file.txt").write_text(text)
        git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run([*git, "add", "file.txt"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", text], check=True)
    return tmp_path


def test_the_other_revision_lies_in_a_folder_for_the_time(checkout: Path) -> None:
    with worktree("HEAD~1") as folder:
        assert (folder / "file.txt").read_text() == "one" and (checkout / "file.txt").read_text() == "two"
    assert not folder.exists()
    listed = subprocess.run(
        ["git", "-C", str(checkout), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_an_unknown_revision_is_a_sentence(checkout: Path) -> None:
    said = "revision 'nonsense' cannot be had here .*: give a commit of this checkout"
    with pytest.raises(ValueError, match=said), worktree("nonsense"):
        pytest.fail("there is no such revision")


def test_a_folder_without_history_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="give a commit of this checkout"), worktree("HEAD"):
        pytest.fail("there is no checkout")


def test_the_busy_process_ends_with_the_block() -> None:
    with busy_process() as process:
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.slow
def test_the_process_of_a_revision_answers_for_every_part() -> None:
    with against._answering(against.ROOT) as side:
        assert all(side(part)() > 0 for part in against.PARTS)


def test_the_table_has_the_ratios() -> None:
    lines = describe_comparisons([Comparison("clip", 1.0, 4.0)], "abc").splitlines()
    assert lines[0] == "| part | here | abc | ratio |" and lines[-1] == "| clip | 1.00 | 4.00 | 0.25 |"
