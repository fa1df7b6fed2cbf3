"""`python -m humo deploy` in a process of its own, which may ask our Hub and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import OWNER, TOKEN, HubServer
from project import WEIGHTS, write_project

from humo.__main__ import main
from humo.space.deploy.command import refresh

SPACE = f"{OWNER}/page"
SECRET = "open-sesame-42"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """The server."""
    with HubServer() as server:
        yield server


def environment(hub: HubServer, home: Path, **more: str) -> dict[str, str]:
    """Of a process that may ask our Hub and nobody else."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {
        **inherited,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "127.0.0.1",
        **more,
    }


COMMAND = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a child of whoever ignores it
from pathlib import Path
import humo.space.deploy.command as module
from humo.__main__ import main
plan = module.make_plan
module.make_plan = lambda space, hardware=None: plan(space, hardware, Path(sys.argv[1]))
sys.exit(main(["deploy", *sys.argv[2:]]))
"""
"""The command on another folder than the project's own, which is too large for a test."""


@pytest.mark.slow
def test_ctrl_c_is_a_sentence_and_the_same_command_goes_on(hub: HubServer, tmp_path: Path) -> None:
    root = write_project(tmp_path / "project", {"env.secrets": ["PASSPHRASE"]})
    refresh(root)
    hub.state.gate.clear()
    command = [sys.executable, "-c", COMMAND, str(root), "--space", SPACE]
    options: dict[str, Any] = {
        "env": environment(hub, tmp_path / "home", PASSPHRASE=SECRET),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    first = subprocess.Popen(command, **options)
    assert hub.state.has_upload_begun.wait(120)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=120)
    hub.state.gate.set()
    assert first.returncode == 130, err
    assert err.strip().splitlines()[-1] == "Stopped: the same command again goes on from here."
    assert "Traceback" not in err and hub.state.spaces[SPACE].num_commits == 0
    second = subprocess.run(command, timeout=120, check=False, **options)
    assert second.returncode == 0, second.stderr
    assert WEIGHTS in hub.state.spaces[SPACE].files and "The Space runs on cpu-basic" in second.stdout
    assert len(hub.asked("POST /api/repos/create")) == 1
    for text in (out, err, second.stdout, second.stderr):
        assert SECRET not in text and TOKEN not in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"HF_TOKEN": ""}, "Error: There is no token for the Hub: run `hf auth login`, or put one into HF_TOKEN."),
        (
            {"HF_HUB_OFFLINE": "1"},
            "Error: HF_HUB_OFFLINE is set, so the Hub cannot be asked: unset it for this command.",
        ),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "Error: Asking who you are broke off ("),
    ],
)
def test_the_command_without_token_or_network_is_one_sentence(
    hub: HubServer, tmp_path: Path, more: dict[str, str], words: str
) -> None:
    root = write_project(tmp_path / "project")
    refresh(root)
    command = [sys.executable, "-c", COMMAND, str(root), "--space", SPACE]
    env = environment(hub, tmp_path / "home", **more)
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2 and run.stderr.startswith(words) and run.stderr.count("\n") == 1, run.stderr
    assert not hub.state.asked


def test_refresh_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--refresh"]) == 0
    assert capsys.readouterr().out == "Spacefile and README.md are up to date.\n"
