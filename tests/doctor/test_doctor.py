"""The doctor finds what works, tells what does not, and never ends in a traceback.

Run: python -m pytest tests/doctor
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from project import ROOT

import humo.checkpoints
from humo.__main__ import main
from humo.doctor import computing, media, models, places, versions
from humo.doctor.command import LOOKS
from humo.doctor.finding import Mark, fails, looked_at, note, ok


def test_it_finds_that_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["works"] is True
    found = {each["name"]: each for each in told["findings"]}
    assert {"Python", "torch", "[world]", "dtype", "compiler", "video", "pauses", "espeakng-loader"} <= found.keys()
    assert "SHA-256 of 7 files right" in found["mini"]["told"]
    assert found["mini makes"]["told"] == "5 frames of 128x128" and found["17B"]["mark"] in ("ok", "note")
    assert len(LOOKS) < len(told["findings"]) and all(each["mark"] != "FAILS" for each in told["findings"])


def test_it_runs_without_pytorch_and_ffmpeg_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')\n")
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    given = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "IMAGEIO_FFMPEG_EXE": str(tmp_path / "ffmpeg")}
    command = [sys.executable, "-m", "humo", "doctor"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert "FAILS  torch runs         libtorch_cpu.so: cannot open shared object file" in lines
    assert "note   mini loads         is not looked at, for PyTorch does not run" in lines
    assert any(line.startswith("FAILS  ffmpeg") for line in lines)
    assert any(line.startswith("ok     espeakng-loader    speaks") for line in lines)
    assert lines[-1].endswith("FAIL: do what stands behind them.")


def test_a_line_and_how_an_error_becomes_one() -> None:
    assert fails("disk", "is full", "make room").line(6) == "FAILS  disk    is full: make room"
    assert ok("disk", "is there").line(4) == "ok     disk  is there"

    def look() -> object:
        yield note("first", "is fine")
        raise ValueError("The port is 0: give another.")

    first, second = looked_at("port", look)
    assert first.mark is Mark.NOTE
    assert second == fails("port", "The port is 0", "give another")
    (odd,) = looked_at("odd", lambda: 1 / 0)
    assert odd == fails("odd", "ZeroDivisionError: division by zero")


def test_packages_that_lack_or_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = metadata.version("filelock")
    (tmp_path / "requirements.txt").write_text(f"# all\nno-such-thing==1.0\nnumpy<1\nfilelock=={there}\ntorch>=2.8\n")
    extras = '[project.optional-dependencies]\nworld = ["never-heard-of==3"]\ntest = ["humo-compact[world]", "numpy"]\n'
    (tmp_path / "pyproject.toml").write_text(extras)
    monkeypatch.setattr(versions, "declared", lambda: DECLARED(tmp_path))
    lacking, other, torch, others = versions.packages()
    assert lacking == fails("no-such-thing", "is not installed", 'pip install "no-such-thing==1.0"')
    assert (other.mark, other.name, other.remedy) == (Mark.NOTE, "numpy", 'pip install "numpy<1"')
    assert torch == ok("torch", metadata.version("torch")) and others.told.startswith("1 others of 4 ")
    world, test = versions.extras()
    assert (world.mark, world.remedy) == (Mark.NOTE, "pip install never-heard-of")
    assert "lacks never-heard-of" in world.told
    assert test.mark is Mark.OK


DECLARED = versions.declared


def test_an_installed_package_tells_what_it_needs(tmp_path: Path) -> None:
    told = versions.declared(tmp_path)
    assert {"torch", "gradio", "pyyaml"} <= {each.name.lower() for each in told[""]}
    assert {each.name for each in told["world"]} == {"espeakng-loader", "pocketsphinx"}


def test_a_damaged_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "humo-mini"
    shutil.copytree(humo.checkpoints.MINI, folder)
    monkeypatch.setattr(humo.checkpoints, "MINI", folder)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    first, _ = looked_at("mini", models.bundled)
    assert first == fails("mini", f"{weights.relative_to(folder)} is not the published file", "fetch the folder again")
    weights.unlink()
    (lacking,) = looked_at("mini", models.bundled)
    assert lacking.mark is Mark.FAILS and "vae" in lacking.told and lacking.remedy == "fetch the folder again"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    closed = tmp_path / "file" / "folder"
    assert places._folder("temporary files", closed, "name another", is_needed=True) == fails(
        "temporary files", f"{closed} cannot be written", "name another"
    )
    assert places._folder("caches", closed, "name another").mark is Mark.NOTE
    assert places._folder("caches", tmp_path / "new", "name another").mark is Mark.OK
    assert not (tmp_path / "new").exists()


def test_what_the_page_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(number))
        (port,) = looked_at("port", places.port)
    assert port.mark is Mark.FAILS and port.told == f"Port {number} is taken by another program"
    monkeypatch.setenv("HUMO_JOBS_PER_HOUR", "many")
    (page,) = looked_at("page", places.variables)
    assert page == fails("page", "HUMO_JOBS_PER_HOUR is 'many'", "give a whole number, or leave it out")
    monkeypatch.setenv("HUMO_COMPILE", "perhaps")
    *_, compiling = looked_at("compiler", computing.compiling)
    assert compiling.mark is Mark.FAILS and compiling.told == "HUMO_COMPILE is 'perhaps'"


def test_without_compiler_and_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler, *_ = looked_at("compiler", computing.compiling)
    assert compiler.mark is Mark.NOTE and "install g++" in compiler.remedy
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    found = {each.name: each for each in looked_at("speech", media.speech)}
    assert found["espeakng-loader"].remedy == "pip install espeakng-loader (GPL-3)"
    assert found["hibari-tts"].mark is Mark.OK and found["voices"].told.startswith("1 to type")


def test_a_bug_report_asks_for_it() -> None:
    template = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    first = template["body"][0]
    assert first["attributes"]["label"] == "python -m humo doctor" and first["validations"] == {"required": True}


def test_digests_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, told = tmp_path / "humo" / "assets" / "humo-mini", tmp_path / "humo_compact-9.dist-info"
    folder.mkdir(parents=True)
    told.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").digest()
    record = f"humo/assets/humo-mini/model.safetensors,sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()},7\n"
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: humo-compact\nVersion: 9\n")
    (told / "RECORD").write_text(f"{record}humo/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert dict(models._of_wheel(folder)) == {"model.safetensors": digest.hex()}
    monkeypatch.setattr(models, "_of_spacefile", dict)
    assert models._unlike_published(folder) == ([], 1)
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert models._unlike_published(folder) == (["model.safetensors"], 1)
