"""Which runs are compiled. Run: python -m pytest tests/training/test_compiling.py"""

from __future__ import annotations

import sys

import pytest

from humo.system.compiler import find_compiler
from humo.training.compiling import should_compile
from humo.training.transformer.rounds import LoopSettings, Round


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)  # some program that is there


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("wanted", "device", "is_long", "expected"),
    [
        (None, "cpu", True, True),
        (None, "cpu", False, False),
        (None, "cuda", True, False),
        (True, "cuda", False, True),
        (True, "cpu", False, True),
        (False, "cpu", True, False),
    ],
)
def test_long_runs_on_a_cpu_are_compiled(wanted: bool | None, device: str, is_long: bool, expected: bool) -> None:
    assert should_compile(wanted, device, is_long) is expected


def test_a_missing_compiler_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert find_compiler() is None
    assert not should_compile(None, "cpu", is_long=False) and capsys.readouterr().err == ""
    assert not should_compile(None, "cpu", is_long=True)
    told = capsys.readouterr().err
    assert "install g++ or name yours in CXX" in told and told.count("\n") == 1


def test_what_is_left_of_a_round_says_whether_it_is_long() -> None:
    state = {"step": 5500, "round": {"first": 0, "further": False, "spent": 1000.0, "is_over": False}}
    assert Round.of(None, LoopSettings(steps=6000)).is_long
    assert not Round.of(state, LoopSettings(steps=6000)).is_long
    assert Round.of(state, LoopSettings(minutes=60)).is_long
    assert not Round.of(state, LoopSettings(minutes=40)).is_long
