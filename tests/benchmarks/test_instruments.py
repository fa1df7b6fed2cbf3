"""The instruments count what they say: module times, operations, rates, memory.

Run: python -m pytest tests/benchmarks/test_instruments.py
"""

from __future__ import annotations

from itertools import count

import pytest
import torch
from live_tensors import peak_tensor_bytes
from torch import nn
from torch.nn import functional

from humo.benchmarks import instruments

CPU = torch.device("cpu")


def test_matrix_product_is_counted():
    left, right = torch.zeros(3, 5), torch.zeros(5, 7)
    assert instruments.count_flops(lambda: left @ right) == 2 * 3 * 5 * 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_counted(dtype: torch.dtype):
    query = torch.zeros(1, 2, 16, 8, dtype=dtype)
    flops = instruments.count_flops(lambda: functional.scaled_dot_product_attention(query, query, query))
    assert flops == 2 * (2 * 2 * 16 * 16 * 8)


def test_stopwatch_notes_every_call_and_lets_go():
    layer = nn.Linear(4, 2)
    watch = instruments.Stopwatch(CPU)
    with watch.watch({"layer": (layer, "forward"), "never": (nn.Identity(), "forward")}):
        for batch in (1, 3):
            layer(torch.zeros(batch, 4))
    layer(torch.zeros(5, 4))
    assert len(watch.calls["layer"]) == 2 and all(seconds > 0 for seconds in watch.calls["layer"])
    assert [len(arguments["input"]) for arguments in watch.inputs["layer"]] == [1, 3]
    assert watch.calls["never"] == []


def test_stopwatch_lets_go_after_an_error():
    layer = nn.Linear(4, 2)
    watch = instruments.Stopwatch(CPU)
    with pytest.raises(RuntimeError), watch.watch({"layer": (layer, "forward")}):
        layer(torch.zeros(1, 3))
    assert "forward" not in vars(layer) and watch.calls["layer"] == []


def test_matrix_rate_is_plausible():
    rate = instruments.matmul_rate(64, 64, 64, torch.float32, CPU)
    assert 1e6 < rate < 1e15


def test_a_product_that_takes_longer_than_the_time_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0.0, 2.0)
    monkeypatch.setattr(instruments.time, "perf_counter", lambda: next(clock))
    assert instruments.matmul_rate(4, 4, 4, torch.float32, CPU) == 2 * 4**3 / 2.0


def test_peak_memory_covers_what_python_holds_now():
    peak = instruments.peak_memory()
    assert peak is None or 50 < peak < 100_000


def test_tensors_alive_at_once_are_counted():
    weight = torch.zeros(100, 100)

    def work() -> torch.Tensor:
        first = weight.t() + 1  # 40,000 bytes; the view of what was there before is none
        second = first * 2  # both: 80,000
        del first
        return second[:10] + 1  # 44,000

    assert peak_tensor_bytes(work) == 80_000
    with torch.device("meta"):
        assert peak_tensor_bytes(lambda: torch.empty(10**6, 10**6)) == 4 * 10**12
