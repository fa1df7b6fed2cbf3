"""Shell completion, --quiet, exit codes and plain data: what all commands share.

Run: python -m pytest tests/system/test_command_line.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
import typer
from project import ROOT

from humo.__main__ import COMMANDS, main
from humo.pipeline import HuMoPipeline
from humo.system.command_line import as_app, run, with_quiet

HELP = """
import sys
sys.modules.update(dict.fromkeys(["torch", "diffusers", "transformers", "gradio", "ray", "matplotlib"]))
from humo.__main__ import main
sys.exit(main(["--help"]))
"""
COMPLETED = """
import os, sys
sys.modules.update(dict.fromkeys(["torch", "diffusers", "transformers", "gradio", "ray", "matplotlib"]))
from humo.__main__ import main
for words in sys.argv[1:]:
    os.environ |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    print(words, main([]), sep=">")
"""


@pytest.fixture(scope="module")
def folder(mini_pipeline: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny pipeline."""
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    mini_pipeline.save_pretrained(path)
    return path


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def complete(*lines: str) -> dict[str, list[str]]:
    """What a shell offers at the end of each line; nothing heavy can be imported meanwhile."""
    done = python(COMPLETED, *lines, _HUMO_COMPLETE="complete_bash")
    assert done.returncode == 0, done.stderr[-2000:]
    offered, found = list[str](), dict[str, list[str]]()
    for line in done.stdout.splitlines():
        words, is_end, code = line.partition(">")
        if is_end:
            assert code == "0"
            found[words], offered = offered, []
        else:
            offered.append(line)
    return found


def test_help_imports_nothing_heavy() -> None:
    done = python(HELP)
    assert done.returncode == 0 and all(name in done.stdout for name in COMMANDS), done.stderr[-2000:]


def test_a_shell_completes_every_command_and_imports_nothing_heavy() -> None:
    options = {name: f"humo {name} --q" for name in COMMANDS if name not in ("train", "distill")}
    asked = ["humo ", "humo be", "humo train tr", "humo train transformer --q", "humo distill compare --q",
             "humo generate --guidance pub", "humo nothing --q", *options.values()]  # fmt: skip
    found = complete(*asked)
    assert found["humo "] == list(COMMANDS) and found["humo be"] == ["bench", "benchmark"]
    assert found["humo train tr"] == ["transformer"]
    assert found["humo generate --guidance pub"] == ["published_17b", "published_1_7b"]
    assert found["humo nothing --q"] == [""]
    quiet = [found["humo train transformer --q"], found["humo distill compare --q"], *map(found.get, options.values())]
    assert quiet == [["--quiet"]] * len(quiet)


def test_completion_is_shown_and_installed(tmp_path: Path) -> None:
    shell = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    code = "import sys; from humo.__main__ import main; sys.exit(main(sys.argv[1:]))"
    shown = python(code, "--show-completion", "bash", **shell)
    assert shown.returncode == 0 and "_HUMO_COMPLETE=complete_bash" in shown.stdout
    installed = python(code, "--install-completion", "bash", **shell)
    assert installed.returncode == 0
    assert (tmp_path / ".bash_completions" / "humo.sh").read_text() in shown.stdout + "\n"


def test_quiet_leaves_results_and_errors(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "generate",
        "--prompt",
        "a dragon",
        "--preset",
        str(folder),
        "--frames",
        "5",
        "--steps",
        "1",
        "--seed",
        "3",
    ]
    out = ["--out", str(tmp_path / "out.mp4")]
    assert main([*given, *out]) == 0
    assert "generating" in capsys.readouterr().err
    assert main([*given, *out, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "5 frames, 0.20 s, seed 3" in shown.out
    assert main([*given, "--out", "nowhere/out.mp4", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("Error: nowhere/out.mp4 cannot be written")


def test_generate_prints_plain_data(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    given = ["--preset", str(folder), "--frames", "5", "--steps", "1", "--seed", "3", "--out", str(out), "--json"]
    assert main(["generate", "--prompt", "a woman", *given]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["frames"], told["seconds"], told["seed"]) == (str(out), 5, 0.2, 3)
    assert told["settings"]["prompt"] == "a woman" and isinstance(told["notes"], list)


def test_wording_portrait_and_table_print_plain_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wording", "an elderly gentleman with a dragon", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["attributes"]["gender"] == "man" and any("dragon" in note for note in told["notes"])
    tiny.picture(200, 200).save(tmp_path / "face.png")
    drawn = tmp_path / "drawn.png"
    assert main(["portrait", str(ROOT / "assets" / "examples" / "woman.png"), "--out", str(drawn), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(drawn) and drawn.is_file() and told["caption"] and "hair_colour" in told
    assert main(["benchmark", "--table", "--json", str(tmp_path / "table.json")]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())
    assert {(row["model"], row["memory"]) for row in rows} >= {("1.7B", "8GB"), ("17B", "80GB")}
    assert all(row["peak"] > 10**9 and row["seconds"] > 0 for row in rows)


def _command(what: str) -> None:
    lack, stop = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), KeyboardInterrupt()
    raise {"value": ValueError("wrong."), "disk": OSError("the disk is full."), "lack": lack, "stop": stop}[what]


@pytest.mark.parametrize(("what", "code", "told"), [
    ("value", 2, "Error: wrong."), ("disk", 1, "Error: the disk is full."), ("stop", 130, ""),
    ("lack", 1, "Error: the GPU's memory is too small for this: give its size as --memory where the command has that "
     "option, or ask for fewer frames or smaller pictures."),
])  # fmt: skip
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_exit_codes(what: str, code: int, told: str, quiet: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(with_quiet(as_app(_command)), [what, *quiet], "command") == code
    assert capsys.readouterr().err.strip() == told


def test_what_nobody_expects_is_not_hidden() -> None:
    def fail() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        run(as_app(fail), [], "command")


def test_quiet_is_given_once() -> None:
    app = typer.Typer()
    app.command()(_command)
    wrapped = with_quiet(app).registered_commands[0].callback
    assert with_quiet(app).registered_commands[0].callback is wrapped
