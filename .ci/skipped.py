"""Fails when a test was skipped that this machine could have run: a skipped test proves nothing.

Only one reason is accepted here, a missing GPU; a skip for it must begin with the words "needs a GPU".
"""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def unexplained_skips(report: str) -> list[str]:
    """Names and reasons of the skipped tests in a JUnit report, those that need a GPU left out."""
    skips = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for skip in case.iter("skipped"):
            reason = skip.get("message") or "no reason given"
            if not reason.startswith("needs a GPU"):
                skips.append(f"{case.get('classname')}::{case.get('name')}: {reason}")
    return skips


if __name__ == "__main__":
    found = unexplained_skips(sys.argv[1])
    if found:
        sys.exit("skipped tests that must run here:\n" + "\n".join(found))
