"""Many videos of a list: what is read, made, kept, refused line by line, and taken up again.

Run: python -m pytest tests/jobs
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny

import humo.generate
from humo.__main__ import main
from humo.generate import Memory
from humo.jobs.command import _options
from humo.jobs.lines import read_lines
from humo.jobs.making import Maker
from humo.jobs.reading import BadLine, Reader, VideoJob
from humo.jobs.report import Keeper, Made
from humo.known.files import read_clip
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState

MAX_ROUNDING = 1.0
"""Levels of 255, on average, by which a video made among others may differ from the same made alone: they may round
otherwise, and of one value in 1000 that is one level off H.264 makes 0.4. Those of two rows differ by 3.6."""


@pytest.fixture(scope="module")
def folder(mini_pipeline: HuMoPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny pipeline."""
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    mini_pipeline.save_pretrained(path)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a picture and a voice in one of its own."""
    (tmp_path / "in").mkdir()
    tiny.picture().save(tmp_path / "in" / "face.png")
    soundfile.write(tmp_path / "in" / "voice.wav", *tiny.voice(0.3))
    return tmp_path


def write_list(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def run(*arguments: object) -> int:
    return main(["generate", "--jobs", *map(str, arguments)])


def report_of(folder: Path) -> dict[int, dict[str, Any]]:
    lines = (folder / "report.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["line"]: entry for entry in map(json.loads, lines)}


def test_a_list_is_made_and_taken_up_again(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any] | str] = [
        {"id": "one", "prompt": "a woman nods", "image": "in/face.png", "frames": 5},
        {"prompt": "a man talks", "audio": "in/voice.wav", "seed": 7, "guidance": "constant", "text_scale": 3},
        "",
        {"id": "far", "prompt": "a man", "image": "in/nobody.png"},
        "{no json",
        {"id": "steep", "prompt": "a man", "frames": 5, "guidance": "constant", "switch": 5},
        {"id": "odd", "prompt": "a man", "frames": 5, "height": 70},
        {"id": "huge", "prompt": "a man", "frames": 5, "enlarge": 500},
    ]
    given = [write_list(place / "list.jsonl", *rows), "--preset", folder, "--steps", "1"]
    assert run(*given) == 1
    shown = capsys.readouterr()
    assert f"{place / 'list' / 'one.mp4'}: 5 frames, 0.20 s, seed " in shown.out
    assert shown.out.strip().endswith(f"2 of 7 videos made, 5 failed: {place / 'list' / 'report.jsonl'}")
    report = report_of(place / "list")
    assert [report[line]["file"] for line in (1, 2)] == ["one.mp4", "video-0002.mp4"]
    assert (report[2]["seed"], report[2]["frames"]) == (7, 9) and report[1]["took"] > 0
    assert report[4] == {
        "line": 4, "id": "far", "error": "Line 4 names the file 'in/nobody.png', which does not exist: check the path.",
    }  # fmt: skip
    assert report[5]["error"] == "Line 5 is no JSON: write one object in braces, with double quotes."
    assert report[6]["error"] == "Line 6 cannot be made: guidance constant has no switch to set: leave it out."
    assert "use at most 128" in report[8]["error"]
    assert "multiple of 32" in report[7]["error"] and report[7]["error"] in shown.err

    rows[4:] = []
    del rows[3]
    write_list(place / "list.jsonl", *rows)
    monkeypatch.setattr(humo.generate, "_load", lambda *given: pytest.fail("nothing is to be made"))
    assert run(*given, "--json") == 0
    kept = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(entry["id"], entry["kept"], entry["seed"]) for entry in kept] == [
        ("one", True, report[1]["seed"]),
        ("video-0002", True, 7),
    ]


def test_what_has_changed_is_made_anew(folder: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"frames": 5, "steps": 1}
    rows = [{"id": name, "prompt": "a woman", "image": f"in/{name}.png", **shared} for name in ("one", "two", "three")]
    for name in ("one", "two", "three"):
        tiny.picture().save(place / "in" / f"{name}.png")
    given = [write_list(place / "list.jsonl", *rows), "--preset", folder, "--out", place / "made"]
    assert run(*given) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (place / "made").glob("*.mp4")}
    tiny.picture(50, 50).save(place / "in" / "two.png")
    rows[2]["prompt"] = "a man"
    write_list(place / "list.jsonl", *rows)
    assert run(*given) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (place / "made").glob("*.mp4")}
    assert {name for name in before if after[name] != before[name]} == {"three.mp4", "two.mp4"}
    assert "2 of 3 videos made, 1 there already" in capsys.readouterr().out
    assert run(*given, "--enlarge", "2") == 0
    assert "3 of 3 videos made:" in capsys.readouterr().out


@pytest.mark.usefixtures("without_bfloat16")
def test_a_video_is_what_the_command_alone_makes(folder: Path, place: Path) -> None:
    row = {"id": "same", "prompt": "a woman", "image": "in/face.png", "audio": "in/voice.wav", "steps": 2, "seed": 3}
    assert run(write_list(place / "list.jsonl", row), "--preset", folder) == 0
    inputs = ["--image", place / "in" / "face.png", "--audio", place / "in" / "voice.wav"]
    out = place / "alone.mp4"
    options = ["--prompt", "a woman", *inputs, "--steps", "2", "--seed", "3", "--preset", folder, "--out", out]
    assert main(["generate", *map(str, options)]) == 0
    assert out.read_bytes() == (place / "list" / "same.mp4").read_bytes()


def test_a_table_says_the_same(place: Path) -> None:
    table = place / "list.csv"
    table.write_bytes(
        "\ufeffid;prompt;images;seed;as_is;text_scale;size\r\n"
        'one;"a woman; she nods";in/face.png|in/face.png;7;yes;"2,5";64x64\r\n'
        ";;;;;;\r\n"
        "two;a man;;;;;\r\n".encode()
    )
    rows = [
        {"id": "one", "prompt": "a woman; she nods", "references": ["in/face.png"] * 2, "seed": 7, "as_is": True,
         "text_scale": 2.5, "size": [64, 64]},
        {"id": "two", "prompt": "a man"},
    ]  # fmt: skip
    found = [list(Reader(place, {"seed": 1}).read(read_lines(path))) for path in
             (table, write_list(place / "list.jsonl", rows[0], "", rows[1]))]  # fmt: skip
    assert all(isinstance(job, VideoJob) for job in found[0])
    assert [(job.line, job.id) for job in found[0]] == [(2, "one"), (4, "two")]
    assert [job.request for job in found[0]] == [job.request for job in found[1]]
    options = {"height": 32, "width": 32, "frames": 9, "image": ["in/other.png"]}
    row = {"prompt": "a", "size": [64, 64], "seconds": 1, "images": "in/face.png"}
    (job,) = Reader(place, options).read(read_lines(write_list(place / "own.jsonl", row)))
    assert (job.request.height, job.request.num_frames) == (64, 25) and len(job.request.images) == 1
    one, two = (job.request for job in found[0])
    assert (one.seed, one.as_is, one.height, len(one.images)) == (7, True, 64, 2) and found[0][0].scales == {
        "text": 2.5
    }
    assert (two.seed, two.images) == (1, ())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"prompt": "a", "prompt": "b"}', "has 'prompt' twice"),
        ("[1]", "is JSON but no object"),
        ({"prompt": "a", "color": "red"}, "has the unknown field 'color': use id, prompt"),
        ({"frames": 5}, "has no prompt"),
        ({"prompt": "x" * 3000}, "has a prompt of 3,000 characters"),
        ({"prompt": 5}, "has prompt 5: give text"),
        ({"prompt": "a", "id": "../x"}, "has the id '../x': give 1 to 80 letters"),
        ({"prompt": "a", "id": "FIRST"}, "has the id 'FIRST' of line 1: give each video an id of its own"),
        ({"prompt": "a", "seed": -1}, "seed must be between 0 and 2**63 - 1 but is -1"),
        ({"prompt": "a", "seed": 1.5}, "seed is 1.5: give a whole number"),
        ({"prompt": "a", "frames": 48}, "frames must be 4k+1"),
        ({"prompt": "a", "frames": 5, "seconds": 2}, "gives frames and seconds"),
        ({"prompt": "a", "seconds": 0}, "seconds is 0: it must be a number from 0.04 to 600"),
        ({"prompt": "a", "steps": 0}, "has steps 0: give a whole number from 1 on"),
        ({"prompt": "a", "text_scale": "much"}, "has text_scale 'much': give a number"),
        ({"prompt": "a", "size": [64]}, "has size [64]: give [height, width]"),
        ({"prompt": "a", "guidance": "cfg"}, "has guidance 'cfg': give one of"),
        ({"prompt": "a", "guidance": {"rule": "cfg"}}, "cfg"),
        ({"prompt": "a", "images": [1]}, "has images [1]: give a path, or a list of them"),
        ({"prompt": "a", "image": "in/voice.wav"}, "not a picture that we read"),
        ({"prompt": "a", "audio": "in/face.png"}, "PNG data, not a sound"),
        ({"prompt": "a", "shift": 40}, "there is no sound to shift"),
        ({"prompt": "a", "mode": "TI"}, "says mode 'TI' and gives what T shows"),
        ({"prompt": "a", "as_is": "perhaps"}, "has as_is 'perhaps': give true or false"),
    ],
)
def test_a_bad_line_is_one_sentence(place: Path, row: dict[str, Any] | str, words: str) -> None:
    lines = read_lines(write_list(place / "list.jsonl", {"id": "first", "prompt": "a"}, row, {"prompt": "b"}))
    first, bad, last = Reader(place, {}).read(lines)
    assert isinstance(first, VideoJob) and isinstance(last, VideoJob) and isinstance(bad, BadLine)
    assert bad.error.startswith("Line 2 ") and words in bad.error and bad.error.endswith((".", ")"))


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("list.txt", b"{}", "", "list.txt must end in .jsonl or .csv"),
        ("list.jsonl", None, "", "does not exist: check the path"),
        ("list.jsonl", b"\n \n", "", "list.jsonl has no line"),
        ("list.jsonl", b"\xff\xfe", "", "is not UTF-8"),
        ("list.csv", b"id,id\n1,2\n", "", "names 'id' twice in its first line"),
        ("list.csv", b'prompt\n"a" b\n', "", "is no table from line 2 on"),
        ("list.jsonl", b'{"prompt": "a"}', "--shots folder", "--jobs and --shots cannot both be"),
        ("list.jsonl", b'{"prompt": "a"}', "--prompt a --prompt b", "2 prompts are given beside --jobs"),
        ("list.jsonl", b'{"prompt": "a"}', "--out list.jsonl", "list.jsonl is a file: give a folder"),
    ],
)
def test_a_list_that_cannot_be(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    options: str,
    words: str,
) -> None:
    monkeypatch.chdir(place)
    if content is not None:
        (place / name).write_bytes(content)
    assert run(name, *options.split()) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and words in last


def test_another_model_is_told_by_its_files(folder: Path, place: Path) -> None:
    weights = place / "lora.safetensors"
    weights.write_bytes(b"one" * 100)
    (first_options, first), (_, weighted) = (
        _options({"preset": str(folder), "lora": [f"{weights}{end}"], "steps": 2}) for end in ("", ":0.5")
    )
    weights.write_bytes(b"two" * 100)
    (_, other), (_, bundled) = (_options({"preset": name, "lora": [str(weights)]}) for name in (str(folder), "mini"))
    assert first_options == {"steps": 2} and first["preset"] == other["preset"] != bundled["preset"]
    assert first["lora"] != other["lora"] and first["lora"] != weighted["lora"]
    assert _options({"preset": "17B", "memory": Memory("24GB")}) == ({}, {"preset": "17B", "memory": "24GB"})


def test_an_interrupted_list_keeps_what_is_made(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": name, "prompt": "a woman", "frames": 5, "steps": 1} for name in ("one", "two")]
    given = [write_list(place / "list.jsonl", *rows), "--preset", folder]
    whole, begun = HuMoPipeline.generate_batch, list[int]()

    def stop_at_the_second(*arguments: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(HuMoPipeline, "generate_batch", stop_at_the_second)
    assert run(*given) == 130
    assert "1 of 2 videos made: Stopped: the same command again goes on from here" in capsys.readouterr().out
    assert [path.name for path in (place / "list").glob("*.mp4")] == ["one.mp4"]
    assert run(*given) == 0 and len(begun) == 3
    assert "1 of 2 videos made, 1 there already" in capsys.readouterr().out


def test_neighbours_of_one_shape_are_made_together(mini_pipeline: HuMoPipeline, place: Path) -> None:
    rows = [{"id": f"n{index}", "prompt": f"person {index}", "frames": 5, "steps": 1} for index in range(3)]
    rows.append({"id": "long", "prompt": "a man", "frames": 9, "steps": 1})
    jobs = list(Reader(place, {}).read(read_lines(write_list(place / "list.jsonl", *rows))))
    sizes: list[int] = []

    def show(state: StepState) -> None:
        sizes.append(len(state.latents))

    for most in (1, 4):
        (place / f"by{most}").mkdir()
        maker = Maker(mini_pipeline, Keeper(place / f"by{most}", {}), most, show)
        possible, impossible = maker.check(jobs)
        assert impossible == [] and all(isinstance(made, Made) for made in maker.make(possible))
    assert sizes == [1, 1, 1, 1, 3, 1]
    alone, together = (
        {row["id"]: read_clip(place / by / f"{row['id']}.mp4")[0].astype(int) for row in rows} for by in ("by1", "by4")
    )
    for name, frames in alone.items():
        assert np.abs(frames - together[name]).mean() < MAX_ROUNDING
        others = [other[: len(frames)] for each, other in together.items() if each != name]
        assert min(np.abs(frames[: len(other)] - other).mean() for other in others) > 2 * MAX_ROUNDING


def test_one_that_fails_does_not_spoil_its_batch(
    mini_pipeline: HuMoPipeline, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"n{index}", "prompt": f"person {index}", "frames": 5, "steps": 1} for index in range(3)]
    jobs = list(Reader(place, {}).read(read_lines(write_list(place / "list.jsonl", *rows))))
    whole = HuMoPipeline.generate_batch

    def too_much(pipe: HuMoPipeline, calls: Any, *rest: Any) -> Any:
        if any(call.request.prompt == "person 1" for call in calls):
            raise RuntimeError("out of memory\nand more")
        return whole(pipe, calls, *rest)

    monkeypatch.setattr(HuMoPipeline, "generate_batch", too_much)
    maker = Maker(mini_pipeline, Keeper(place, {}), 4)
    found = {entry.plain()["id"]: entry.plain() for entry in maker.make(maker.check(jobs)[0])}
    assert found["n1"]["error"] == "Line 2 cannot be made: RuntimeError: out of memory"
    assert found["n0"]["file"] == "n0.mp4" and found["n2"]["file"] == "n2.mp4"
