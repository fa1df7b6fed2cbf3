"""CI accepts no skipped test but those that need a GPU, and pytest skips these as CI expects it.

Run: python -m pytest tests/test_skipped.py
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CASES = """<testsuites><testsuite>
<testcase classname="tests.test_gpu" name="a"><skipped message="needs a GPU"/></testcase>
<testcase classname="tests.test_gpu" name="b"><skipped message="too slow"/></testcase>
<testcase classname="tests.test_audio" name="c"><skipped message="needs a GPU"/></testcase>
<testcase classname="tests.test_audio" name="d"><skipped/></testcase>
<testcase classname="tests.test_audio" name="e"/>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def skipped():
    spec = importlib.util.spec_from_file_location("skipped", ROOT / ".ci" / "skipped.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_tests_of_the_gpu_may_be_skipped(skipped, tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(CASES)
    assert skipped.unexplained_skips(str(tmp_path / "report.xml")) == [
        "tests.test_gpu::b: too slow",
        "tests.test_audio::c: needs a GPU",
        "tests.test_audio::d: no reason given",
    ]


@pytest.mark.slow
def test_without_a_gpu_its_tests_are_skipped_as_ci_expects(skipped, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "tests/test_gpu.py", f"--junitxml={report}", "-p", "no:cacheprovider"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert report.read_text().count("needs a GPU") >= 3
    assert skipped.unexplained_skips(str(report)) == []
