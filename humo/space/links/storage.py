"""Where records live: a folder each, whole or not there.

`<folder>/<id>/{record.json, video.mp4, poster.webp, inputs/}`. Whoever writes, deletes or prunes holds the folder's
lock, so several processes may share it; readers hold nothing, for a rename is seen at once. A mounted bucket is the
same folder elsewhere. Records are never listed: whoever has no link finds none.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from humo.assets import EXAMPLES
from humo.space.links.record_files import (
    GONE,
    MAX_RECORD,
    UNWRITABLE,
    check_content,
    checked_path,
    clear_parts,
    holds_record,
    read_record,
    remove_record,
    write_record,
)
from humo.space.links.records import Record, check_name, is_id
from humo.system.files import atomic_write, exclusive_lock

GALLERY = EXAMPLES / "generations"
"""The shipped records (`humo.space.links.gallery`)."""
DAY = 86_400
"""Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How much a folder keeps; what is over goes, the oldest first."""

    max_age_days: float = 90.0
    """Days since a record was made."""
    max_bytes: int = 2 << 30
    """Of all records together."""
    max_records: int = 2_000

    def __post_init__(self) -> None:
        for name in ("max_age_days", "max_bytes", "max_records"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be above 0.")


class Store(Protocol):
    """Keeps records. Every refusal is a `ValueError` of one sentence for the visitor."""

    def has(self, id: str) -> bool:
        """Whether there is something under an id."""

    def read(self, id: str) -> Record:
        """The record of an id."""

    def file(self, id: str, name: str) -> Path:
        """One file of a record, its content checked; to be copied and not to be served from where it is."""

    def write(self, record: Record, files: Mapping[str, Path]) -> None:
        """Keep a record and copies of its files, then prune."""

    def delete(self, id: str, token: str) -> None:
        """Remove a record for whoever has its token."""

    def prune(self) -> int:
        """Remove what is over the limits; how many records."""


class ReadOnlyStore:
    """Records that are part of the app, as the gallery's; the folder may be missing."""

    def __init__(self, folder: Path) -> None:
        """Set up without reading anything.

        Args:
            folder: of the records.
        """
        self.folder = folder

    def has(self, id: str) -> bool:
        """Whether there is something under an id."""
        return holds_record(self.folder, id)

    def read(self, id: str) -> Record:
        """The record of an id; of its files presence and size are checked.

        Raises:
            ValueError: in one sentence, if there is none, or it is damaged, half there or of a newer version.
        """
        record = read_record(self.folder, id)
        for name, entry in record.files.items():
            checked_path(self.folder, id, name, entry.bytes)
        return record

    def file(self, id: str, name: str) -> Path:
        """One file of a record; its hash is checked too.

        Raises:
            ValueError: in one sentence, if the record has no such file or its content is not what was stored.
        """
        check_name(name)
        entry = self.read(id).files.get(name)
        if entry is None:
            raise ValueError(f"This link has no {name}: it was not kept.")
        path = checked_path(self.folder, id, name, entry.bytes)
        check_content(path, self.folder, id, entry)
        return path

    def write(self, record: Record, files: Mapping[str, Path]) -> None:
        """Refuse: the app's own records are made by a command."""
        raise ValueError("The gallery cannot be written: its videos are part of the app.")

    def delete(self, id: str, token: str) -> None:
        """Refuse: the app's own records belong to nobody who visits."""
        raise ValueError("This video is part of the app's gallery and cannot be deleted.")

    def prune(self) -> int:
        """Remove nothing."""
        return 0


class FolderStore(ReadOnlyStore):
    """Records of visitors in a folder, a mounted bucket included."""

    def __init__(self, folder: Path, retention: Retention | None = None) -> None:
        """Make the folder, and remove what killed processes and time left in it.

        Args:
            folder: only for records; made if it is missing, then closed to other users of the computer.
            retention: how much it keeps.

        Raises:
            ValueError: if it cannot be written.
        """
        super().__init__(folder)
        self.retention = retention or Retention()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.prune()
        except (OSError, ValueError):
            raise ValueError(f"links cannot be stored in {folder}: name another folder in HUMO_RECORDS.") from None

    def write(self, record: Record, files: Mapping[str, Path]) -> None:
        """Keep a record and copies of its files, then prune.

        Args:
            record: of a new id.
            files: paths by name, those that the record lists.

        Raises:
            ValueError: if the record alone is over the limits, a file is not what the record says, or the disk
                cannot be written.
        """
        size = sum(entry.bytes for entry in record.files.values()) + MAX_RECORD
        if size > self.retention.max_bytes:
            raise ValueError(f"The video has {size / 1e6:.0f} MB, too many to be kept here: download it instead.")
        with self._alone():
            write_record(self.folder, record, files)
            self._prune()

    def delete(self, id: str, token: str) -> None:
        """Remove a record for whoever has its token, damaged files included.

        Raises:
            ValueError: in one sentence, if there is no such record or the token is another's.
        """
        with self._alone():
            if not read_record(self.folder, id).is_deleted_by(token):
                raise ValueError("This is not the token that deletes this link: copy it whole, as it was given to you.")
            remove_record(self.folder, id)

    def prune(self) -> int:
        """Remove what killed processes left, and records over the limits, the oldest first.

        Returns:
            How many records went.
        """
        with self._alone():
            return self._prune()

    def _prune(self) -> int:
        clear_parts(self.folder)
        oldest = time.time() - self.retention.max_age_days * DAY
        total = removed = 0
        for count, (made, id, size) in enumerate(sorted(self._sizes(), reverse=True), start=1):
            total += size
            if made < oldest or count > self.retention.max_records or total > self.retention.max_bytes:
                remove_record(self.folder, id)
                removed += 1
        return removed

    def _sizes(self) -> Iterator[tuple[float, str, int]]:
        """When each record was made, its id and its bytes; damaged ones too, so that they go in their time."""
        with os.scandir(self.folder) as entries:
            ids = [entry.name for entry in entries if is_id(entry.name) and entry.is_dir(follow_symlinks=False)]
        for id in ids:
            folder = self.folder / id
            files = [path.lstat() for path in folder.rglob("*")]
            made = next((path.lstat().st_mtime for path in (folder / "record.json", folder) if path.exists()), 0.0)
            yield made, id, sum(found.st_size for found in files)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                held.enter_context(
                    exclusive_lock(self.folder / ".lock", "another process works on the stored links: waiting.")
                )
            except ValueError:  # it names the folder, which is nothing for visitors
                raise ValueError(UNWRITABLE) from None
            yield


class Stores:
    """The gallery before a visitors' store, so that every link opens the same way."""

    def __init__(self, gallery: Store, own: Store) -> None:
        """Put them together.

        Args:
            gallery: only read.
            own: read and written.
        """
        self.gallery, self.own = gallery, own

    def has(self, id: str) -> bool:
        """Whether there is something under an id."""
        return self.gallery.has(id) or self.own.has(id)

    def read(self, id: str) -> Record:
        """The record of an id, as `ReadOnlyStore.read`."""
        return self._of(id).read(id)

    def file(self, id: str, name: str) -> Path:
        """One file of a record, as `ReadOnlyStore.file`."""
        return self._of(id).file(id, name)

    def write(self, record: Record, files: Mapping[str, Path]) -> None:
        """Keep a visitor's record, as `FolderStore.write`."""
        self.own.write(record, files)

    def delete(self, id: str, token: str) -> None:
        """Remove a visitor's record, as `FolderStore.delete`; refuses the gallery's."""
        self._of(id).delete(id, token)

    def prune(self) -> int:
        """Remove visitors' records over the limits; how many."""
        return self.own.prune()

    def _of(self, id: str) -> Store:
        return self.gallery if self.gallery.has(id) else self.own


def take(store: Store, id: str, name: str, folder: Path) -> Path:
    """Copy a file of a record to where it may be served from, so that the store itself never is.

    Args:
        store: has the record.
        id: of the record.
        name: of the file.
        folder: for copies; this one lies in `folder/<id>/`.

    Returns:
        The copy.

    Raises:
        ValueError: as `Store.file`, or if the disk cannot be written.
    """
    source, copy = store.file(id, name), folder / id / Path(name).name
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(copy, f"-{time.monotonic_ns()}") as part:
            shutil.copyfile(source, part)
    except OSError:
        raise ValueError(UNWRITABLE if source.exists() else GONE) from None
    return copy
