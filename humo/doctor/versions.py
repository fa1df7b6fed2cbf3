"""Python, the project and the packages that it declares: which are here, and whether they are those it is tested with.

Ours. What is declared stands in requirements.txt and pyproject.toml of a checkout, and in an installed package's own
metadata.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from humo.doctor.finding import Finding, fails, note, ok

ROOT = Path(__file__).parents[2]
"""Of a checkout."""
DISTRIBUTION = "humo-compact"
MAIN = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "gradio")
"""Packages with a line of their own."""
USES = {
    "world": "speech: training, evaluation and most voices to type for",
    "finetune": "prepare and finetune",
    "moviepy": "to_moviepy",
    "serve": "replicas on Ray",
    "gguf": "models in GGUF files",
    "test": "the tests",
}
"""What needs an extra."""
_BASE = ""
"""Name of the group of what everybody needs."""


def python() -> Iterator[Finding]:
    """The interpreter and the project."""
    where = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    yield ok("Python", where)
    yield ok("humo", f"{_version()}, {Path(__file__).parents[1]}")


def packages() -> Iterator[Finding]:
    """What everybody needs: a line for each of the main ones, one for all others, one for each that is amiss."""
    needed = declared()[_BASE]
    right, others = [], 0
    for requirement in needed:
        finding = _of_package(requirement)
        if finding.name in MAIN or finding.remedy:
            right.append(finding)
        else:
            others += 1
    yield from right
    yield ok("packages", f"{others} others of {len(needed)} that are needed, as they are tested")


def extras() -> Iterator[Finding]:
    """What only some commands need."""
    for name, requirements in declared().items():
        if name == _BASE:
            continue
        lacking = [each.name for each in requirements if _installed(each.name) is None]
        use = USES.get(name, "some commands")
        if lacking:
            yield note(f"[{name}]", f"for {use}, lacks {', '.join(lacking)}", f"pip install {' '.join(lacking)}")
        else:
            yield ok(f"[{name}]", f"for {use}, is there")


def declared(root: Path = ROOT) -> dict[str, list[Requirement]]:
    """What is declared, by extra; "" for what everybody needs.

    Args:
        root: of a checkout; where there is none, the installed package tells.

    Returns:
        Requirements that this Python is meant by; an extra that stands for others has theirs left out.
    """
    lines = _of_checkout(root) if (root / "pyproject.toml").is_file() else _of_metadata()
    groups: dict[str, list[Requirement]] = {_BASE: []}
    for extra, line in lines:
        requirement = Requirement(line)
        is_meant = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if is_meant and requirement.name != DISTRIBUTION:
            groups.setdefault(extra, []).append(requirement)
    return groups


def _of_checkout(root: Path) -> Iterator[tuple[str, str]]:
    for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield _BASE, line
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, lines in project.get("optional-dependencies", {}).items():
        yield from ((extra, line) for line in lines)


def _of_metadata() -> Iterator[tuple[str, str]]:
    told = metadata.metadata(DISTRIBUTION)
    extras = [_BASE, *(told.get_all("Provides-Extra") or ())]
    for line in metadata.requires(DISTRIBUTION) or ():
        marker = Requirement(line).marker
        of = [each for each in extras if marker is None or marker.evaluate({"extra": each})]
        yield from ((each, line) for each in of[:1])


def _of_package(requirement: Requirement) -> Finding:
    name, version = requirement.name, _installed(requirement.name)
    if version is None:
        return fails(name, "is not installed", f'pip install "{requirement}"')
    if requirement.specifier.contains(version, prereleases=True):
        return ok(name, version)
    return note(name, f"{version}, tested with {requirement.specifier}", f'pip install "{requirement}"')


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _version() -> str:
    return _installed(DISTRIBUTION) or "not installed, run from its folder"
