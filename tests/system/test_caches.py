"""Users without a home that can be written: their caches lie elsewhere, and command and page work.

Run: python -m pytest tests/system/test_caches.py
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import librosa
import pytest
import soundfile
from numba.core.caching import UserProvidedCacheLocator
from other_user import UID, as_stranger, home_of_stranger, is_other, without_own
from pages import EXAMPLES, ROOT, serve
from raw_api import call, upload

from humo.media import kind_of
from humo.system.caches import is_writable, private_folder, settle_caches

pytestmark = pytest.mark.slow

MOVED = ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")
TELL = "import json, os, humo; print(json.dumps(dict(os.environ)))"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that others may enter, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="humo-test-", dir="/tmp"))  # not the page's own, if this process is one
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def stranger(place: Path) -> dict[str, str]:
    """All variables of a user without a home.

    What librosa compiles when it is imported is there already, from this process: it would take a quarter of a minute.
    """
    environment = without_own(os.environ) | home_of_stranger(place)
    cache = Path(json.loads(_run(environment, "-c", TELL).stdout)["NUMBA_CACHE_DIR"])
    for file in Path(librosa.__file__).parent.rglob("__pycache__/*.nb[ci]"):
        folder = cache / UserProvidedCacheLocator.get_suitable_cache_subpath(str(file.parents[1] / "module.py"))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    if is_other():
        for each in (cache, *cache.rglob("*")) if cache.exists() else ():
            os.chown(each, UID, UID)
    return environment


@pytest.fixture(scope="module")
def voice(place: Path) -> Path:
    """Half a second of the bundled voice as recorders keep it: 44.1 kHz, stereo."""
    samples, rate = soundfile.read(EXAMPLES / "woman.wav")
    samples = librosa.resample(samples[: rate // 2], orig_sr=rate, target_sr=44_100)
    soundfile.write(place / "voice.wav", [(each, each) for each in samples], 44_100)
    return place / "voice.wav"


def _run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = as_stranger(sys.executable, *arguments)
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=240)


def _forget(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Take variables out until the test has ended, then also those that were set meanwhile."""
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_user_without_a_home_makes_a_video_by_the_command(place: Path, stranger: dict[str, str], voice: Path) -> None:
    out = Path(stranger["TMPDIR"]) / "video.mp4"
    settings = ["--audio", str(voice), "--frames", "5", "--steps", "2", "--out", str(out)]
    done = _run(stranger, "-m", "humo", "generate", "--prompt", "a woman talks", *settings)
    assert done.returncode == 0 and kind_of(out) == "MP4", done.stderr
    assert "Traceback" not in done.stderr and "cache" not in done.stderr.lower()
    assert list((place / "home").iterdir()) == []


def test_what_is_compiled_for_a_user_without_a_home_is_kept(stranger: dict[str, str]) -> None:
    done = _run(stranger, "-c", "from humo.portrait import Portrait, draw_portrait; draw_portrait(Portrait(), 32)")
    (own,) = Path(stranger["TMPDIR"]).glob("humo-*")
    assert list((own / "numba_cache_dir").glob("world_*/*.nbi")), done.stderr


def test_a_user_without_a_home_serves_the_page(stranger: dict[str, str], voice: Path, tmp_path: Path) -> None:
    with serve(tmp_path, stranger=stranger) as address:
        values = {
            "prompt": "a woman talks",
            "steps": 2,
            "seed": 1,
            "audio": upload(address, voice.name, voice.read_bytes()),
        }
        picture = upload(address, "woman.png", (EXAMPLES / "woman.png").read_bytes())
        answer = call(address, "text_image_audio", {**values, "image": picture})
        assert answer.event == "complete", answer
    assert "warm-up" not in (tmp_path / "server.txt").read_text()


def test_what_cannot_be_written_lies_in_a_folder_of_the_users_own(place: Path, stranger: dict[str, str]) -> None:
    for home in (str(place / "home"), *(["", "/nonexistent", "/"] if is_other() else [])):
        given = {**stranger, "HOME": home}
        if not home:
            del given["HOME"]
        told = json.loads(_run(given, "-c", TELL).stdout)
        assert all(Path(told[name]).is_relative_to(stranger["TMPDIR"]) for name in MOVED), (home, told)
        assert "HF_HOME" not in told


def test_weights_in_a_home_that_can_only_be_read_are_found(place: Path, stranger: dict[str, str]) -> None:
    home = place / "filled"
    (home / ".cache" / "huggingface").mkdir(parents=True)
    for folder in (home / ".cache" / "huggingface", home / ".cache", home):
        folder.chmod(0o555)
    told = json.loads(_run({**stranger, "HOME": str(home)}, "-c", TELL).stdout)
    assert told["HF_HOME"] == str(home / ".cache" / "huggingface")
    assert Path(told["XDG_CACHE_HOME"]).is_relative_to(stranger["TMPDIR"])
    for folder in (home, home / ".cache"):
        folder.chmod(0o755)


def test_a_home_that_can_be_written_keeps_its_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget(monkeypatch, *MOVED, "XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    before = dict(os.environ)
    settle_caches()
    assert dict(os.environ) == before and list(tmp_path.iterdir()) == []


def test_one_cache_alone_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "file" / "below"))  # which nobody can write, not even root
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    _forget(monkeypatch, "XDG_CACHE_HOME")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settle_caches()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / f"humo-{os.getuid()}" / "mplconfigdir")
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "numba") and "XDG_CACHE_HOME" not in os.environ


@pytest.mark.parametrize("foreign", ["open", "a link", "a file"])
def test_a_folder_that_others_could_have_filled_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    found = tmp_path / f"humo-{os.getuid()}"
    if foreign == "open":
        found.mkdir()
        found.chmod(0o777)
    elif foreign == "a link":
        found.symlink_to(tmp_path)
    else:
        found.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    _forget(monkeypatch, *MOVED[1:])
    settle_caches()
    own = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert own.parent == tmp_path and own != found and own.stat().st_mode & 0o077 == 0


def test_windows_has_no_numbers_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid")
    monkeypatch.setenv("USERNAME", "Ada")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _forget(monkeypatch, *MOVED[1:])
    settle_caches()
    own = tmp_path / "humo-Ada"
    assert os.environ["XDG_CACHE_HOME"] == str(own / "xdg_cache_home") and own.is_dir()
    own.chmod(0o777)  # which is all that Windows tells
    assert private_folder(own) == own
    (tmp_path / "link").symlink_to(own)
    with pytest.raises(ValueError, match="not yours alone"):
        private_folder(tmp_path / "link")


def test_a_folder_is_writable_where_it_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_writable(tmp_path / "not" / "there") and not (tmp_path / "not").exists()
    assert not is_writable(tmp_path / "file") and not is_writable(tmp_path / "file" / "below")
    assert not is_writable(Path("~/.cache"))


def test_a_video_that_could_not_be_written_is_not_made(stranger: dict[str, str]) -> None:
    done = _run(stranger, "-m", "humo", "generate", "--prompt", "a woman", "--out", f"{stranger['HOME']}/video.mp4")
    assert (
        done.returncode == 2 and done.stderr.startswith("Error: ") and "a folder that exists and can be" in done.stderr
    )


@pytest.mark.parametrize("command", [["-m", "humo", "wording", "a man"], [str(ROOT / "app.py")]])
def test_without_any_place_for_temporary_files_there_is_a_sentence(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**without_own(os.environ), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),  # no file can grow
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: No folder for temporary files can be written: name one in TMPDIR")


def test_nothing_of_onnxruntime_is_told_to_its_makers(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import humo, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
        env={**without_own(os.environ), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "1\n"
    assert list(tmp_path.iterdir()) == [], "it would write down which computer this is, and what it has not sent yet"
