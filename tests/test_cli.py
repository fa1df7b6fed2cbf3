"""The command line: the same defaults as the page, one sentence and exit code 2 for whatever is wrong.

Run: python -m pytest tests/test_cli.py
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import tiny
import torch
from imageio_ffmpeg import get_ffmpeg_exe

import humo.generate
from humo.__main__ import COMMANDS, main
from humo.checkpoints import load
from humo.generate import Memory, _estimate
from humo.media import read_sound
from humo.pipeline import HuMoPipeline
from humo.shots.cuts import Shot
from humo.space.jobs.request import Defaults
from humo.space.links.settings import read_settings
from humo.system.fast_form_config import SUFFIX
from humo.transformer import HuMoTransformer3DModel, humo_1_7b

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
    samples, rate = tiny.voice(6.0)
    samples[3 * rate : 3 * rate + rate // 2] = 0
    soundfile.write(path / "long.wav", samples, rate)
    (path / "two.txt").write_text("a woman talks\n\n a man nods\n", encoding="utf-8-sig")
    (path / "blank.txt").write_text(" \n\n")
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


@pytest.mark.slow
def test_generate_writes_a_video_with_sound(
    folder: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    arguments = f"--preset {folder} --image {files}/face.png --audio {files}/voice.wav --seed 3 --out {out}".split()
    assert main(["generate", "--prompt", PROMPT, *arguments, "--text-scale", "2", "--enlarge", "2"]) == 0
    assert "17 frames, 0.68 s, seed 3" in capsys.readouterr().out
    probe = subprocess.run([get_ffmpeg_exe(), "-i", str(out)], capture_output=True, text=True, check=False).stderr
    for words in ("128x128", "25 fps", "Audio: aac", "AI-generated", PROMPT):
        assert words in probe


@pytest.mark.slow
def test_generate_with_the_fast_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    arguments = f"--fast --frames 5 --steps 1 --seed 3 --text-scale 2 --out {out}".split()
    assert main(["generate", "--prompt", PROMPT, *arguments]) == 0
    settings = read_settings(out)
    assert settings.model.endswith(SUFFIX) and settings.guidance["text"] == 2 and settings.num_inference_steps == 1


def test_page_and_command_line_have_the_same_defaults(folder: Path) -> None:
    assert Defaults.of_folder(folder) == Defaults.of_pipeline(load(folder))


@pytest.mark.slow
def test_plan_prints_the_cuts_and_makes_nothing(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--audio", f"{files}/long.wav", "--preset", "17B", "--plan", "--shots", "shots"]
    assert main(["generate", *given, "--prompts", f"{files}/two.txt"]) == 0
    header, first, second, total = capsys.readouterr().out.splitlines()
    assert header.split() == ["shot", "start", "end", "frames", "cut", "after", "it", "prompt"]
    assert first.split()[:3] == ["1", "0.00s", "3.24s"] and first.split()[3] == "81"
    assert re.search(r"in a (pause|silence) of 0\.[45]\d s\b.*  a woman talks$", first)
    assert second.split()[:4] == ["2", "3.24s", "6.00s", "69"] and " ".join(second.split()).endswith(
        "the sound ends a man nods"
    )
    assert total == "2 shots, 150 frames (150 are made: each shot 4k+1), 6.00 s"
    assert main(["generate", *given, "--frames", "49"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 4 and all(int(line.split()[3]) <= 49 for line in lines[1:-1])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_shots_make_the_whole_sound_and_go_on(
    folder: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, shots = tmp_path / "out.mp4", tmp_path / "shots"
    arguments = f"--preset {folder} --audio {files}/voice.wav --shots {shots} --frames 9 --out {out}".split()
    assert main(["generate", "--prompt", PROMPT, *arguments, "--seed", "3"]) == 0
    shown = capsys.readouterr()
    assert "15 frames, 0.60 s, seed 3" in shown.out
    assert shown.err.startswith("shot    start") and "shot 2 of 2" in shown.err
    times = [path.stat().st_mtime_ns for path in sorted(shots.glob("*.npz"))]
    assert len(times) == 2
    assert main(["generate", "--prompt", PROMPT, "--prompt", "a man nods", *arguments]) == 0
    shown = capsys.readouterr()
    assert "seed 3" in shown.out and "Kept from the earlier run: shot 1." in shown.err
    again = [path.stat().st_mtime_ns for path in sorted(shots.glob("*.npz"))]
    assert again[0] == times[0] and again[1] > times[1]


def test_large_models_are_estimated_before_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, sound = tiny.pipeline("mini"), read_sound(tiny.voice(0.6))
    settings = dict.fromkeys(["height", "width", "num_inference_steps", "guidance"])
    assert _estimate(pipe, settings, None, 0, None, None, None) is None
    with torch.device("meta"):  # true size, no weights
        pipe.register_modules(transformer=HuMoTransformer3DModel(**humo_1_7b()))
    told = _estimate(pipe, settings, None, 0, None, None, None)
    assert told.startswith("Estimate for 9 frames of 64x64 in 2 steps of 2 passes:"), "from text alone"
    settings = {"height": 480, "width": 832, "num_inference_steps": 30, "guidance": {"rule": "paper"}}
    told = _estimate(pipe, settings, None, 2, sound, None, Memory("24GB"))
    assert told.startswith("Estimate for 17 frames of 832x480 in 30 steps of 4 passes:")
    cuts = [Shot(1, 0, 50, ""), Shot(2, 50, 100, "")]
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = _estimate(pipe, settings, None, 1, sound, cuts, None)
    assert told.startswith("Estimate for 53 frames") and told.endswith("That is the longest of 2 shots.")
    assert "4 passes, shared by 2 GPUs: up to" in told


def test_sound_is_read_once(
    folder: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = shutil.copy(files / "voice.wav", tmp_path / "voice.wav")

    def load_and_delete(preset: str, *given: Any) -> HuMoPipeline:
        Path(voice).unlink()  # whoever reads it after this fails
        return load(preset)

    monkeypatch.setattr(humo.generate, "_load", load_and_delete)
    out = str(tmp_path / "out.mp4")
    assert main(["generate", "--prompt", PROMPT, "--preset", str(folder), "--audio", voice, "--out", out]) == 0
    assert "17 frames, 0.68 s" in capsys.readouterr().out


def test_another_rule_of_guidance(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    arguments = f"--preset {folder} --seed 1 --out {out} --guidance published_1_7b --image-scale 3".split()
    assert main(["generate", "--prompt", PROMPT, *arguments]) == 0
    probe = subprocess.run([get_ffmpeg_exe(), "-i", str(out)], capture_output=True, text=True, check=False).stderr
    assert '"guidance": {"rule": "published_1_7b", "text": 7.5, "audio": 7.5, "image": 3.0}' in probe


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--shots shots", "No prompt is given"),
        ("--prompt a --shots shots", "--shots cuts a sound, and none is given: add --audio"),
        ("--plan", "--plan cuts a sound, and none is given: add --audio"),
        ("--plan --audio silent.wav", "silent"),
        ("--plan --audio picture.wav", "PNG data, not a sound"),
        ("--plan --audio long.wav --frames 48", "must be 4k+1 (5, 9, … 97) but is 48: use 45"),
        ("--plan --audio long.wav --frames 53 --preset mini", "mini makes shots of at most 49: use 49"),
        ("--plan --audio long.wav --prompts two.txt --frames 49", "shots but 2 prompts: give one for all"),
        ("--plan --audio voice.wav --prompts two.txt", "There is one shot but 2 prompts: give one."),
        ("--plan --audio voice.wav --prompts blank.txt", "blank.txt has no line with a prompt"),
        ("--plan --audio voice.wav --prompts silent.wav", "silent.wav cannot be read: give a text file in UTF-8"),
        ("--plan --audio voice.wav --prompts nowhere.txt", "nowhere.txt cannot be read"),
        ("--prompt a --prompts two.txt", "Both --prompt and --prompts are given"),
        ("--prompts two.txt", "2 prompts are given for one clip: give one, or --shots FOLDER"),
        ("--prompt a --audio voice.wav --shots face.png", "face.png is a file: give a folder"),
        ("--prompt a --image-scale 3", "Guidance published_17b has no image-scale to set: leave --image-scale out."),
        ("--prompt a --guidance constant --switch 900", "Guidance constant has no switch to set"),
    ],
)
def test_shots_and_rules_refused(
    folder: Path,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str,
) -> None:
    monkeypatch.chdir(files)
    preset = [] if "--preset" in arguments else ["--preset", str(folder)]
    assert main(["generate", *preset, *arguments.split()]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and words in last and last.endswith(".")


@pytest.mark.parametrize("arguments", [["--guidance", "cfg"], ["--memory", "7GB"]])
def test_unknown_choices(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--prompt", PROMPT, *arguments]) == 2
    assert "is not one of" in capsys.readouterr().err


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


@pytest.mark.slow
def test_no_traceback_in_a_process_of_its_own(files: Path) -> None:
    command = [sys.executable, "-m", "humo", "generate", "--prompt", PROMPT, "--preset", "giant"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: There is no model 'giant'")
