"""Gradio is imported without writing type stubs, for its components and for ours.

Run: python -m pytest tests/space/test_stubs.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMPONENT = "from gradio.components.base import Component\nclass Own(Component):\n    EVENTS = ['change']\n"


@pytest.mark.parametrize("call", ["", "from humo.space.stubs import write_no_stubs; write_no_stubs(); "])
def test_a_component_gets_no_stub(tmp_path: Path, call: str) -> None:
    (tmp_path / "own.py").write_text(COMPONENT)
    program = f"import sys; sys.path.append({str(tmp_path)!r}); {call}import own; assert callable(own.Own.change)"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "own.pyi").exists() is not bool(call)  # gradio alone writes one: else this is needed no more


def test_whoever_comes_late_changes_nothing() -> None:
    program = (
        "import sys, gradio.component_meta as meta; from humo.space.stubs import write_no_stubs; "
        "finders, written = [*sys.meta_path], meta.create_or_modify_pyi; write_no_stubs(); "
        "assert sys.meta_path == finders and meta.create_or_modify_pyi is written"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
