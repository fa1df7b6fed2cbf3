"""What is uploaded to a Space: the files that the Spacefile's patterns name, checked, and no others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from humo.space.deploy.spacefile import NAME, ROOT, Spacefile, with_front_matter
from humo.system.digests import digest_file

MAX_FILE_BYTES = 16 * 2**20
"""Of one file: the project's own limit, which keeps it easy to clone."""
REFRESH = "run `python -m humo deploy --refresh`"
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def collect_files(spacefile: Spacefile, root: Path = ROOT) -> dict[str, Path]:
    """Find the files to upload.

    Args:
        spacefile: says which.
        root: folder that its patterns start from.

    Returns:
        Path in the Space, with slashes: the file here; sorted.

    Raises:
        ValueError: in one sentence, if a pattern matches no file, a file or all together are too large, one lies
            outside the folder, or something that the Space needs is not among them.
    """
    found: dict[str, Path] = {}
    for index, pattern in enumerate(spacefile.files.include):
        matched = dict(_matches(root, pattern))
        if not matched:
            raise ValueError(f"The {NAME}'s files.include[{index}], {pattern!r}, matches no file: mend or drop it.")
        found |= matched
    excluded = [re.compile(_expression(pattern)) for pattern in spacefile.files.exclude]
    kept = {name: found[name] for name in sorted(found) if not any(each.fullmatch(name) for each in excluded)}
    _check_needed(spacefile, kept)
    _check_sizes(spacefile, kept)
    return kept


def check_tree(spacefile: Spacefile, root: Path = ROOT) -> None:
    """See that the weights and the README are those that the Spacefile tells of.

    Raises:
        ValueError: in one sentence, naming the file.
    """
    stored, hashes = spacefile.model.files, hash_weights(spacefile, root)
    for name in sorted({*stored, *hashes}):
        field = f"the {NAME}'s model.files.{name}"
        if name not in hashes:
            raise ValueError(f"{spacefile.model.path} lacks {name}, {field}: fetch it again, or {REFRESH}.")
        if name not in stored:
            raise ValueError(
                f"{spacefile.model.path} has {name} but there is no {field.removeprefix('the ')}: {REFRESH}."
            )
        if stored[name] != hashes[name]:
            raise ValueError(f"{spacefile.model.path}/{name} has another SHA-256 than {field} says: {REFRESH}.")
    readme = (root / "README.md").read_text(encoding="utf-8")
    if with_front_matter(readme, spacefile) != readme:
        raise ValueError(f"README.md does not begin with what the {NAME} says: {REFRESH}.")


def hash_weights(spacefile: Spacefile, root: Path = ROOT) -> dict[str, str]:
    """SHA-256 of every weights file of the model, by its path below the model's folder."""
    folder = root / spacefile.model.path
    files = sorted(folder.rglob("*.safetensors"))
    return {file.relative_to(folder).as_posix(): digest_file(file) for file in files}


def with_hashes(text: str, hashes: Mapping[str, str]) -> str:
    """The text of a Spacefile with other `model.files`; all else stays, comments too.

    Raises:
        ValueError: if it has no such field.
    """
    block = "  files:\n" + "".join(f"    {name}: {digest}\n" for name, digest in hashes.items())
    new, count = re.subn(r"^  files:.*\n(?:    \S.*\n)*", block, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"The {NAME} lacks the field model.files: add it.")
    return new


def _matches(root: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    """Name and path of the files that match; those that are hidden or lie in a hidden folder never do."""
    expression = re.compile(_expression(pattern))
    start = root / re.split(r"[*?]", pattern)[0].rpartition("/")[0]
    for folder, folders, files in os.walk(start):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for file in files:
            path = Path(folder, file)
            name = path.relative_to(root).as_posix()
            if not file.startswith(".") and expression.fullmatch(name):
                if not path.resolve().is_relative_to(root.resolve()):
                    raise ValueError(f"{name} is a link out of {root.name}: put the file itself there, or exclude it.")
                yield name, path


def _expression(pattern: str) -> str:
    """A pattern as a regular expression."""
    return re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda part: _WILD.get(part[0]) or re.escape(part[0]), pattern)


def _check_needed(spacefile: Spacefile, files: Mapping[str, Path]) -> None:
    model = spacefile.model
    needed = {
        "space.app_file": [spacefile.space.app_file],
        "space.sdk_version": ["requirements.txt"],
        "space.title": ["README.md"],
        "model.files": [f"{model.path}/{name}" for name in model.files],
    }
    for field, names in needed.items():
        for name in names:
            if name not in files:
                raise ValueError(f"The {NAME}'s {field} needs {name}, which files does not include: add it there.")


def _check_sizes(spacefile: Spacefile, files: Mapping[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    for name, size in sizes.items():
        if size > MAX_FILE_BYTES:
            raise ValueError(
                f"{name}, which the {NAME}'s files.include names, has {size:,} bytes but a file may have "
                f"{MAX_FILE_BYTES:,}: cut it into parts, or exclude it."
            )
    if (total := sum(sizes.values())) > spacefile.files.max_bytes:
        raise ValueError(
            f"The files have {total:,} bytes but the {NAME}'s files.max_bytes is {spacefile.files.max_bytes:,}: "
            "exclude some, or raise it."
        )
