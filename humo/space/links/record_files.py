"""One record on the disk: a folder that is read with distrust and written whole.

Names are matched, symbolic links refused, sizes and hashes compared. A record is written under ".tmp-<id>", brought to
the disk and renamed, so what is under an id is whole, whenever a process was killed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from humo.space.links.records import FileEntry, Record, check_id, check_name

MAX_RECORD = 1 << 18
"""Bytes of a record.json."""
PART = ".tmp-"
"""Begins the names of folders that are being written or removed."""
GONE = "There is no video behind this link: it was deleted, has expired, or the link is not whole."
DAMAGED = "The video behind this link is damaged and cannot be shown: make it again."
UNWRITABLE = "Links cannot be stored or changed now, for this server's disk cannot be written: try again later."


def holds_record(folder: Path, id: str) -> bool:
    """Whether there is something under an id, whole or not.

    Raises:
        ValueError: if it is no id.
    """
    return os.path.lexists(folder / check_id(id))


def read_record(folder: Path, id: str) -> Record:
    """Read a record.json alone, whatever has become of the other files.

    Args:
        folder: of all records.
        id: of the record.

    Raises:
        ValueError: in one sentence, if it is not there, damaged, another's or of a newer version.
    """
    path = checked_path(folder, id, "record.json")
    with _one_sentence(folder, id):
        if path.stat().st_size > MAX_RECORD:
            raise ValueError(DAMAGED)
        text = path.read_bytes().decode("utf-8", "replace")
    record = Record.from_json(text)
    if record.id != id:
        raise ValueError(DAMAGED)
    return record


def checked_path(folder: Path, id: str, name: str, size: int | None = None) -> Path:
    """The path of a regular file of a record, in which no part is a symbolic link.

    Args:
        folder: of all records.
        id: of the record.
        name: "record.json", or one that `check_name` lets pass.
        size: that it must have, bytes.

    Raises:
        ValueError: in one sentence, if it is not there or not as it must be.
    """
    if name != "record.json":
        check_name(name)
    *parents, last = check_id(id), *name.split("/")
    path = folder
    with _one_sentence(folder, id):
        for parent in parents:
            path = path / parent
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise ValueError(DAMAGED)
        found = os.lstat(path / last)
        if not stat.S_ISREG(found.st_mode) or size not in (None, found.st_size):
            raise ValueError(DAMAGED)
    return path / last


def check_content(path: Path, folder: Path, id: str, entry: FileEntry) -> None:
    """See that a file of a record is what was stored.

    Raises:
        ValueError: in one sentence, if it is not.
    """
    with _one_sentence(folder, id):
        if FileEntry.of(path) != entry:
            raise ValueError(DAMAGED)


def write_record(folder: Path, record: Record, files: Mapping[str, Path]) -> None:
    """Write a record and copies of its files; the caller is alone in the folder.

    Args:
        folder: of all records.
        record: of an id that is not there.
        files: paths by name, those that the record lists.

    Raises:
        ValueError: if a file is not what the record says, or the disk cannot be written.
    """
    if files.keys() != record.files.keys():
        raise ValueError("the files are not those of the record: give each that it lists and no other.")
    part = folder / f"{PART}{record.id}"
    try:
        part.mkdir(mode=0o700)
        for name, source in files.items():
            _copy(source, part / name, record.files[name])
        (part / "record.json").write_text(record.to_json(), encoding="utf-8")
        _to_disk(part / "record.json")
        _folder_to_disk(part)
        os.replace(part, folder / record.id)
        _folder_to_disk(folder)
    except OSError:
        raise ValueError(UNWRITABLE) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_record(folder: Path, id: str) -> None:
    """Remove a record so that readers see all of it or nothing; the caller is alone in the folder.

    Raises:
        ValueError: if the disk cannot be written.
    """
    part = folder / f"{PART}{check_id(id)}"
    try:
        os.replace(folder / id, part)
    except OSError:
        raise ValueError(UNWRITABLE) from None
    shutil.rmtree(part, ignore_errors=True)


def clear_parts(folder: Path) -> None:
    """Remove what killed processes left; the caller is alone in the folder."""
    for part in folder.glob(f"{PART}*"):
        shutil.rmtree(part, ignore_errors=True)


def _copy(source: Path, target: Path, entry: FileEntry) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(source, target)
    if FileEntry.of(target) != entry:
        raise ValueError("The video changed while its link was being stored: press Share again.")
    _to_disk(target)


def _to_disk(path: Path) -> None:
    """Not even a power cut leaves a file that is renamed but empty."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _folder_to_disk(path: Path) -> None:
    with suppress(OSError):  # some mounted file systems cannot; the rename is whole without it
        _to_disk(path)


@contextmanager
def _one_sentence(folder: Path, id: str) -> Iterator[None]:
    """Whatever the disk says about a record becomes a sentence; one that is removed meanwhile is gone, not damaged."""
    try:
        yield
    except OSError:
        raise ValueError(DAMAGED if os.path.lexists(folder / id) else GONE) from None
