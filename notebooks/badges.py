"""`python -m notebooks.badges`: where the project is published, written into all lessons, their README and pyproject.

The setting is one file, `published.json`: repository and tag, or null where there is no address yet. From it follow the
link and the cell that fetches the project on Colab, in every lesson, the column *Colab* of the README, and the
addresses in pyproject.toml. The cell with the tag `setup` makes no output, so stored outputs stay valid. Addresses of
Colab as in its own guide to GitHub (`colab-github-demo.ipynb` of googlecolab/colabtools). Ours.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import nbformat
import typer

from humo.system.command_line import as_app, run

ROOT = Path(__file__).parents[1]
SETTING = "notebooks/published.json"
COLAB = "https://colab.research.google.com/github/{repository}/blob/{tag}/notebooks/{name}.ipynb"
OWN_COPY = "[On Colab from your own copy](README.md#on-colab)"
"""What stands in a lesson in the link's place while there is no address."""
UNPACK = "    !python -m zipfile -e humo-compact.zip humo-compact"
"""The line of the setup cell that brings the project, while there is no address."""
_LINK = re.compile(r"\[(?:Open in|On) Colab[^]]*\]\([^)]*\)")
_FETCH = re.compile(r"^    !(?:git clone|python -m zipfile) .*$", re.MULTILINE)
_CELL = re.compile(r"\[open \d\d\]\([^)]*\)|Colab")
_URLS = re.compile(r'(?<=^\[project\.urls\]\n)(?:(?:Source|Changelog) = ".*"\n)*', re.MULTILINE)
_COLUMN = 4
"""Of the README's table, before "explains"."""
_REPOSITORY, _TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+"), re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


@dataclass(frozen=True, slots=True)
class Published:
    """Where the project can be fetched.

    Attributes:
        repository: on GitHub, "owner/name", public.
        tag: of the version that the lessons belong to, or a branch.

    Raises:
        ValueError: if one of them is none.
    """

    repository: str
    tag: str

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"repository is {self.repository!r}: give owner/name as on GitHub.")
        if not _TAG.fullmatch(self.tag):
            raise ValueError(f"tag is {self.tag!r}: give a tag or a branch, for example v1.")


def read_setting(root: Path = ROOT) -> Published | None:
    """The setting; None while there is no address.

    Raises:
        ValueError: if the file holds something else.
    """
    setting = json.loads((root / SETTING).read_text(encoding="utf-8"))
    return None if setting is None else Published(**setting)


# 1. What is written


def colab_link(name: str, published: Published | None) -> str:
    """The link in the first cell of a lesson, by its name without the ending."""
    return OWN_COPY if published is None else f"[Open in Colab]({COLAB.format(name=name, **asdict(published))})"


def fetch_line(published: Published | None) -> str:
    """The line of the setup cell that brings the project, into the folder humo-compact."""
    if published is None:
        return UNPACK
    return f"    !git clone -qb {published.tag} https://github.com/{published.repository} humo-compact"


def lesson_with(path: Path, published: Published | None) -> str:
    """A lesson's whole file with its link and its setup cell as they should be.

    Raises:
        ValueError: if the lesson has no place for them.
    """
    notebook = nbformat.read(path, as_version=4)
    first, setup = notebook.cells[:2]
    link, fetch = colab_link(path.stem, published), fetch_line(published)
    for cell, pattern, text in ((first, _LINK, link), (setup, _FETCH, fetch)):
        cell.source, found = pattern.subn(lambda _, text=text: text, cell.source, count=1)
        if not found:
            raise ValueError(f"{path.name} has no place for {text.strip()!r}: copy two cells from another lesson.")
    return nbformat.writes(notebook) + "\n"


def readme_with(text: str, published: Published | None) -> str:
    """The README with or without the table's column of links."""
    lines = text.splitlines(keepends=True)
    head = next((number for number, line in enumerate(lines) if line.startswith("| lesson |")), len(lines))
    for number in range(head, len(lines)):
        if not lines[number].startswith("|"):
            break
        cells = [cell.strip() for cell in lines[number].strip().strip("|").split("|")]
        if number == head + 1:
            width = lines[head].count("|") - 1
            lines[number] = "|" + "---|" * width + "\n"
            continue
        cells = [cell for cell in cells if not _CELL.fullmatch(cell)]
        if published is not None:
            cells.insert(_COLUMN, "Colab" if number == head else _open(cells[0], published))
        lines[number] = f"| {' | '.join(cells)} |\n"
    return "".join(lines)


def _open(lesson: str, published: Published) -> str:
    name = lesson.partition("](")[2].removesuffix(".ipynb)")
    return f"[open {name[:2]}]({COLAB.format(name=name, **asdict(published))})"


def pyproject_with(text: str, published: Published | None) -> str:
    """pyproject.toml with or without the addresses of source and changes."""
    lines = ""
    if published is not None:
        source = f"https://github.com/{published.repository}"
        lines = f'Source = "{source}"\nChangelog = "{source}/blob/{published.tag}/CHANGELOG.md"\n'
    return _URLS.sub(lambda _: lines, text)


def files_with(published: Published | None, root: Path = ROOT) -> dict[Path, str]:
    """Every file that says where the project is, as it should be."""
    lessons = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    readme, pyproject = root / "notebooks/README.md", root / "pyproject.toml"
    setting = None if published is None else asdict(published)
    return {
        root / SETTING: json.dumps(setting) + "\n",
        **{path: lesson_with(path, published) for path in lessons},
        readme: readme_with(readme.read_text(encoding="utf-8"), published),
        pyproject: pyproject_with(pyproject.read_text(encoding="utf-8"), published),
    }


# 2. Command


def badges_command(
    repository: Annotated[str | None, typer.Option(help="owner/name on GitHub, public.")] = None,
    tag: Annotated[str | None, typer.Option(help="Of the published version, or a branch.")] = None,
    off: Annotated[bool, typer.Option("--off", help="There is no address: take all links out.")] = False,
    root: Annotated[Path, typer.Option(help="Folder of the project.")] = ROOT,
) -> None:
    """Write where the project is published into lessons, README and pyproject; by default as published.json says."""
    if (off and repository is not None) or (repository is None) != (tag is None):
        raise ValueError("Give --repository and --tag together, or --off, or nothing.")
    given = None if repository is None or tag is None else Published(repository, tag)
    published = given if off or given else read_setting(root)
    changed = [path for path, text in files_with(published, root).items() if _write(path, text)]
    where = "no address" if published is None else f"{published.repository} at {published.tag}"
    typer.echo(f"{where}; {', '.join(path.name for path in changed) or 'nothing'} changed")


def _write(path: Path, text: str) -> bool:
    """Whether it had to be written."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        Exit code: 0, 2 for a wrong call.
    """
    return run(as_app(badges_command), arguments, "python -m notebooks.badges")


if __name__ == "__main__":
    sys.exit(main())
