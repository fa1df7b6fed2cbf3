"""Where the page is served: a port or a host that cannot be had is a sentence.

Run: python -m pytest tests/space/test_environment.py
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT

from humo.space.environment import FIRST_PORT, NUM_PORTS, find_place, read_port

pytestmark = pytest.mark.slow


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program serves at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_SERVER_PORT", "GRADIO_SERVER_NAME", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


def _start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The page, which is to end at once."""
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        cwd=folder,
        env={**os.environ, "HUMO_RECORDS": str(folder / "records"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"GRADIO_SERVER_PORT": "abc"}, "GRADIO_SERVER_PORT is 'abc': give a whole number from 1 to 65535"),
        ({"GRADIO_SERVER_PORT": "99999"}, "GRADIO_SERVER_PORT is '99999': give a whole number from 1 to 65535"),
        ({"GRADIO_SERVER_NAME": "::1"}, "GRADIO_SERVER_NAME is '::1', which Gradio takes as an option only"),
        ({"GRADIO_ROOT_PATH": "humo"}, "GRADIO_ROOT_PATH is 'humo': give the path"),
        (
            {"GRADIO_TEMP_DIR": "/dev/null/below"},
            "No temporary folder can be made in /dev/null/below (Not a directory)",
        ),
    ],
)
def test_a_page_that_is_told_wrongly_says_so_and_ends(tmp_path: Path, environment: dict[str, str], says: str) -> None:
    done = _start(tmp_path, **environment)
    assert done.returncode == 2 and done.stderr.startswith(f"Error: {says}") and done.stderr.count("\n") == 1


def test_a_page_whose_port_is_taken_says_so_and_ends(tmp_path: Path, taken: int) -> None:
    done = _start(tmp_path, GRADIO_SERVER_PORT=str(taken))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"Error: Port {taken} is taken by another program: end that one, or name another one, as `--port` or in "
        "GRADIO_SERVER_PORT.\n"
    )


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        (None, 0, r"^The port is 0: give a whole number from 1 to 65535\.$"),
        (None, 65_536, r"^The port is 65536: "),
        ("192.0.2.1", FIRST_PORT, r"^The page cannot be served at 192\.0\.2\.1 \(Cannot assign requested address\): "),
        ("no host", FIRST_PORT, r"^The page cannot be served at no host \(.+\): `--host` and GRADIO_SERVER_NAME take"),
    ],
)
def test_a_place_that_is_none_is_a_sentence(host: str | None, port: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        find_place(host, port)


@pytest.mark.parametrize("host", [None, "127.0.0.1", "0.0.0.0", "localhost"])
def test_a_taken_port_is_taken_for_every_host(host: str | None, taken: int) -> None:
    with pytest.raises(ValueError, match=f"^Port {taken} is taken by another program"):
        find_place(host, taken)


def test_a_free_place_is_given_as_gradio_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]
    monkeypatch.setenv("NO_PROXY", "intern.example")
    assert find_place(None, free) == ("127.0.0.1", free)
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert {"127.0.0.1", "localhost", "intern.example"} == set(os.environ["no_proxy"].split(","))
    monkeypatch.setenv("GRADIO_SERVER_PORT", f" {free} ")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert find_place(None, None) == ("0.0.0.0", free)


def test_an_address_of_ipv6_has_brackets_or_is_none_here() -> None:
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::1", 0))
        except OSError:  # as in many containers
            with pytest.raises(ValueError, match="^The page cannot be served at ::1 "):
                find_place("::1", FIRST_PORT)
            return
        free = other.getsockname()[1]
    assert find_place("::1", free) == find_place("[::1]", free) == ("[::1]", free)


def test_without_a_wish_it_is_the_first_free_port() -> None:
    _, port = find_place(None, None)
    assert port in range(FIRST_PORT, FIRST_PORT + NUM_PORTS)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert find_place(None, None)[1] > port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "7860.0", "７８６０", "1e4", "9" * 5_000, "0x1EB4"])
def test_a_port_that_is_none_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="^GRADIO_SERVER_PORT is '.{1,40}': give a whole number"):
        read_port({"GRADIO_SERVER_PORT": text})
