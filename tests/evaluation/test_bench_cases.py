"""Bench folders: every line is read or refused."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
import tiny
from benches import bench_folder, line

from humo.evaluation.published.cases import BENCH, Question, read_bench


@pytest.fixture()
def bench(tmp_path):
    """Writes lines into a bench folder and returns it."""
    return partial(bench_folder, tmp_path)


def test_a_bench_is_read_line_by_line(bench):
    folder = bench(
        line(seed=3, size=[64, 96], frames=9, questions=[{"ask": "Is she there?", "answer": "yes"}]),
        "",
        line(id="two", mode="T", references=None, audio=None),
    )
    first, second = read_bench(folder)
    assert first.references == ((folder / "anna.png").resolve(),) and first.audio == (folder / "anna.wav").resolve()
    assert (first.seed, first.size, first.frames) == (3, (64, 96), 9)
    assert first.questions == (Question("Is she there?", "yes"),)
    assert (second.mode, second.references, second.audio, second.size, second.frames) == ("T", (), None, None, None)


def test_a_seed_follows_from_the_id_alone(bench):
    alone = read_bench(bench(line(id="x")))[0].seed
    assert read_bench(bench(line(id="w"), line(id="x")))[1].seed == alone
    assert read_bench(bench(line(id="y")))[0].seed != alone


HOSTILE = {
    "no JSON": ("{id: one}", "is no JSON: write"),
    "deep": ("[" * 100_000, "is no JSON: write"),
    "long number": ('{"id": "a", "seed": ' + "9" * 5000 + "}", "is no JSON: write"),
    "list": ("[1]", "no object"),
    "key twice": ('{"id": "a", "id": "b"}', "'id' twice"),
    "unknown key": (line(refrences=["anna.png"]), "unknown key 'refrences': use id, prompt"),
    "no id": (line(id=None), "the id None"),
    "id with folder": (line(id="../one"), "the id '../one'"),
    "hidden id": (line(id=".one"), "no sign first"),
    "id is a number": (line(id=7), "the id 7"),
    "unknown mode": (line(mode="IA"), "the mode 'IA': use T, TI, TA, TIA"),
    "mode is a list": (line(mode=["T"]), "use T, TI, TA, TIA"),
    "empty prompt": (line(prompt="  "), "no prompt of 1 to 2000"),
    "long prompt": (line(prompt="a" * 2001), "no prompt of 1 to 2000"),
    "no reference": (line(references=None), "gives no references, which mode TIA needs"),
    "reference too many": (line(mode="TA"), "gives references, which mode TA does not show"),
    "no audio": (line(audio=None), "gives no audio, which mode TIA needs"),
    "audio too many": (line(mode="TI"), "gives audio, which mode TI does not show"),
    "references no list": (line(references="anna.png"), "no list of paths"),
    "missing file": (line(references=["bob.png"]), "'bob.png', which is not there: check"),
    "outside": (line(references=["../../etc/passwd"]), "outside the bench folder: copy"),
    "absolute": (line(audio="/etc/passwd"), "outside the bench folder: copy"),
    "zero byte": (line(audio="a\0b"), "no file can be called"),
    "folder": (line(references=["."]), "which is not there"),
    "no picture": (line(references=["anna.wav"]), "picture anna.wav holds WAV data"),
    "no sound": (line(audio="anna.png"), "sound anna.png holds PNG data"),
    "negative seed": (line(seed=-1), "the seed -1: give a whole number"),
    "true seed": (line(seed=True), "the seed True"),
    "odd size": (line(size=[64, 100]), "in multiples of 16"),
    "one side": (line(size=[64]), "in multiples of 16"),
    "frames": (line(frames=96), "frames must be 4k+1 (1, 5, … 97) but is 96: use 97"),
    "questions": (line(questions=[{"ask": "Is it?", "answer": "maybe"}]), "questions that cannot be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_is_refused_in_one_sentence_with_its_number(bench, name):
    hostile, told = HOSTILE[name]
    with pytest.raises(ValueError) as error:
        read_bench(bench(line(id="good"), "", hostile))
    text = str(error.value)
    assert text.startswith("bench.jsonl line 3") and told in text and "\n" not in text
    assert re.search(r": \w.*\.$", text), f"no remedy in {text!r}"
    assert "/bench/" not in text


def test_ids_differ_in_more_than_case(bench):
    with pytest.raises(ValueError, match="line 2 has the id 'One' of line 1"):
        read_bench(bench(line(id="one"), line(id="One")))


def test_a_link_out_of_the_folder_is_refused(bench, tmp_path):
    folder = bench(line(references=["link.png"]))
    tiny.picture().save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match="outside the bench folder"):
        read_bench(folder)


def test_a_bench_without_cases_or_file_or_utf8_is_refused(bench, tmp_path):
    with pytest.raises(ValueError, match="has no bench.jsonl"):
        read_bench(tmp_path)
    with pytest.raises(ValueError, match="has no case"):
        read_bench(bench("", " "))
    folder = bench("")
    (folder / BENCH).write_bytes(b'{"id": "\xff"}')
    with pytest.raises(ValueError, match="line 1 is not UTF-8"):
        read_bench(folder)
    (folder / BENCH).write_bytes(b"\xef\xbb\xbf" + json.dumps(line()).encode() + b"\r\n")
    assert len(read_bench(folder)) == 1
