"""Importing large libraries without walking, again and again, over all that they have brought.

Python's garbage collector looks through every living object whenever their number has grown by a quarter. While
hundreds of thousands of functions and classes are imported, that takes a fifth of the time and finds next to nothing;
what it does find is young. So only young objects are looked through for as long as something is imported. Ours.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG, _NEVER = 30_000, 1_000_000
"""New objects before the young ones are looked through; rounds before all are."""
_lock = threading.Lock()
_usual: list[tuple[int, int, int]] = []
"""The thresholds from before, once for each thread that imports now."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Within the block the collector leaves old objects alone; several threads may be in one at once."""
    with _lock:
        _usual.append(_usual[0] if _usual else gc.get_threshold())
        if _usual[0][0]:  # 0 is never
            gc.set_threshold(_YOUNG, _usual[0][1], _NEVER)
    try:
        yield
    finally:
        with _lock:
            usual = _usual.pop()
            if not _usual:
                gc.set_threshold(*usual)
