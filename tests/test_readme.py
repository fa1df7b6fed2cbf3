"""What a newcomer meets first is true: README, requirements and the tracked files."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tracked import ROOT, requirement_lines, tracked_files

from humo.__main__ import main
from humo.pipeline import HuMoPipeline

README = (ROOT / "README.md").read_text()
MIB = 2**20


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def declared() -> dict[str, set[str]]:
    """Canonical names of the distributions that requirements.txt and each extra of pyproject.toml name."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    groups = {"requirements": requirement_lines(), **extras}
    return {key: {canonicalize_name(Requirement(r).name) for r in lines} for key, lines in groups.items()}


def imported_packages(path: Path) -> set[str]:
    """First parts of the absolute imports in a Python file, the standard library and our own left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    folders = {path.parent, ROOT / "tests" / "support"} if ROOT / "tests" in path.parents else {path.parent}
    ours = {"humo", "app", "notebooks", *(file.stem for folder in folders for file in folder.glob("*.py"))}
    return names - set(sys.stdlib_module_names) - ours


def test_the_first_block_is_two_lines_that_start_the_page_and_run_the_tests():
    start, test = code_blocks("bash")[0].splitlines()
    assert start.endswith("pip install . && humo page")
    assert test.endswith("python -m pytest") and '".[test]"' in test


def commands() -> list[list[str]]:
    """Words of every line of the README that calls one of the project's modules."""
    lines = [line for block in code_blocks("bash") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python -m humo")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist_with_their_options(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    module, arguments = words[2], words[3:]
    path = list(itertools.takewhile(lambda word: not word.startswith("--"), arguments))
    if module == "humo":
        assert main([*path, "--help"]) == 0
        text = capsys.readouterr().out
    else:
        command = [sys.executable, "-m", module, "--help"]
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [word for word in arguments if word.startswith("--") and word not in text] == []


def test_inputs_of_commands_exist():
    pairs = [pair for words in commands() for pair in itertools.pairwise(words)]
    files = [value for option, value in pairs if option in ("--image", "--audio")]
    assert files and all((ROOT / name).is_file() for name in files)


def test_figures_come_from_the_reports():
    spec = importlib.util.spec_from_file_location("figures", ROOT / ".ci" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    assert figures.written(README, figures.figures()) == README, "run python .ci/figures.py"
    claimed = figures.written(README, figures.claims(), figures.CLAIMS_BEGIN, figures.CLAIMS_END)
    assert claimed == README, "run python .ci/figures.py"
    report = {
        "settings": {"num_videos": 64},
        "modes": {"TA": {"sync": 0.714, "faces": 1}},
        "mask_iou": {"500": 0.8, "900": 0.55},
    }
    assert "| text + voice | 0.71 | – | – | – | – | 1.00 |" in figures.quality(report)
    assert "64 videos a mode. Overlap" in figures.quality(report)
    assert "0.80 at timestep 500, 0.55 at timestep 900" in figures.quality(report)
    report["spread"] = {"seeds": [0, 1], "modes": {"TA": {"sync": {"mean": 0.8, "deviation": 0.014}}}}
    assert "| text + voice | 0.80 ± 0.01 | – | – | – | – | 1.00 |" in figures.quality(report)
    assert "2 times 64 videos a mode" in figures.quality(report)


def test_it_begins_with_what_the_model_makes():
    front_matter = r"---\n(?:.+\n)+---\n\n"  # which tests/space/deploy/test_spacefile.py compares with the Spacefile
    assert re.match(front_matter + r"!\[[^\]]{20,}\]\(assets/humo-mini/[\w-]+\.webp\)\n", README)


def test_python_examples_parse():
    for block in code_blocks("python"):
        ast.parse(block)


def test_what_python_examples_call_of_a_pipeline_exists():
    called = {name for block in code_blocks("python") for name in re.findall(r"\bpipe\.(\w+)\(", block)}
    assert "generate_batch" in called and all(hasattr(HuMoPipeline, name) for name in called)


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\(([^)\s]+)\)", README)
    local = [t.split("#")[0] for t in targets if not t.startswith(("http://", "https://", "#"))]
    assert [t for t in local if not (ROOT / t).exists()] == []


def test_what_the_layout_names_exists():
    folder = Path()
    for line in code_blocks("text")[0].splitlines():
        name = line.split()[0]
        path = folder / name if line.startswith(" ") else Path(name)
        folder = path if not line.startswith(" ") else folder
        assert (ROOT / path).exists(), f"the layout names {path}"


def test_requirements_are_pinned_exactly_but_for_three():
    loose = [line for line in requirement_lines() if not re.fullmatch(r"[\w-]+==[\w.]+", line)]
    assert loose == ["torch>=2.8,<=2.13.0", "pillow>=11.3.0,<=12.3.0", "pydantic>=2.12.5,<=2.14.4"]


def test_a_plain_install_gets_the_newest_pillow():
    """Only moviepy, an extra, holds it back: so it is not here, for here is tested what a plain install gets."""
    groups = declared()
    assert "moviepy" in groups["moviepy"] and "moviepy" not in groups["requirements"] | groups["test"]
    newest = next(line.split("<=")[1] for line in requirement_lines() if line.startswith("pillow"))
    assert importlib.metadata.version("pillow") == newest, f"pip uninstall moviepy && pip install pillow=={newest}"


@pytest.mark.slow
def test_every_third_party_import_is_declared():
    groups = declared()
    base, world = groups["requirements"], groups["world"]
    distributions = importlib.metadata.packages_distributions()
    missing = []
    for path in tracked_files():
        if path.suffix != ".py":
            continue
        allowed = base
        if "tests" in path.relative_to(ROOT).parts:
            allowed = base | world | groups["test"] | groups["finetune"] | groups["moviepy"] | groups["gguf"]
        elif "single_file" in path.parts:
            allowed = base | groups["gguf"]
        elif "world" in path.parts:
            allowed = base | world
        elif {"dataset", "finetuning"} & set(path.parts):
            allowed = base | groups["finetune"]
        elif path.name in ("output.py", "clips.py"):
            allowed = base | groups["moviepy"]
        elif path.name == "ray_serve.py":
            allowed = base | groups["serve"]
        for package in imported_packages(path):
            owners = {canonicalize_name(name) for name in distributions.get(package, [package])}
            if not owners & allowed:
                missing.append(f"{path.relative_to(ROOT)} imports {package}")
    assert missing == []


def test_licence_is_apache():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_files_are_small_enough():
    big = [p.name for p in tracked_files() if p.stat().st_size >= 16 * MIB]
    assert big == []
    weights = sum(p.stat().st_size for p in tracked_files() if p.suffix == ".safetensors")
    assert weights <= 64 * MIB


@pytest.mark.parametrize("suffix", [".py", ".md", ".toml", ".json", ".ipynb", ".yaml", ".txt", ""])
def test_no_path_of_a_private_machine(suffix: str):
    pattern = re.compile(r"(?<![\w.])/(work|root|farm|home)/\w")
    found = [
        str(p.relative_to(ROOT))
        for p in tracked_files()
        if p.suffix == suffix and pattern.search(p.read_text(errors="ignore"))
    ]
    assert found == []


def test_python_files_stay_short_and_finished():
    long, unfinished = [], []
    for path in tracked_files():
        if path.suffix == ".py":
            text = path.read_text()
            if text.count("\n") >= 400:
                long.append(path.name)
            if re.search(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", text):
                unfinished.append(path.name)
    assert long == [] and unfinished == []
