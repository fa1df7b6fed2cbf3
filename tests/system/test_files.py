"""Files that are whole or not there, and one process at a time."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from humo.system.files import atomic_write, exclusive_lock

HOLD = """
import sys, time
from pathlib import Path
from humo.system.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "It waits."):
    print("in", flush=True)
    sys.stdin.readline()
    Path(sys.argv[2]).write_text("done")
"""


@pytest.mark.parametrize("writer", ["", "-7"])
def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path, writer: str) -> None:
    file = tmp_path / "a.bin"
    with atomic_write(file, writer) as part:
        part.write_bytes(b"one")
        assert not file.exists()
    with pytest.raises(KeyboardInterrupt), atomic_write(file, writer) as part:
        part.write_bytes(b"tw")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_processes_without_a_lock_write_under_names_of_their_own(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from humo.system.files import atomic_write\n"
    code += "with atomic_write(Path(sys.argv[1]), '-1') as part: part.write_text('theirs'); print(part.name)"
    with atomic_write(tmp_path / "a", "-0") as part:
        part.write_text("ours")
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, check=True)
        assert other.stdout.decode().strip() not in ("", part.name)
        assert (tmp_path / "a").read_text() == "theirs"
    assert (tmp_path / "a").read_text() == "ours"


class Answer(logging.Handler):
    """Closes a stream as soon as something is told."""

    def __init__(self, stream) -> None:
        super().__init__()
        self.stream, self.told = stream, []

    def emit(self, record: logging.LogRecord) -> None:
        """Note and answer."""
        self.told.append(record.getMessage())
        self.stream.close()


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    lock, done = tmp_path / "new" / "a.lock", tmp_path / "done"
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock), str(done)], **streams) as other:
        assert other.stdout.readline() == b"in\n"
        answer = Answer(other.stdin)  # the other may leave when we have said that we wait
        logging.getLogger("humo.system.files").addHandler(answer)
        with exclusive_lock(lock, "We wait."):
            assert done.read_text() == "done"
        logging.getLogger("humo.system.files").removeHandler(answer)
    assert answer.told == ["We wait."]


def test_a_killed_process_lets_the_next_one_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "a.lock"
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock), str(tmp_path / "done")], **streams) as other:
        assert other.stdout.readline() == b"in\n"
        other.kill()
    with exclusive_lock(lock, "We wait."):
        assert not caplog.records


def test_a_lock_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match=r"file cannot be written \(.*\): give another folder\.$"),
        exclusive_lock(tmp_path / "file" / "a.lock", ""),
    ):
        pass
