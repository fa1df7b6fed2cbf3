"""Where the project is published: one setting, written everywhere by one command, and no link while there is none."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest
from notebook_runner import hash_of_sources

from notebooks.badges import ROOT, SETTING, Published, files_with, main, read_setting

REAL = Published("ada/humo", "v1")
ADDRESS = re.compile(r"https?://(?:colab\.research\.google\.com/github|github\.com)/[^\s)\"'`]+")


def run(project: Path, *arguments: str) -> int:
    return main([*arguments, "--root", str(project)])


def places(root: Path) -> list[Path]:
    """What the command writes."""
    return sorted(files_with(read_setting(root), root))


def ours(root: Path) -> list[str]:
    """Addresses in it of the project on GitHub or of its lessons on Colab."""
    found = [address for path in places(root) for address in ADDRESS.findall(path.read_text(encoding="utf-8"))]
    return [address for address in found if "humo" in address.lower()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of all that the command writes."""
    for path in places(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_the_project_is_as_its_setting_says():
    stale = [path.name for path, text in files_with(read_setting()).items() if path.read_text() != text]
    assert stale == [], "run python -m notebooks.badges"


def test_without_an_address_no_link_leads_to_one(project: Path):
    assert run(project, "--off") == 0 and read_setting(project) is None
    assert ours(project) == [] and "open 01" not in (project / "notebooks/README.md").read_text()
    assert set(tomllib.loads((project / "pyproject.toml").read_text())["project"]["urls"]) == {"Paper"}
    lesson = nbformat.read(project / "notebooks/03_hearing.ipynb", as_version=4)
    assert "(README.md#on-colab)" in lesson.cells[0].source and "humo-compact.zip" in lesson.cells[1].source
    assert "### On Colab" in (project / "notebooks/README.md").read_text()


def test_with_an_address_every_lesson_leads_there(project: Path):
    assert run(project, "--repository", "ada/humo", "--tag", "v1") == 0 and read_setting(project) == REAL
    lessons = sorted((project / "notebooks").glob("*.ipynb"))
    readme = (project / "notebooks/README.md").read_text()
    for path in lessons:
        address = f"https://colab.research.google.com/github/ada/humo/blob/v1/notebooks/{path.name}"
        first, setup = nbformat.read(path, as_version=4).cells[:2]
        assert f"[Open in Colab]({address})" in first.source and "own copy" not in first.source
        assert "git clone -qb v1 https://github.com/ada/humo humo-compact\n" in setup.source
        assert f"| [open {path.name[:2]}]({address}) |" in readme
    urls = tomllib.loads((project / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Source"] == "https://github.com/ada/humo"
    assert urls["Changelog"] == "https://github.com/ada/humo/blob/v1/CHANGELOG.md"
    assert "Paper" in urls and len(lessons) >= 9


def test_on_and_off_again_is_what_it_was_and_outputs_stay_valid(project: Path, capsys: pytest.CaptureFixture):
    run(project, "--off")
    before = {path: path.read_text() for path in places(project)}
    lessons = [path for path in before if path.suffix == ".ipynb"]
    hashes = {path: hash_of_sources(nbformat.read(path, as_version=4)) for path in lessons}
    run(project, "--repository", "ada/humo", "--tag", "v1")
    for path, of_code in hashes.items():
        lesson = nbformat.read(path, as_version=4)
        assert path.read_text() != before[path] and hash_of_sources(lesson) == of_code
    run(project)
    assert capsys.readouterr().out.splitlines()[-1] == "ada/humo at v1; nothing changed"
    run(project, "--off")
    assert {path: path.read_text() for path in places(project)} == before


def test_a_row_of_another_setting_is_mended(project: Path):
    readme = project / "notebooks/README.md"
    lines = readme.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith("| [03 "))
    lines[at] = lines[at].replace("| [`humo", "| [open 03](https://colab.research.google.com/github/x/y) | [`humo")
    readme.write_text("".join(lines))
    run(project)
    assert "open 03" not in readme.read_text() or read_setting(project)


def test_a_lesson_from_elsewhere_without_a_place_for_the_link_is_named(project: Path, capsys: pytest.CaptureFixture):
    path = project / "notebooks/01_flow_matching.ipynb"
    lesson = nbformat.read(path, as_version=4)
    lesson.cells[0].source = "# 01 · Bare"
    nbformat.write(lesson, path)
    assert run(project, "--off") == 2
    assert "01_flow_matching.ipynb has no place" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--repository", "ada", "--tag", "v1"], "repository is 'ada': give owner/name as on GitHub."),
        (["--repository", "ada/humo;ls", "--tag", "v1"], "give owner/name as on GitHub."),
        (["--repository", "ada/humo", "--tag", "v1 -x"], "tag is 'v1 -x': give a tag or a branch, for example v1."),
        (["--repository", "ada/humo", "--tag", "--upload-pack"], "give a tag or a branch"),
        (["--repository", "ada/humo"], "Give --repository and --tag together, or --off, or nothing."),
        (["--off", "--repository", "ada/humo", "--tag", "v1"], "or --off, or nothing."),
    ],
)
def test_wrong_calls_of_badges_are_one_sentence(project: Path, capsys: pytest.CaptureFixture, arguments, sentence):
    before = json.loads((project / SETTING).read_text())
    assert run(project, *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert json.loads((project / SETTING).read_text()) == before
