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
    path = folder / _FILE
    if not path.is_file():
        path.write_text(maker + "\n")
    elif (before := path.read_text().strip()) != maker:
        raise ValueError(f"{folder} holds {what} of other weights or settings ({before}): remove it to begin anew.")
