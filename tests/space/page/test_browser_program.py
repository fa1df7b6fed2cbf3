"""Chromium for the tests: fetched once where there is none, and where it cannot be had the tests say so and fail.

Run: python -m pytest tests/space/page/test_browser_program.py
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest
from tracked import ROOT

FIND = "from browser_program import find_chromium; print(find_chromium())"
MAC = "Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing"
SYSTEMS = {"linux64": "chrome", "mac-arm64": MAC, "mac-x64": MAC}
PROGRAMS = (
    *(f"chrome-{system}/{program}" for system, program in SYSTEMS.items()),
    *(f"chrome-headless-shell-{system}/chrome-headless-shell" for system in SYSTEMS),
    *("ffmpeg-linux", "ffmpeg-mac"),
)


@pytest.fixture
def host() -> Iterator[ThreadingHTTPServer]:
    """Where Playwright fetches from: every file is an archive of empty programs. `asked` has the paths."""
    with io.BytesIO() as file:
        with ZipFile(file, "w") as archive:
            for name in PROGRAMS:
                archive.writestr(name, "")
        content = file.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _find(folder: Path, address: str) -> subprocess.Popen[str]:
    """A process that looks for Chromium, where Playwright's own would be in a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", FIND],
        env={
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "PATH": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT / "tests" / "support"),
            "PLAYWRIGHT_BROWSERS_PATH": str(folder / "browsers"),
            "PLAYWRIGHT_DOWNLOAD_HOST": address,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _told(process: subprocess.Popen[str]) -> tuple[str, str]:
    told, complaints = process.communicate(timeout=300)
    return told.strip(), complaints.strip()


def test_the_machines_own_is_taken(tmp_path: Path) -> None:
    (tmp_path / "chromium").touch(mode=0o755)
    assert _told(_find(tmp_path, "http://127.0.0.1:9")) == (str(tmp_path / "chromium"), "")


@pytest.mark.slow
def test_playwrights_own_is_fetched_once_for_all_workers(tmp_path: Path, host: ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{host.server_port}"
    workers = [_find(tmp_path, address) for _ in range(2)]
    assert [_told(worker) for worker in workers] == [("None", "")] * 2
    assert len(host.asked) == len(set(host.asked)) >= 2
    assert any("chrome" in path for path in host.asked)


def test_without_any_there_is_a_sentence(tmp_path: Path) -> None:
    told, complaints = _told(_find(tmp_path, "http://127.0.0.1:9"))
    assert told == "" and complaints.endswith(
        "install one, on Debian and Ubuntu by `apt-get install chromium fonts-dejavu`."
    )
    assert "could not fetch its own (connect ECONNREFUSED 127.0.0.1:9)" in complaints
