"""Number formats by name.

Run: python -m pytest tests/system/test_dtypes.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from humo.__main__ import main
from humo.system.dtypes import DTYPES, dtype_name, dtypes_of, read_dtype


def test_a_name_is_read_as_it_is_told() -> None:
    assert read_dtype(None) is None and read_dtype("bfloat16") is torch.bfloat16
    assert [dtype_name(dtype) for dtype in DTYPES.values()] == list(DTYPES)


def test_every_part_of_a_pipeline_is_told() -> None:
    pipe = tiny.pipeline("mini")
    pipe.transformer.to(torch.bfloat16)
    told = dtypes_of(pipe)
    assert told["transformer"] == "bfloat16" and told["vae"] == told["text_encoder"] == "float32"


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--out", "report", "--dtype", "float8"],
        ["benchmark", "--preset", "1.7B", "--random-weights", "--dtype", "float8"],
    ],
)
def test_another_name_is_one_sentence(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert capsys.readouterr().err == "Error: dtype must be float32 or bfloat16 but is 'float8'.\n"
    assert list(tmp_path.iterdir()) == []
