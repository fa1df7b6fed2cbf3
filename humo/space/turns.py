"""Whose turn it is on a device that two kinds of work share: what is live goes first, all else between. Ours.

Work that can wait takes its turn for one step at a time. What is live waits for the end of that step and no longer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One holder at a time; a `first` one goes before all `patient` ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._first = 0  # who waits to go first

    @contextmanager
    def first(self) -> Iterator[None]:
        """A turn of work that is live, as soon as the turn that runs is over."""
        with self._changed:
            self._first += 1
            self._changed.wait_for(lambda: not self._is_taken)
            self._first -= 1
            self._is_taken = True
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A turn of other work, once nobody waits to go first."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken and not self._first)
            self._is_taken = True
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()
