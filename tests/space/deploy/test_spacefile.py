"""The Spacefile: every mistake is one sentence that names the field, and what it makes is up to date."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ABSENT, DATA, WEIGHTS, write_project

from humo.__main__ import main
from humo.space.deploy import upload
from humo.space.deploy.command import refresh
from humo.space.deploy.spacefile import NAME, ROOT, front_matter, read_spacefile, seconds, with_front_matter
from humo.space.deploy.upload import check_tree, collect_files, hash_weights, with_hashes


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("version", 2, r"version is 2: give 1\."),
        ("colour", "red", r"unknown field colour: use version, space, "),
        ("space.titel", "HuMo", r"unknown field space\.titel: use id, "),
        ("space.title", ABSENT, r"lacks the field space\.title: add it\."),
        ("space", "HuMo", r"space must be a group of fields: id, "),
        ("space.id", "a b", r"space\.id is 'a b': give a name of letters"),
        ("space.title", "", r"space\.title is '': give 1 to 80 characters\."),
        ("space.title", 5, r"space\.title is 5: give a text\."),
        ("space.visibility", "secret", r"space\.visibility is 'secret': give public, protected or private\."),
        ("space.emoji", "x", r"space\.emoji is 'x': give one emoji\."),
        ("space.emoji", "🎈🎈", r"space\.emoji is '🎈🎈': give one emoji\."),
        ("space.colors", ["indigo", "teal"], r"space\.colors\[1\] is 'teal': give two of red, "),
        ("space.colors", ["indigo"], r"space\.colors is \['indigo'\]: give two of red, "),
        ("space.colors", "indigo", r"space\.colors is 'indigo': give a list\."),
        ("space.full_width", "yes", r"space\.full_width is 'yes': give true or false\."),
        ("space.sdk", "docker", r"space\.sdk is 'docker': give gradio\."),
        ("space.sdk_version", "6.30.0", r"space\.sdk_version is '6\.30\.0': give 6\.31\.0, which requirements\.txt"),
        ("space.sdk_version", 6.31, r"space\.sdk_version is 6\.31: give a text\."),
        ("space.python_version", "3.10.13", r"space\.python_version is '3\.10\.13': give 3\.11 or 3\.12"),
        ("space.python_version", "3.11", r"space\.python_version is '3\.11': give 3\.12\.12, which ZeroGPU offers"),
        ("space.app_file", "../app.py", r"space\.app_file is '\.\./app\.py': give a Python file"),
        ("space.short_description", "x" * 61, r"space\.short_description is 'x+': give 1 to 60 characters"),
        ("space.license", "Apache 2", r"space\.license is 'Apache 2': give the Hub's name"),
        ("space.tags", ["Talking Head"], r"space\.tags\[0\] is 'Talking Head': give words in small letters"),
        ("space.models", ["HuMo"], r"space\.models\[0\] is 'HuMo': give names of repositories"),
        ("space.preload", ["a/b c d e"], r"space\.preload\[0\] is 'a/b c d e': give lines"),
        ("space.startup_timeout", 600, r"space\.startup_timeout is 600: give a text\."),
        ("space.startup_timeout", "10 min", r"space\.startup_timeout is '10 min': give a number with s, m or h"),
        ("hardware.request", "h200", r"hardware\.request is 'h200': give the Hub's name of a hardware\."),
        ("hardware.fallback", "cpu-basic", r"hardware\.fallback is 'cpu-basic': give another one"),
        ("hardware.sleep_time", "1h", r"hardware\.sleep_time is '1h': give null, for cpu-basic"),
        ("storage.volumes.0.type", "disk", r"storage\.volumes\[0\]\.type is 'disk': give bucket\."),
        ("storage.volumes.0.mount_path", "data", r"storage\.volumes\[0\]\.mount_path is 'data': give a folder"),
        ("storage.volumes.0.size", 5, r"unknown field storage\.volumes\[0\]\.size: use type, "),
        ("storage.volumes", DATA["storage"]["volumes"] * 2, r"storage\.volumes\[1\]\.mount_path is '/data': give each"),
        ("env.variables", {"A": 1}, r"env\.variables is of another kind: give names with texts\."),
        ("env.variables", {"a": "1"}, r"env\.variables has a name that is not in capitals"),
        ("env.variables", {"HF_TOKEN": "x"}, r"env\.variables\.HF_TOKEN looks like a secret: name it in env\.secrets"),
        ("env.secrets", ["a"], r"env\.secrets\[0\] is no name in capitals: give the name alone"),
        ("env.secrets", ["HUMO_MODEL"], r"env\.variables\.HUMO_MODEL is among env\.secrets as well"),
        ("files.include", ["/etc/*"], r"files\.include\[0\] is '/etc/\*': give patterns inside the top folder\."),
        ("files.include", ["a/../../b"], r"files\.include\[0\] is 'a/\.\./\.\./b': give patterns inside"),
        ("files.max_bytes", 0, r"files\.max_bytes is 0: give a number of bytes\."),
        ("files.max_bytes", True, r"files\.max_bytes is True: give a whole number\."),
        ("model.path", "/models", r"model\.path is '/models': give a folder inside the top folder\."),
        ("model.files", {"a.safetensors": "12"}, r"model\.files\.a\.safetensors is '12': give its SHA-256"),
        ("checks.url", "config", r"checks\.url is 'config': give a path that begins with '/'\."),
        ("checks.expect", 42, r"checks\.expect is 42: give an HTTP status, such as 200\."),
        ("checks.timeout", "2", r"checks\.timeout is '2': give a number with s, m or h"),
    ],
)
def test_a_wrong_field_is_one_sentence_that_names_it(tmp_path: Path, place: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        read_spacefile(write_project(tmp_path, {place: value}))
    assert str(told.value).startswith("The Spacefile") and "\n" not in str(told.value)


@pytest.mark.parametrize("place", ["env.secrets", "env.variables"])
def test_what_may_be_a_secret_is_not_repeated(tmp_path: Path, place: str) -> None:
    secret = "hf_" + "x" * 34
    value = [secret] if place == "env.secrets" else {"GREETING": secret}
    with pytest.raises(ValueError) as told:
        read_spacefile(write_project(tmp_path, {place: value}))
    assert place in str(told.value) and secret not in str(told.value)


def test_a_file_that_is_missing_or_no_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^There is no Spacefile in .+: start from the project's folder\.$"):
        read_spacefile(tmp_path)
    write_project(tmp_path)
    (tmp_path / NAME).write_text("version: 1\nspace: [\n")
    with pytest.raises(ValueError, match=r"^The Spacefile is no YAML in line 3: mend it\.$"):
        read_spacefile(tmp_path)
    (tmp_path / NAME).write_text("")
    with pytest.raises(ValueError, match=r"^The Spacefile's content must be a group of fields: version, "):
        read_spacefile(tmp_path)


@pytest.mark.parametrize("emoji", ["🗣️", "🎈", "👩‍🎤", "🇫🇷", "👋🏽"])
def test_emoji_of_several_signs_are_one(tmp_path: Path, emoji: str) -> None:
    assert read_spacefile(write_project(tmp_path, {"space.emoji": emoji})).space.emoji == emoji


def test_durations_are_seconds() -> None:
    assert [seconds(each) for each in ("90s", "10m", "2h")] == [90, 600, 7200]


def test_the_front_matter_says_what_the_hub_reads(tmp_path: Path) -> None:
    changes = {"space.preload": ["openai/whisper-tiny config.json"], "space.embedding": False, "space.tags": []}
    lines = front_matter(read_spacefile(write_project(tmp_path, changes)))
    assert lines.startswith("---\n") and lines.endswith("\n---\n")
    content = yaml.safe_load(lines.strip("-\n"))
    assert content == {
        "title": "HuMo, compact",
        "emoji": "🗣️",
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": "6.31.0",
        "python_version": "3.12.12",
        "app_file": "app.py",
        "suggested_hardware": "cpu-basic",
        "startup_duration_timeout": "10m",
        "header": "mini",
        "fullWidth": True,
        "disable_embedding": True,
        "short_description": "A talking video from text, a picture and a voice",
        "license": "apache-2.0",
        "models": ["bytedance-research/HuMo"],
        "preload_from_hub": ["openai/whisper-tiny config.json"],
    }


def test_the_front_matter_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    spacefile = read_spacefile(write_project(tmp_path))
    first = with_front_matter("# A page\n\n---\nmore\n---\n", spacefile)
    assert first == f"{front_matter(spacefile)}\n# A page\n\n---\nmore\n---\n"
    assert with_front_matter(first.replace("indigo", "red"), spacefile) == first


def test_patterns_choose_the_files_and_hidden_ones_never_match(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    for name in ("humo/.env", "assets/.cache/a.bin", "humo/__pycache__/a.pyc", "humo/widgets.pyi", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not for others")
    files = collect_files(read_spacefile(root), root)
    assert list(files) == ["LICENSE", "README.md", "app.py", WEIGHTS, "humo/__init__.py", "requirements.txt"]
    assert files["app.py"] == root / "app.py"


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("humo/**", ["humo/a.py", "humo/a/b.py"], ["app.py", "other/humo/a.py"]),
        ("**/*.pyi", ["a.pyi", "a/b/c.pyi"], ["a.py", "a/pyi"]),
        ("assets/*.png", ["assets/a.png"], ["assets/b/a.png"]),
        ("a?.py", ["ab.py"], ["a.py", "a/.py"]),
    ],
)
def test_stars_stand_for_what_the_spacefile_says(pattern: str, matching: list[str], others: list[str]) -> None:
    expression = upload._expression(pattern)
    assert [bool(re.fullmatch(expression, name)) for name in matching + others] == [True] * len(matching) + [
        False
    ] * len(others)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files.include": ["app.py", "lessons/**"]}, r"files\.include\[1\], 'lessons/\*\*', matches no file"),
        ({"files.include": ["app.py"]}, r"space\.sdk_version needs requirements\.txt, which files does not include"),
        ({"space.app_file": "page.py"}, r"space\.app_file needs page\.py, which files does not include"),
        ({"files.exclude": ["**/*.safetensors"]}, r"model\.files needs assets/humo-mini/.+, which files does not"),
        ({"files.max_bytes": 20}, r"^The files have \d+ bytes but the Spacefile's files\.max_bytes is 20: exclude"),
    ],
)
def test_files_that_cannot_be_uploaded_are_told(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    root = write_project(tmp_path, changes)
    with pytest.raises(ValueError, match=words):
        collect_files(read_spacefile(root), root)


def test_a_file_that_is_too_large_or_lies_elsewhere_is_told(tmp_path: Path) -> None:
    root = write_project(tmp_path / "project")
    with (root / "assets" / "film.bin").open("wb") as file:
        file.truncate(upload.MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match=r"^assets/film\.bin, .+ has 16,777,217 bytes but a file may have 16,777,216"):
        collect_files(read_spacefile(root), root)
    (root / "assets" / "film.bin").unlink()
    (tmp_path / "private.txt").write_text("mine")
    (root / "assets" / "note.txt").symlink_to(tmp_path / "private.txt")
    with pytest.raises(ValueError, match=r"^assets/note\.txt is a link out of project: put the file itself there"):
        collect_files(read_spacefile(root), root)


def test_weights_and_readme_must_be_those_of_the_spacefile(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    spacefile, weights = read_spacefile(root), root / WEIGHTS
    with pytest.raises(ValueError, match=r"^README\.md does not begin with what the Spacefile says: run `python -m"):
        check_tree(spacefile, root)
    assert refresh(root) == ["README.md"]
    check_tree(spacefile, root)
    weights.write_text("other weights")
    with pytest.raises(ValueError, match=r"model\.safetensors has another SHA-256 than the Spacefile's model\.files\."):
        check_tree(spacefile, root)
    assert refresh(root) == [NAME]
    check_tree(read_spacefile(root), root)
    weights.with_name("more.safetensors").write_text("more")
    with pytest.raises(ValueError, match=r"has transformer/more\.safetensors but there is no Spacefile's model\.files"):
        check_tree(read_spacefile(root), root)
    weights.with_name("more.safetensors").unlink()
    weights.unlink()
    with pytest.raises(ValueError, match=r"lacks transformer/model\.safetensors, the Spacefile's model\.files\."):
        check_tree(spacefile, root)


def test_new_hashes_leave_the_comments() -> None:
    text = "model:\n  path: a   # here\n  files: {}\n\nchecks:  # last\n"
    assert with_hashes(text, {"b": "1", "c": "2"}) == (
        "model:\n  path: a   # here\n  files:\n    b: 1\n    c: 2\n\nchecks:  # last\n"
    )
    assert with_hashes(with_hashes(text, {"b": "1"}), {"c": "2"}) == with_hashes(text, {"c": "2"})
    with pytest.raises(ValueError, match=r"lacks the field model\.files"):
        with_hashes("model:\n", {})


def test_ours_is_up_to_date() -> None:
    spacefile = read_spacefile()
    assert spacefile.model.files == hash_weights(spacefile), "run python -m humo deploy --refresh"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_front_matter(readme, spacefile) == readme, "run python -m humo deploy --refresh"
    check_tree(spacefile)


def test_the_dry_run_shows_the_plan_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["deploy", "--dry-run", "--space", "anna/page", "--hardware", "l4x1"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "Space       anna/page (public)",
        "Hardware    l4x1, or else none",
        "Volume      bucket anna/humo-compact-generations at /data",
        "Variable    HUMO_MODEL=mini",
        "Check       /config answers 200 within 2m",
        front_matter(read_spacefile()).strip(),
    ):
        assert words in shown
    assert re.search(r"^ +[\d,]+ app\.py$", shown, re.MULTILINE) and "hf_x" not in shown
    assert "/training/" not in shown and "tests/" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Error: No Space is given: add --space owner/name."),
        (["--space", "a/b/c"], "Error: There is no Space 'a/b/c': give owner/name."),
        (["--space", "a/b", "--hardware", "h200"], "Error: There is no hardware 'h200': give one of cpu-basic, "),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", *arguments]) == 2
    assert capsys.readouterr().err.startswith(words)


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly the files that a deployment uploads."""
    folder = tmp_path_factory.mktemp("space")
    for name, path in collect_files(read_spacefile()).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    return folder


def test_the_uploaded_files_hold_no_lessons_tests_or_caches(uploaded: Path) -> None:
    names = {path.relative_to(uploaded).as_posix() for path in uploaded.rglob("*") if path.is_file()}
    assert {"app.py", "README.md", "requirements.txt", "humo/space/page/page.css"} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"LICENSE", "README.md", "app.py", "assets", "humo", "requirements.txt"}
    assert not [name for name in names if name.endswith((".pyi", ".pyc", ".ipynb")) or "/training/" in name]


def test_all_that_the_page_imports_is_uploaded(uploaded: Path) -> None:
    """Also what is imported only when it is needed, which no start of the page would show."""
    waiting, seen, missing = [uploaded / "app.py"], set(), []
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in [name for name in names if name.split(".")[0] == "humo"]:
                place = uploaded / name.replace(".", "/")
                found = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
                waiting += found
                original = ROOT / name.replace(".", "/")
                if not found and (original.with_suffix(".py").is_file() or original.is_dir()):
                    missing.append(f"{file.relative_to(uploaded)} imports {name}")
    assert len(seen) > 20 and missing == []


@pytest.mark.slow
def test_the_page_starts_from_the_uploaded_files_alone(uploaded: Path) -> None:
    code = (
        "import app, humo, pathlib\n"
        "from humo.space.environment import prepare\n"
        "prepare()\n"
        "import humo.space.application.serving\n"
        "assert pathlib.Path(humo.__file__).parent == pathlib.Path.cwd() / 'humo', humo.__file__\n"
        "pipe = humo.load('mini', device='cpu')\n"
        "print(len(pipe('a woman talks', num_frames=5, num_inference_steps=1, seed=1).frames))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=uploaded, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "5"
