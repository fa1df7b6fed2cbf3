"""Photographs of visitors, which go with the visit: the model needs only what was drawn of them. Ours."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import gradio as gr


class Photographs:
    """Which uploads each visit brought; threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Set up with no visit.

        Args:
            folder: of the uploads; files elsewhere are left alone.
        """
        self._folder = folder.resolve()
        self._visits: dict[str | None, set[Path]] = {}
        self._lock = threading.Lock()

    def add(self, visit: str | None, path: str | Path) -> None:
        """Take note of an upload.

        Args:
            visit: session of the visitor.
            path: of the file.
        """
        path = Path(path).resolve()
        if visit is not None and path.is_relative_to(self._folder):
            with self._lock:
                self._visits.setdefault(visit, set()).add(path)

    def forget(self, visitor: gr.Request) -> None:
        """The event of a closed or reloaded page: its photographs are deleted, unless somebody else has the same."""
        with self._lock:
            own = self._visits.pop(visitor.session_hash, set())
            gone = own.difference(*self._visits.values())
        for path in gone:
            with suppress(OSError):  # it went before
                path.unlink()
