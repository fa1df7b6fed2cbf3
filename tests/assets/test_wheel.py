"""The wheel and the sdist: what is in them, and that the wheel alone is enough, offline and away from the checkout.

Run: python -m pytest tests/assets/test_wheel.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterable
from email.parser import Parser
from pathlib import Path, PurePosixPath
from urllib.request import urlopen
from zipfile import ZipFile

import pages
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tracked import ROOT, requirement_lines, tracked_files

from humo.assets import EXAMPLES, FOLDER, MINI, find_assets
from notebooks.badges import read_setting

MOST_BYTES = 60 * 10**6
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: whoever asks for something outside gets no answer."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    _build("wheel", folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an empty environment with the wheel, which sees the libraries of this one and not the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    own = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # Only the folder's own .pth files count, so that of an editable install, which leads to the checkout, does not.
    libraries = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    (own / "libraries.pth").write_text("\n".join(libraries))
    programs = folder / "bin"
    install = ["install", "--no-index", "--no-deps", str(_wheel(built))]
    _run([sys.executable, "-m", "pip", "--python", str(programs / "python"), *install], folder)
    return programs


def test_a_checkout_has_its_files_beside_the_package_and_an_install_within(tmp_path: Path) -> None:
    assert (ROOT / "assets", ROOT / "assets" / "humo-mini", ROOT / "assets" / "examples") == (FOLDER, MINI, EXAMPLES)
    room = tmp_path / "humo" / "assets"
    (tmp_path / "assets" / "humo-mini").mkdir(parents=True)
    assert find_assets(room) == tmp_path / "assets"
    (room / "humo-mini").mkdir(parents=True)
    assert find_assets(room) == room


def test_the_wheel_has_the_package_with_all_that_it_reads_and_nothing_else(built: Path) -> None:
    wheel = _wheel(built)
    assert wheel.stat().st_size < MOST_BYTES
    names = _files()
    package = {name for name in names if name.startswith("humo/")}
    assert _members(wheel) == package | {f"humo/{name}" for name in names if name.startswith("assets/")}


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    _build("sdist", tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert sdist.stat().st_size < MOST_BYTES
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert names == _files() | {"PKG-INFO"}
    flags = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(tmp_path)]
    _run([sys.executable, "-m", "pip", "wheel", *flags, str(sdist)], tmp_path)
    assert _members(_wheel(tmp_path)) == _members(_wheel(built))


def test_the_metadata_are_whole(built: Path) -> None:
    with ZipFile(_wheel(built)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(name).decode())
    needed = [Requirement(line) for line in told.get_all("Requires-Dist")]
    asked = [Requirement(line) for line in requirement_lines()]
    assert _versions(each for each in needed if each.marker is None) == _versions(asked)
    for field in ("Summary", "Keywords", "License-Expression", "License-File", "Requires-Python", "Author"):
        assert told[field]
    addresses = {"Source", "Changelog"} if read_setting() else set()
    assert {url.split(",")[0] for url in told.get_all("Project-URL")} == {"Paper", *addresses}
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= {*told.get_all("Classifier")}


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    told = _run([str(installed / "humo"), "--help"], tmp_path)
    assert told.startswith("Usage: humo COMMAND") and "page" in told


def test_a_space_is_made_of_the_folder_in_which_it_is_called(installed: Path, tmp_path: Path) -> None:
    deploy = [str(installed / "humo"), "deploy", "--space", "you/humo-compact", "--dry-run"]
    assert "you/humo-compact" in _run(deploy, ROOT)
    done = subprocess.run(deploy, cwd=tmp_path, env=os.environ | _environment(), capture_output=True, text=True)
    assert done.returncode == 2 and "There is no Spacefile in" in done.stderr


@pytest.mark.slow
def test_the_bundled_model_makes_a_video(installed: Path, tmp_path: Path) -> None:
    code = """
import importlib.util, pathlib, sys
import humo
import numpy as np
from humo.portrait.networks import DETECTOR, run
from humo.space.examples import read_examples
from humo.space.links.storage import GALLERY, ReadOnlyStore

place = pathlib.Path(sys.prefix).resolve()
assert place in pathlib.Path(humo.__file__).resolve().parents, humo.__file__
assert importlib.util.find_spec("app") is None, "the checkout is not seen"
assert len(run(DETECTOR, np.zeros((128, 128, 3), np.uint8))) == 2
assert len(read_examples()) >= 3 and len(list(GALLERY.iterdir())) >= 3
for fast in (False, True):
    pipe = humo.load("mini", device="cpu", fast=fast)
    print(len(pipe("a woman talks", num_frames=5, num_inference_steps=1, seed=1).frames))
"""
    assert _run([str(installed / "python"), "-c", code], tmp_path).split() == ["5", "5"]


@pytest.mark.slow
def test_the_page_opens(installed: Path, tmp_path: Path) -> None:
    program = [str(installed / "humo"), "page"]
    with pages.serve(tmp_path, settings=_environment(), program=program) as address:
        with urlopen(f"{address}/config") as answer:
            assert json.load(answer)["title"] == "HuMo, compact"
        with urlopen(f"{address}/favicon.ico") as answer:
            assert answer.read() == (ROOT / "humo" / "space" / "page" / "icon.png").read_bytes()


def _files() -> set[str]:
    """What git has or would take."""
    return {path.relative_to(ROOT).as_posix() for path in tracked_files("--cached", "--others", "--exclude-standard")}


def _build(target: str, folder: Path) -> None:
    _run([sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)], ROOT)


def _wheel(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def _members(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _versions(requirements: Iterable[Requirement]) -> dict[str, str]:
    return {canonicalize_name(each.name): str(each.specifier) for each in requirements}


def _environment() -> dict[str, str]:
    """Variables of whoever has the wheel alone, offline."""
    return {"PYTHONPATH": "", "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "no_proxy": "127.0.0.1,localhost"}


def _run(command: list[str], folder: Path) -> str:
    """What a program that ends well prints."""
    done = subprocess.run(command, cwd=folder, env=os.environ | _environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
