"""Fails when a test was skipped that this machine could have run: a skipped test proves nothing.

One exception: the tests of tests/test_gpu.py, marked `gpu`, are skipped for the reason "needs a GPU", for the machine
that runs this has none. They compare the GPU with the CPU; all that they compare is tested on the CPU as well, so
nothing else may be skipped for that reason.
"""

from __future__ import annotations

import sys
from xml.etree import ElementTree

GPU_TESTS = "tests.test_gpu"
GPU_REASON = "needs a GPU"


def unexplained_skips(report: str) -> list[str]:
    """Names and reasons of the skipped tests in a JUnit report, those that need a GPU left out."""
    skips = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for skip in case.iter("skipped"):
            home, reason = case.get("classname"), skip.get("message") or "no reason given"
            if (home, reason) != (GPU_TESTS, GPU_REASON):
                skips.append(f"{home}::{case.get('name')}: {reason}")
    return skips


if __name__ == "__main__":
    found = unexplained_skips(sys.argv[1])
    if found:
        sys.exit("skipped tests that must run here:\n" + "\n".join(found))
