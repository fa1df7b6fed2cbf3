"""The command line: the same defaults as the page, one sentence and exit code 2 for whatever is wrong.

Run: python -m pytest tests/test_cli.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import tiny
from imageio_ffmpeg import get_ffmpeg_exe

from humo.__main__ import COMMANDS, main
from humo.checkpoints import load
from humo.pipeline import HuMoPipeline
from humo.space.request import Defaults

PROMPT = "a woman with red hair talks"


@pytest.fixture(scope="module")
def folder(mini_pipeline: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny pipeline."""
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    mini_pipeline.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a voice, and files that are neither."""
    path = tmp_path_factory.mktemp("files")
    tiny.picture().save(path / "face.png")
    soundfile.write(path / "voice.wav", *tiny.voice(0.6))
    shutil.copy(path / "face.png", path / "picture.wav")
    (path / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    soundfile.write(path / "silent.wav", tiny.voice(1.0)[0] * 0, 16_000)
    return path


def test_overview_and_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main([]) == 2
    assert main(["paint"]) == 2
    assert "there is no command 'paint'" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"python -m humo {name}" in capsys.readouterr().out


def test_generate_writes_a_video_with_sound(
    folder: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    arguments = f"--preset {folder} --image {files}/face.png --audio {files}/voice.wav --seed 3 --out {out}".split()
    assert main(["generate", "--prompt", PROMPT, *arguments, "--text-scale", "2", "--enlarge", "2"]) == 0
    assert "13 frames, 0.52 s, seed 3" in capsys.readouterr().out
    probe = subprocess.run([get_ffmpeg_exe(), "-i", str(out)], capture_output=True, text=True, check=False).stderr
    for words in ("128x128", "25 fps", "Audio: aac", "AI-generated", PROMPT):
        assert words in probe


def test_page_and_command_line_have_the_same_defaults(folder: Path) -> None:
    assert Defaults.of_folder(folder) == Defaults.of_config(load(folder).config)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", " "], "prompt is empty"),
        (["--prompt", "x" * 5000], "5,000 characters"),
        (["--frames", "48"], "4k+1"),
        (["--height", "70"], "multiple of 32"),
        (["--image", "nobody.png"], "does not exist"),
        (["--image", "drawing.png"], "SVG"),
        (["--audio", "picture.wav"], "PNG data, not a sound"),
        (["--audio", "silent.wav"], "silent"),
        (["--out", "nowhere/out.mp4"], "folder that exists"),
        (["--out", "out.avi"], "must end in .mp4"),
        (["--preset", "giant"], "giant"),
        (["--preset", "17B"], "17B"),
        (["--steps", "0"], "1 or more"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    folder: Path,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(files)
    given = {"--prompt": PROMPT, "--preset": str(folder), **dict([arguments])}
    assert main(["generate", *(part for pair in given.items() for part in pair)]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and words in last and last.endswith(".")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = next((broken / "transformer").glob("*.safetensors"))
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        weights.unlink()
    assert main(["generate", "--prompt", PROMPT, "--preset", str(broken)]) == 2
    assert "transformer" in capsys.readouterr().err.strip().splitlines()[-1]


def test_no_traceback_in_a_process_of_its_own(files: Path) -> None:
    command = [sys.executable, "-m", "humo", "generate", "--prompt", PROMPT, "--preset", "giant"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: There is no model 'giant'")
