"""Tasks and results that travel to another machine with the files whose paths stand in them. Ours.

Payloads go between the page and its own workers alone, over Ray, which pickles all that it carries.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humo.space.temporary import made_again
from humo.system.files import atomic_write


@dataclass(frozen=True, slots=True)
class Payload:
    """Something pickled, with files.

    Attributes:
        content: the pickle, in which each path stands as the number of its file.
        paths: of the files, as the page knows them.
        files: what is in them; None for one that is not there yet.
    """

    content: bytes
    paths: tuple[str, ...]
    files: tuple[bytes | None, ...]


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.paths: list[Path] = []

    def persistent_id(self, thing: Any) -> int | None:
        if not isinstance(thing, Path):
            return None
        if thing not in self.paths:
            self.paths.append(thing)
        return self.paths.index(thing)


class _Unpacker(pickle.Unpickler):
    def __init__(self, content: bytes, places: list[Path]) -> None:
        super().__init__(io.BytesIO(content))
        self._places = places

    def persistent_load(self, number: int) -> Path:
        return self._places[number]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a task on a worker.

    Attributes:
        known_as: what the page calls each of them.
        given: those that came from the page.
    """

    known_as: Mapping[Path, str]
    given: frozenset[Path]


def pack(thing: Any, files: Files | None = None) -> Payload:
    """Pack a task on the page, or on a worker what it tells.

    Args:
        thing: to pack.
        files: of the task, on a worker; what came from the page does not go back.
    """
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(thing)
    files = files or Files({}, frozenset())
    names = tuple(files.known_as.get(path, str(path)) for path in packer.paths)
    contents = tuple(None if path in files.given else _read(path) for path in packer.paths)
    return Payload(file.getvalue(), names, contents)


def unpack_here(payload: Payload, folder: Path) -> tuple[Any, Files]:
    """Unpack a task on a worker.

    Args:
        payload: of the page.
        folder: existing and empty; its files go there.

    Returns:
        The task, and what `pack` has to know for the way back.
    """
    known_as, given = {}, set()
    for number, (name, data) in enumerate(zip(payload.paths, payload.files, strict=True)):
        place = folder / str(number) / Path(name).name
        place.parent.mkdir()
        known_as[place] = name
        if data is not None:
            place.write_bytes(data)
            given.add(place)
    return _Unpacker(payload.content, list(known_as)).load(), Files(known_as, frozenset(given))


def unpack_back(payload: Payload, sent: Payload) -> Any:
    """Unpack on the page what a worker told, and write the files that it made.

    Args:
        payload: of the worker.
        sent: what the worker was sent; no file but those named in it is written.

    Raises:
        ValueError: if the worker names another file.
    """
    places = []
    for name, data in zip(payload.paths, payload.files, strict=True):
        if name not in sent.paths:
            raise ValueError("the worker told of a file that it was not asked for: please try again.")
        places.append(Path(name))
        if data is not None and sent.files[sent.paths.index(name)] is None:
            with atomic_write(made_again(places[-1])) as part:
                part.write_bytes(data)
    return _Unpacker(payload.content, places).load()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
