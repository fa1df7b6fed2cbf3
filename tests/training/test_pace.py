"""How far a training has come, by its steps or by a clock. Run: pytest tests/training/test_pace.py"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from humo.training.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one entry is what the clock tells, in seconds."""
    now = [1_000.0]
    monkeypatch.setattr("humo.training.pace.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_training_by_minutes_goes_on_with_what_is_left(clock: list[float]) -> None:
    pace = Pace(100, None, minutes=1.0, spent=45.0)
    assert pace.progress(107) == 0.75 and pace.last_step(130) == 140 and not pace.is_over(107)
    clock[0] += 12
    assert pace.seconds == 57 and pace.progress(107) == 0.95 and not pace.is_over(107)
    clock[0] += 3
    assert pace.is_over(107) and Pace(100, None, minutes=1.0, spent=60.0).is_over(101)


def test_a_training_by_steps_knows_no_clock(clock: list[float]) -> None:
    by_steps = Pace(100, 300), Pace(0, 300)
    clock[0] += 1e6
    assert by_steps[0].progress(150) == 0.25 and by_steps[1].is_over(300) and not by_steps[1].is_over(299)
    with pytest.raises(ValueError, match="either the steps"):
        Pace(0, 100, minutes=1.0)
