"""Folders that hold what one maker made, so that a later run never goes on with another one's. Ours."""

from __future__ import annotations

from pathlib import Path

_FILE = "made_from.txt"


def claim(folder: Path, maker: str, what: str) -> None:
    """Writes down from what a folder's files are made, or checks it; the folder is made.

    Args:
        folder: of the files.
        maker: what they follow from, such as a model's fingerprint; one line.
        what: the files in words, for the sentence.

    Raises:
        ValueError: if the folder holds what follows from something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = maker_of(folder)
    if before not in (None, maker):
        raise ValueError(f"{folder} holds {what} of other weights or settings ({before}): remove it to begin anew.")
    if before is None:
        (folder / _FILE).write_text(maker + "\n")


def maker_of(folder: Path) -> str | None:
    """From what a folder's files are made; None if nobody said."""
    path = folder / _FILE
    return path.read_text().strip() if path.is_file() else None
