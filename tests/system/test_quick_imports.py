"""The garbage collector leaves old objects alone while something is imported, and no longer.

Run: python -m pytest tests/system/test_quick_imports.py
"""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from humo.system.imports import quick_imports


class Node:
    """Holds itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def full_collections() -> int:
    return gc.get_stats()[2]["collections"]


def test_only_young_objects_are_looked_through() -> None:
    with quick_imports():
        before = full_collections()
        kept = [[number] for number in range(400_000)]
        assert full_collections() == before
        node = weakref.ref(Node())
        kept += [[number] for number in range(400_000)]
        assert node() is None  # what is young and useless goes all the same


def test_the_thresholds_come_back_after_an_error_and_after_the_last_thread() -> None:
    usual = gc.get_threshold()
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.get_threshold() == usual
    is_inside, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with quick_imports():
            is_inside.set()
            may_end.wait()

    with quick_imports():
        thread = threading.Thread(target=other)
        thread.start()
        is_inside.wait()
        others = gc.get_threshold()
    assert gc.get_threshold() == others != usual
    may_end.set()
    thread.join()
    assert gc.get_threshold() == usual


def test_a_collector_that_is_off_stays_off() -> None:
    usual = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with quick_imports():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)
