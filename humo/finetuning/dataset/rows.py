"""HuMoSet's layout: a table of captions, and the files that belong to each row.

    video/KEY.mp4                 the target video, its sound inside
    reference_image/KEY.jpg       the same person elsewhere; or KEY_0.jpg, KEY_1.jpg ..., or a folder KEY/
    video_caption.parquet         one row a video: key and dense caption; or a folder of such files
    audio/KEY.wav                 ours, optional: sound that lies beside the video
    face_mask/KEY.mp4             ours, optional: the face in white on black (`humo.finetuning.dataset.clips.faces`)

The columns' names are not documented by the publisher, so the usual ones are looked for and others can be named.
The table is streamed: a million captions are never in memory at once.

Source: the data set's description in HuMo's repository (`video/`, `reference_image/`, `video_caption.parquet`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from humo.finetuning.dataset.dropping import Drop
from humo.system.imports import require

TABLE = "video_caption.parquet"
VIDEO, REFERENCE, SOUND, MASK = "video", "reference_image", "audio", "face_mask"
KEY_COLUMNS = (
    "video",
    "video_path",
    "video_name",
    "video_id",
    "file_name",
    "filename",
    "sample_id",
    "id",
    "key",
    "name",
)
CAPTION_COLUMNS = ("caption", "video_caption", "dense_caption", "description", "prompt", "text")
VIDEO_ENDINGS = (".mp4", ".mov", ".webm", ".mkv", ".m4v")
PICTURE_ENDINGS = (".jpg", ".png", ".jpeg", ".webp")
SOUND_ENDINGS = (".wav", ".flac", ".mp3", ".m4a", ".ogg")
ENDINGS = {VIDEO: VIDEO_ENDINGS, REFERENCE: PICTURE_ENDINGS, SOUND: SOUND_ENDINGS, MASK: VIDEO_ENDINGS}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; its files are looked for by `find_files`."""

    number: int
    """Place in the table, from 0."""
    key: str | None
    """Path of the video under `video/`, with or without its ending."""
    caption: str | None


@dataclass(frozen=True, slots=True)
class Files:
    """What belongs to a row."""

    key: str
    """Path under `video/` without the ending: the clip's name."""
    video: Path
    references: tuple[Path, ...]
    """One or more, in the order of their names."""
    sound: Path | None
    """Beside the video; None if it is inside."""
    mask: Path | None
    """Video of the face; None if there is none."""


class RowTable:
    """The table of a data set, streamed.

    Args:
        folder: in HuMoSet's layout.
        key_column: name of the column with the videos; None to look for a usual one.
        caption_column: name of the column with the captions; None to look for a usual one.

    Raises:
        ValueError: if the table is missing or damaged, or has no such columns.
    """

    def __init__(self, folder: Path, key_column: str | None = None, caption_column: str | None = None) -> None:
        self.folder = folder
        self.files = _table_files(folder)
        names = _open(self.files[0]).schema_arrow.names
        self.key_column = _choose(key_column, KEY_COLUMNS, names, "key_column")
        self.caption_column = _choose(caption_column, CAPTION_COLUMNS, names, "caption_column")

    def __len__(self) -> int:
        """Rows, from the files' footers."""
        return sum(_open(file).metadata.num_rows for file in self.files)

    def __iter__(self) -> Iterator[Row]:
        """All rows in order; some thousand are in memory."""
        number = 0
        for file in self.files:
            columns = [self.key_column, self.caption_column]
            for batch in _open(file).iter_batches(batch_size=1024, columns=columns):
                values = batch.to_pydict()
                for key, caption in zip(values[columns[0]], values[columns[1]], strict=True):
                    yield Row(number, _text(key), _text(caption))
                    number += 1

    def units(self, size: int) -> Iterator[tuple[int, list[Row]]]:
        """Successive groups of `size` rows with their numbers; the last may be smaller."""
        unit: list[Row] = []
        index = 0
        for row in self:
            unit.append(row)
            if len(unit) == size:
                yield index, unit
                index, unit = index + 1, []
        if unit:
            yield index, unit


def find_files(folder: Path, row: Row, max_references: int, with_mask: bool) -> Files:
    """Find what belongs to a row.

    Args:
        folder: of the data set.
        row: of its table.
        max_references: pictures that are taken, at most.
        with_mask: whether the face's mask must lie beside the others.

    Returns:
        The files, which exist and are not empty.

    Raises:
        Drop: if one is missing or empty, or the row says nothing or names a place outside.
    """
    if not row.key:
        raise Drop("no key")
    if not row.caption or not row.caption.strip():
        raise Drop("no caption")
    path = PurePosixPath(row.key.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in row.key:
        raise Drop("unsafe path", row.key[:80])
    if len(path.parts) > 1 and path.parts[0] == VIDEO:
        path = path.relative_to(VIDEO)
    key = str(path.with_suffix("")) if path.suffix.lower() in VIDEO_ENDINGS else str(path)
    video = _first(folder / VIDEO, key)
    if video is None:
        raise Drop("video missing", key)
    references = _references(folder / REFERENCE, key)[:max_references]
    if not references:
        raise Drop("reference missing", key)
    mask = _first(folder / MASK, key) if with_mask else None
    if with_mask and mask is None:
        raise Drop("mask missing", key)
    sound = _first(folder / SOUND, key)
    for file in (video, *references, *filter(None, (sound, mask))):
        if file.stat().st_size == 0:
            raise Drop("empty file", f"{file.parent.name}/{file.name}")
    return Files(key, video, references, sound, mask)


def _first(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}{ending}" for ending in ENDINGS[folder.name])
    return next((file for file in candidates if file.is_file()), None)


def _references(folder: Path, key: str) -> tuple[Path, ...]:
    """KEY.*, else KEY_0.*, KEY_1.* ..., else the pictures of the folder KEY.

    A listing of the whole folder would be read for every row; a million files make that impossible.
    """
    if single := _first(folder, key):
        return (single,)
    numbered: list[Path] = []
    while found := _first(folder, f"{key}_{len(numbered)}"):
        numbered.append(found)
    if numbered or not (folder / key).is_dir():
        return tuple(numbered)
    return tuple(sorted(file for file in (folder / key).iterdir() if file.suffix.lower() in PICTURE_ENDINGS))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _choose(given: str | None, usual: tuple[str, ...], names: list[str], setting: str) -> str:
    found = given if given in names else None
    if given is None:
        found = next((name for name in usual if name in names), None)
    if found is None:
        raise ValueError(f"{TABLE} has the columns {', '.join(names)}: name one of them as {setting}.")
    return found


def _table_files(folder: Path) -> list[Path]:
    table = folder / TABLE
    files = sorted(table.glob("*.parquet")) if table.is_dir() else [table] * table.is_file()
    if not files:
        raise ValueError(f"{folder.name} has no {TABLE}: give a folder in HuMoSet's layout.")
    if not (folder / VIDEO).is_dir():
        raise ValueError(f"{folder.name} has no folder {VIDEO}: give a folder in HuMoSet's layout.")
    return files


def _open(file: Path) -> Any:
    require("a table of clips", "pyarrow")
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (ArrowInvalid, OSError):
        raise ValueError(f"{file.name} is damaged or no parquet table: fetch it again.") from None
