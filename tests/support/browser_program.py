"""The Chromium that tests look with: this machine's, or Playwright's own, which is fetched once where there is none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
MINUTES = 15
"""For the download."""


def find_chromium() -> str | None:
    """The program's path; None for Playwright's own. Where neither can be had, the test fails with a sentence."""
    if program := next(filter(None, map(shutil.which, NAMES)), None):
        return program
    if reason := _why_not_fetched():
        pytest.fail(
            f"The tests of the page and the lessons need Chromium, and Playwright could not fetch its own ({reason}): "
            "install one, on Debian and Ubuntu by `apt-get install chromium fonts-dejavu`.",
            pytrace=False,
        )
    return None


@cache
def _why_not_fetched() -> str:
    """Why Playwright's own Chromium is not there; nothing if it is. Of several workers one fetches: it has a lock."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        return f"it took more than {MINUTES} minutes"
    reasons = [line.removeprefix("Error: ") for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return "" if done.returncode == 0 else (reasons or [f"exit code {done.returncode}"])[0]
