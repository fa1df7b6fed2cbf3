"""Turns on a device: what is live goes first, and nobody is there with another.

Run: python -m pytest tests/space/test_turns.py
"""

from __future__ import annotations

import threading

from humo.space.turns import Turns


def test_who_is_live_goes_before_who_has_waited_longer() -> None:
    turns, order = Turns(), []
    threads = []

    def take(name: str, is_first: bool) -> None:
        with turns.first() if is_first else turns.patient():
            order.append(name)

    with turns.patient():
        for name, is_first in (("job", False), ("other job", False), ("live", True)):
            threads.append(threading.Thread(target=take, args=(name, is_first)))
            threads[-1].start()
        while turns._first == 0:  # the last one has come
            threads[-1].join(0.01)
        assert order == []
    for thread in threads:
        thread.join(300)
    assert order[0] == "live" and sorted(order[1:]) == ["job", "other job"]


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    for turn in (turns.first, turns.patient, turns.first):
        try:
            with turn():
                raise ValueError
        except ValueError:
            continue
    with turns.patient():
        assert turns._is_taken
    assert not turns._is_taken
