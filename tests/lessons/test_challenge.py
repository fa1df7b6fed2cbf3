"""The challenge: schedules are read and refused, scored on equal cases, compared case by case, and kept."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from humo import guidance
from humo.evaluation.cases import make_cases
from humo.evaluation.judging import judge_each
from humo.evaluation.probes.networks import OPTIONS, ProbeOutput, Probes, ProbeSettings
from humo.evaluation.probes.training import train_probes
from humo.pipeline import HuMoPipeline
from notebooks import challenge
from notebooks.challenge import main
from notebooks.grade import LESSONS
from notebooks.scoring import (
    BUNDLED,
    Challenge,
    Score,
    difference,
    name_schedules,
    ranking,
    read_schedule,
    score_rules,
    verdict,
)

QUICK = ProbeSettings(steps=1, batch_size=40, num_plans=16, size=64, num_motion_clips=4, motion_steps=2, num_test=16)
SMALL = Challenge(seed=3, cases=4, frames=9)
PLAIN = {"rule": "constant", "text": 1.0, "image": 1.0, "audio": 1.0}
STRONG = {"rule": "paper", "text": 3.0, "image": {"ramp": "linear", "early": 2.0, "late": 4.0}, "audio": 5.0}


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Probes:
    """Eyes that hardly see."""
    folder = tmp_path_factory.mktemp("eyes")
    train_probes(QUICK).save(folder, QUICK)
    return Probes.load(folder)


# Comparison


def made_up(name: str, shift: float = 0.0, wobble: float = 0.0, cases: int = 24) -> Score:
    """Cases that differ much for everybody, and a shift for all of them."""
    rng = np.random.default_rng(0)
    parts = {key: rng.uniform(0, 1, cases) for key in ("text", "identity", "sync")}
    parts["identity"][::2] = np.nan
    own = np.random.default_rng(len(name))
    return Score(name, {key: each + shift + wobble * own.normal(size=cases) for key, each in parts.items()}, 32)


def test_a_difference_is_told_case_by_case():
    """Alone each wanders far; against each other the same cases say which is better."""
    one, other = made_up("one", 0.04, wobble=0.01), made_up("another")
    alone = np.ptp([one.total(np.random.default_rng(k).integers(24, size=24)) for k in range(40)])
    value, bounds = difference(one, other)
    assert value == pytest.approx(0.04, abs=0.02) and alone > 0.1 > bounds[1] - bounds[0]
    assert verdict(bounds) == "better" and verdict(difference(other, one)[1]) == "worse"


def test_a_difference_that_cases_turn_round_is_not_decided():
    assert verdict(difference(made_up("a", 0.01, wobble=0.3), made_up("bb"))[1]) == "not decided"
    assert verdict(difference(made_up("a"), made_up("a"))[1]) == "not decided", "equal ones are no better"
    assert verdict(None) == verdict([0.0003, 0.024]) == verdict([-0.024, -0.0003]) == "not decided"
    assert verdict([0.0006, 0.024]) == "better" and verdict([-0.024, -0.0006]) == "worse"


def test_the_score_is_the_mean_of_what_was_asked():
    nan = np.nan
    parts = {"text": [1.0, 0.5], "identity": [nan, 0.2], "sync": [nan, nan]}
    score = Score("x", {name: np.array(values) for name, values in parts.items()}, 1)
    assert score.part("identity") == 0.2 and np.isnan(score.part("sync"))
    assert score.total() == pytest.approx((0.75 + 0.2) / 2) and score.total(np.array([0, 0])) == 1.0


def test_the_table_is_in_order_and_compares_with_the_bundled_rule():
    scores = [made_up(BUNDLED), made_up("best", 0.05, 0.005), made_up("worst", -0.05, 0.005)]
    lines = ranking(scores).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:5]]
    assert [row[1] for row in rows] == ["best", BUNDLED, "worst"] and [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][7].endswith(", better") and rows[1][7] == "" and rows[2][7].endswith(", worse")
    assert rows[0][8].endswith(", better") and rows[1][8].endswith(", better") and rows[2][8] == ""
    assert rows[0][7].startswith("+0.05") and rows[0][6] == "32" and "24 cases" in lines[-1]


def test_every_case_is_judged_alone():
    cases = make_cases(6, seed=3, num_frames=25, size=64)

    def reading(case):
        shares = {name: np.eye(len(options))[options.index(case.truth(name))] for name, options in OPTIONS.items()}
        return ProbeOutput(np.ones(25), case.clip.openness, case.clip.width, shares, np.zeros(8), 0.0)

    perfect = judge_each(cases, [reading(case) for case in cases], "TIA")
    assert np.isnan(perfect["identity"]).tolist() == [not case.is_unnamed for case in cases]
    assert all(np.allclose(values[~np.isnan(values)], 1) for values in perfect.values())
    strangers = judge_each(cases, [reading(case) for case in [*cases[1:], cases[0]]], "TIA")
    assert all(np.nanmean(values) < 0.8 for values in strangers.values())
    assert set(judge_each(cases, [reading(case) for case in cases], "T")) == {"text"}
    late = [reading(case) for case in cases]
    late = [ProbeOutput(r.face, np.roll(r.openness, 2), r.width, r.shares, r.features, 0.0) for r in late]
    assert np.nanmean(judge_each(cases, late, "TA", lag=2)["sync"]) > 0.99
    assert np.nanmean(judge_each(cases, late, "TA")["sync"]) < 0.9
    silent = [case.clip.openness.std() < 0.02 for case in cases]
    assert any(silent) and np.isnan(perfect["sync"]).tolist() == silent


# Schedules


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "give JSON such as"),
        ("[1, 2]", "give JSON such as"),
        ('{"rule": "best"}', "guidance rule 'best' is unknown: use one of"),
        ('{"rule": "constant", "image": 1000}', "guidance image"),
        ('{"rule": "constant", "image": NaN}', "guidance image"),
        ('{"rule": "constant", "voice": 1}', "has no 'voice'"),
        ('{"rule": "paper", "early": [1, 2]}', "early must be three scales"),
        ('{"rule": "paper", "text": {"ramp": "__import__"}}', "'__import__' is unknown"),
        ("[" * 9_000, "is no JSON"),
        ('{"rule": "' + "x" * 20_000 + '"}', "has more than 10,000 bytes"),
        ("\xff\xfe", "give JSON such as"),
    ],
    ids=range(11),
)
def test_a_bad_schedule_is_told_in_one_short_sentence(tmp_path: Path, content: str, sentence: str):
    path = tmp_path / "ada.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_schedule(path)
    told = str(error.value)
    assert sentence in told and "ada.json" in told and "\n" not in told and len(told) < 300


def test_what_is_no_text_or_no_file_is_told(tmp_path: Path):
    (tmp_path / "ada.json").write_bytes(b"\xff\xfe\x00{")
    for name, sentence in (("ada.json", "is no JSON"), ("bob.json", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(ValueError, match=sentence):
            read_schedule(tmp_path / name)


def test_a_schedule_is_a_rule_of_the_library(tmp_path: Path):
    path = tmp_path / "ada.json"
    path.write_text(json.dumps(STRONG))
    assert guidance.make_rule(read_schedule(path))(500.0) == guidance.make_rule(STRONG)(500.0)


def test_the_schedules_in_the_texts_can_be_read(tmp_path: Path):
    texts = [(LESSONS / "README.md").read_text(), challenge.__doc__ or ""]
    shown = re.compile(r'^\{"rule".*?\}$|\{"rule".*?\}(?=\.\s)', re.MULTILINE)
    written = [found for text in texts for found in shown.findall(text)]
    assert len(written) == 2
    for text in written:
        (tmp_path / "mine.json").write_text(text)
        guidance.make_rule(read_schedule(tmp_path / "mine.json"))


def test_files_of_one_name_keep_their_folders():
    paths = [Path("a/x.json"), Path("b/x.json"), Path("b/y.json"), Path(f"{BUNDLED}.json"), Path("b/p|q\n.json")]
    names = list(name_schedules(paths))
    assert names == ["a/x.json", "b/x.json", "y", f"{BUNDLED}.json", "p_q_"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": -1}, "seed is -1: give a whole number from 0 on."),
        ({"cases": 1}, "cases is 1: give a whole number from 2 on."),
        ({"frames": 10}, "frames is 10: give 4k+1, for example 49."),
        ({"steps": 1.5}, "steps is 1.5: give a whole number from 1 on."),
        ({"split": "train"}, "split is 'train': use test or validation."),
    ],
)
def test_a_challenge_that_cannot_be_is_refused(changes: dict, sentence: str):
    with pytest.raises(ValueError) as error:
        Challenge(**{"seed": 3, **changes})
    assert str(error.value) == sentence


# Scores, with a tiny model


def counted(pipe: HuMoPipeline, stop_after: int | None = None):
    """Passes of the network, as a list that grows; a hook that interrupts after some of them."""
    passes = []

    def count(*_):
        passes.append(1)
        if stop_after is not None and len(passes) > stop_after:
            raise KeyboardInterrupt

    return passes, pipe.transformer.register_forward_hook(count)


def test_all_schedules_meet_the_same_cases(mini_pipeline: HuMoPipeline, probes: Probes, tmp_path: Path):
    own = dict(mini_pipeline.config.default_guidance)
    bundled, same, plain = score_rules(mini_pipeline, probes, SMALL, {"same": own, "plain": PLAIN}, tmp_path)
    assert [score.name for score in (bundled, same, plain)] == [BUNDLED, "same", "plain"]
    assert all(np.array_equal(bundled.parts[key], same.parts[key], equal_nan=True) for key in bundled.parts)
    assert plain.passes == 2 < bundled.passes and len(plain) == 4
    assert any(not np.array_equal(bundled.parts[key], plain.parts[key], equal_nan=True) for key in plain.parts)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}, "no videos are left"
    passes, hook = counted(mini_pipeline)
    again = score_rules(mini_pipeline, probes, SMALL, {"plain": PLAIN}, tmp_path)
    hook.remove()
    assert passes == [] and again[1].total() == plain.total()


def test_another_seed_means_other_cases(mini_pipeline: HuMoPipeline, probes: Probes, tmp_path: Path):
    one, other = (score_rules(mini_pipeline, probes, Challenge(seed=seed, cases=2, frames=9), {}, tmp_path)[0]
                  for seed in (3, 2**31 - 1))  # fmt: skip
    assert one.parts["sync"].tolist() != other.parts["sync"].tolist()


def test_what_was_interrupted_goes_on(mini_pipeline: HuMoPipeline, probes: Probes, tmp_path: Path):
    rules = {"plain": PLAIN, "strong": STRONG}
    passes, hook = counted(mini_pipeline)
    whole = score_rules(mini_pipeline, probes, SMALL, rules, tmp_path / "whole")
    hook.remove()
    _, hook = counted(mini_pipeline, stop_after=len(passes) - 2)  # in the last schedule
    with pytest.raises(KeyboardInterrupt):
        score_rules(mini_pipeline, probes, SMALL, rules, tmp_path / "parts")
    hook.remove()
    left, hook = counted(mini_pipeline)
    resumed = score_rules(mini_pipeline, probes, SMALL, rules, tmp_path / "parts")
    hook.remove()
    assert 0 < len(left) < len(passes) / 2
    assert [score.total() for score in resumed] == [score.total() for score in whole]


def test_numbers_beyond_all_reason_still_get_a_score(mini_pipeline: HuMoPipeline, probes: Probes, tmp_path: Path):
    wild = {"rule": "paper", "text": 100.0, "image": -100.0, "audio": 100.0}
    scores = score_rules(mini_pipeline, probes, SMALL, {"wild": wild}, tmp_path)
    assert all(np.isfinite(score.total()) for score in scores) and "wild" in ranking(scores)


# Commands


@pytest.fixture(scope="module")
def class_room(probes: Probes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's folder with trained probes, a tiny model, and three schedules, one of them bad."""
    folder = tmp_path_factory.mktemp("class")
    probes.save(folder / "probes", QUICK)
    tiny.pipeline("mini").save_pretrained(folder / "model")
    for name, text in (("ada", json.dumps(PLAIN)), ("bob", json.dumps(STRONG)), ("cyd", "print('me first')")):
        (folder / f"{name}.json").write_text(text)
    return folder


def test_a_class_from_the_seed_to_the_table(class_room: Path, capsys: pytest.CaptureFixture):
    assert main(["new", "--out", str(class_room), "--cases", "2", "--frames", "9", "--steps", "1"]) == 0
    seed = json.loads((class_room / "seed.json").read_text())["seed"]
    told = capsys.readouterr()
    assert str(seed) not in told.out + told.err and "Keep" in told.out
    files = [str(class_room / f"{name}.json") for name in ("ada", "bob", "cyd")]
    call = ["score", *files, "--seed-file", str(class_room / "seed.json"), "--preset", str(class_room / "model")]
    assert main(call) == 0, "with the bundled probes"
    out = capsys.readouterr().out
    assert all(f"| {name} |" in out for name in ("ada", "bob", BUNDLED)) and "| cyd |" not in out
    assert "left out: cyd.json: guidance is" in out and out.count("left out") == 1
    assert main(["new", "--out", str(class_room)]) == 2
    assert "seed.json exists already" in capsys.readouterr().err
    assert json.loads((class_room / "seed.json").read_text())["seed"] == seed


def test_students_practise_on_other_cases(class_room: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    sizes = ["--cases", "2", "--frames", "9", "--steps", "1", "--preset", str(class_room / "model")]
    places = ["--probes", str(class_room / "probes"), "--out", str(tmp_path / "practice")]
    assert main(["try", str(class_room / "ada.json"), *sizes, *places]) == 0
    assert "| ada |" in capsys.readouterr().out
    assert len(list((tmp_path / "practice" / "scores").glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["try", "{}/cyd.json", "--out", "{}/practice"], "No schedule is left"),
        (["score", "{}/ada.json", "--seed-file", "{}/none.json"], "holds no challenge"),
        (["score", "{}/ada.json", "--seed-file", "{}/ada.json"], "holds no challenge"),
        (["try", "{}/ada.json", "--out", "{}/practice", "--frames", "10"], "frames is 10: give 4k+1"),
        (["new", "--out", "{}/ada.json"], "is a file: give a folder"),
    ],
)
def test_wrong_calls_of_the_challenge_are_one_sentence(class_room: Path, capsys, arguments: list[str], sentence: str):
    assert main([argument.format(class_room) for argument in arguments]) == 2
    assert sentence in capsys.readouterr().err
