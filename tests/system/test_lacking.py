"""Commands say what they lack before they work: in processes in which neither PyTorch nor what lacks can be imported.

Run: python -m pytest tests/system/test_lacking.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from project import ROOT

from humo.system.command_line import check_file, check_folder, check_given, check_room
from humo.system.imports import require

BLOCKED = """
import sys
sys.modules.update(dict.fromkeys(["torch", "diffusers", "transformers", *sys.argv[1].split(",")]))
from humo.__main__ import main
sys.exit(main(sys.argv[2:]))
"""
"""Whoever imports one of the modules gets an ImportError, and so a traceback."""
SPEECH = "needs the package espeakng-loader: pip install espeakng-loader"


def run(place: Path, blocked: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, blocked, *arguments]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(place), "PATH": "/usr/bin:/bin", "CXX": "no-such-compiler"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("blocked", "arguments", "words"),
    [
        ("espeakng_loader", "evaluate --out report", f"speech {SPEECH}"),
        ("pocketsphinx", "evaluate --out report --voices human", "needs the package pocketsphinx"),
        ("espeakng_loader,pocketsphinx", "train voices", "packages espeakng-loader and pocketsphinx"),
        ("espeakng_loader", "train autoencoder", f"this training {SPEECH}"),
        ("espeakng_loader", "train data", f"this training {SPEECH}"),
        ("espeakng_loader", "train audio-encoder", f"this training {SPEECH}"),
        ("espeakng_loader", "train decoder", f"this training {SPEECH}"),
        ("espeakng_loader", "train transformer", f"its sample sheets {SPEECH}"),
        ("", "train transformer --compile", "a C++ compiler, and none was found: install g++"),
        ("espeakng_loader", "distill compare", f"speech {SPEECH}"),
        ("espeakng_loader", "ablate", f"speech {SPEECH}"),
        ("", "ablate", "There is no folder runs/mini: run `python -m humo train start"),
        ("pyarrow", "prepare --source . --out shards", "needs the package pyarrow: pip install pyarrow"),
        ("tensorboard", "finetune --stage 1 --from x --data y --out z", "needs the package tensorboard"),
        ("gradio", "page", "the page needs the package gradio"),
        ("ray", "page --ray", '--ray needs the package "ray[serve]": pip install "ray[serve]"'),
        ("", "evaluate --out file", "file is a file: give a folder"),
        ("", "bench --bench nowhere --out file", "file is a file: give a folder"),
        ("", "prepare --source . --out file", "file is a file: give a folder"),
        ("", "prepare --source . --out shards --sync-weights no.model", "The file of SyncNet no.model does not exist"),
        ("", "train data --out file", "file is a file: give a folder"),
        ("", "generate --prompt a --image nobody.png", "nobody.png does not exist"),
        ("", "generate --prompt a --image file", "has no picture inside that we know"),
        ("", "generate --prompt a --first-frame nobody.png", "nobody.png does not exist"),
        ("", "generate --prompt a --continue-from no.mp4", "The video no.mp4 does not exist: check the path."),
        ("", "generate --prompt a --audio nobody.wav", "nobody.wav does not exist"),
        ("", "generate --prompt a --out nowhere/out.mp4", "cannot be written: choose a file name in a folder"),
        ("", "generate --jobs no.jsonl", "The list no.jsonl does not exist: check the path."),
        ("", "dub no.mp4 --audio nobody.wav", "The clip no.mp4 does not exist: check the path."),
        ("", "dub file --audio nobody.wav --mask no.png", "The mask no.png does not exist: check the path."),
        ("", "live --audio nobody.wav", "nobody.wav does not exist"),
        ("", "benchmark --json nowhere/figures.json", "give a file name in a folder that exists"),
        ("", "benchmark --report nowhere/PERFORMANCE.md", "give a file name in a folder that exists"),
        ("", "portrait nobody.png", "nobody.png does not exist"),
        ("", "convert --preset 3B", "There is no published model '3B'"),
        ("", "convert --preset 17B --out file", "file is a file: give a folder"),
        ("", "convert --transformer no.gguf --out new", "The file no.gguf does not exist: check the path."),
    ],
)
def test_it_is_told_before_the_work(tmp_path: Path, blocked: str, arguments: str, words: str) -> None:
    (tmp_path / "file").write_text("neither")
    done = run(tmp_path, blocked, arguments.split())
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr[-2000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and words in last
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("file", ".cache")] == []


def test_one_way_to_ask_for_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    require("anything", "json", "numpy")
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(ValueError, match="a voice needs the package hibari-tts: pip install hibari-tts"):
        require("a voice", "json", "hibari")


def test_places_for_results(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert check_folder(tmp_path / "new") == tmp_path / "new" and not (tmp_path / "new").exists()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="give a folder"):
            check_folder(wrong)
    assert check_file(tmp_path / "figures.json").name == "figures.json"
    with pytest.raises(ValueError, match="a folder that exists and can be written"):
        check_file(tmp_path)
    with pytest.raises(ValueError, match=r"has \d+ MB free and 1000000000000 are needed: make room"):
        check_room(tmp_path / "new" / "below", 10**18)
    check_given(None, "clip")
    check_given(tmp_path / "file", "clip")
