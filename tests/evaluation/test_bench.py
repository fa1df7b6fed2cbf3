"""The bench of published models: videos made once, judged once, reported."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import tiny
import torch
import typer
from benches import FRAMES, bench_folder, line, picture_weights

from humo.evaluation.published import command
from humo.evaluation.published.cases import BenchCase, read_bench
from humo.evaluation.published.command import find_videos, run_bench
from humo.evaluation.published.generation import Settings, generate_bench
from humo.evaluation.published.instruments.metric import looks, read_video
from humo.evaluation.published.judging import SCORES, Judgement, judge
from humo.evaluation.published.report import summarize, write_report
from humo.media import write_video
from humo.system.fingerprint import fingerprint_large_pipeline


@pytest.fixture()
def bench(tmp_path):
    """Writes lines into a bench folder and returns it."""
    return partial(bench_folder, tmp_path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of CLIP, DINO and the aesthetic head."""
    return picture_weights(tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
def test_videos_are_made_once_and_again_when_anything_changes(bench, tmp_path, mini_pipeline):
    folder = bench(line(frames=5), line(id="two", mode="T", references=None, audio=None, frames=5))
    out, made = tmp_path / "videos", []

    def run(pipe=mini_pipeline, **settings):
        made.clear()
        generate_bench(pipe, read_bench(folder), out, Settings(**settings), lambda c, n: made.append((c.id, n)))
        return made

    assert run(num_inference_steps=1) == [("one", True), ("two", True)]
    frames = read_video(out / "one.mp4")
    assert frames.frames.shape == (5, 64, 64, 3) and frames.waveform.shape == (5 * 640,)
    assert read_video(out / "two.mp4").waveform is None
    assert run(num_inference_steps=1) == [("one", False), ("two", False)]
    (out / "one.json").write_text("{")
    assert run(num_inference_steps=1) == [("one", True), ("two", False)]
    tiny.picture(50, 50).save(folder / "anna.png")
    assert run(num_inference_steps=1) == [("one", True), ("two", False)]
    assert run(num_inference_steps=2) == [("one", True), ("two", True)]
    assert {path.suffix for path in out.iterdir()} == {".mp4", ".json"}


def test_a_training_step_changes_the_models_key(mini_pipeline):
    key = fingerprint_large_pipeline(mini_pipeline)
    assert key == fingerprint_large_pipeline(mini_pipeline)
    bias = mini_pipeline.transformer.proj_out.bias
    with torch.no_grad():
        bias.add_(1e-3)
        assert fingerprint_large_pipeline(mini_pipeline) != key
        bias.sub_(1e-3)


def test_a_case_that_the_model_cannot_make_is_named(bench, tmp_path, mini_pipeline):
    cases = read_bench(bench(line(prompt="x" * 1999, frames=5, size=[16, 16_000])))
    with pytest.raises(ValueError, match="Case 'one' cannot be made: "):
        generate_bench(mini_pipeline, cases, tmp_path / "v", Settings())
    assert not list((tmp_path / "v").glob("*.mp4"))


@pytest.fixture()
def given_videos(bench, tmp_path):
    """A bench of three cases, with videos of two."""
    folder = bench(
        line(id="a", mode="TI", audio=None), line(id="b", mode="T", references=None, audio=None), line(id="c")
    )
    videos = tmp_path / "given"
    videos.mkdir()
    for name in "ab":
        write_video(videos / f"{name}.mp4", FRAMES)
    return folder, videos


def test_scores_are_kept_and_only_what_changed_is_judged_again(given_videos, weights, tmp_path):
    folder, videos = given_videos
    cases, measured = read_bench(folder), []

    def run():
        measured.clear()
        names = ["AES", "CLIP-I", "Sync-C", "VLM-QA"]
        found = find_videos(cases, videos)
        return judge(found, cases, names, weights, tmp_path, lambda name, case: measured.append((name, case)))

    first = run()
    assert measured == [("AES", "a"), ("AES", "b"), ("CLIP-I", "a")]
    assert first.left_out == {
        "Sync-C": "no judged case has a sound",
        "VLM-QA": "no judged case has questions",
    }
    assert run().scores == first.scores and not measured
    write_video(videos / "b.mp4", 255 - FRAMES)
    changed = run()
    assert measured == [("AES", "b")]
    assert changed.scores["AES"]["a"] == first.scores["AES"]["a"]
    assert changed.scores["AES"]["b"] != first.scores["AES"]["b"]
    (tmp_path / SCORES).write_text("[")
    with pytest.raises(ValueError, match="scores.json in .* is damaged: delete it"):
        run()


def test_the_report_tells_means_intervals_what_is_left_out_and_the_papers_tables(tmp_path):
    cases = [BenchCase(id=str(n), prompt="p", mode="TI" if n < 4 else "TIA") for n in range(6)]
    scores = {
        "AES": dict(zip("012345", (0.4, 0.5, 0.6, 0.7, 0.2, 0.4), strict=True)),
        "ID-Cur": {"0": 0.5, "1": math.nan, "4": math.nan},
    }
    judgement = Judgement(scores, {"IQA": "IQA needs weights."})
    table = summarize(judgement, cases)
    assert set(table) == {"TI", "TIA", "all"}
    aes = table["TI"]["AES"]
    assert aes["mean"] == pytest.approx(0.55) and aes["interval"][0] < 0.55 < aes["interval"][1]
    assert table["TI"]["ID-Cur"] == {"mean": 0.5, "interval": None, "measured": 1, "judged": 2}
    assert table["TIA"]["ID-Cur"]["mean"] is None and table["all"]["AES"]["judged"] == 6
    path = write_report(tmp_path, judgement, cases, {"model": "1.7B", "bench": "mine"}, ["9"])
    text = path.read_text()
    assert "| AES | 0.550 (" in text and "nothing found / 0 of 1" in text
    assert "| AES | 0.550" in text.partition("Subject task")[2] and "| 0.586 | 0.657 |" in text
    assert "| Sync-D | not measured | 8.648 | 8.577 |" in text
    assert "- IQA: IQA needs weights." in text and "- HSP: the paper defines neither" in text
    assert "videos that are not there: 9" in text
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["scores"]["ID-Cur"] == {"0": 0.5, "1": None, "4": None}


def test_run_bench_from_folder_to_report_and_on_from_there(bench, tmp_path, weights, mini_pipeline):
    mini_pipeline.save_pretrained(tmp_path / "model")
    folder = bench(line(frames=5), line(id="two", mode="T", references=None, audio=None, frames=5))
    told = []
    options = dict(preset=str(tmp_path / "model"), weights=weights.folder, steps=1, tell=told.append)
    names = ["IQA", "CLIP-I", "DINO-I"]
    path = run_bench(folder, tmp_path / "out", metrics=names, **options)
    report = json.loads((path.parent / "report.json").read_text())
    assert set(report["modes"]["TIA"]) == {"CLIP-I", "DINO-I"}
    assert report["left_out"].keys() == {"IQA"} and "musiq_spaq" in report["left_out"]["IQA"]
    assert any(text.startswith("Left out: IQA needs") for text in told)
    told.clear()
    run_bench(folder, tmp_path / "out", metrics=names, **options)
    assert told[1:] == ["video 1 of 2: one, there already", "video 2 of 2: two, there already"]
    with pytest.raises(ValueError, match="IQA needs musiq_spaq"):
        run_bench(folder, tmp_path / "none", metrics=["IQA"], **options)
    assert not (tmp_path / "none").exists(), "refused before anything is made"
    with pytest.raises(ValueError, match="bench has no video of the bench: name them after the ids"):
        run_bench(folder, tmp_path / "none", metrics=["DINO-I"], videos=folder, weights=weights.folder)


def test_the_command_tells_needs_and_refuses_wrong_calls(bench, tmp_path, capsys):
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command.bench)

    def run(*arguments):
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    assert "Sync-C: confidence" in run("--needs", "--metrics", "sync-c")
    with pytest.raises(ValueError, match="No bench is given: add --bench FOLDER"):
        run()
    with pytest.raises(ValueError, match="metrics names 'fid'"):
        run("--metrics", "fid")
    folder = bench(line())
    with pytest.raises(ValueError, match="None of the 11 metrics can be loaded. AES needs"):
        run("--bench", folder, "--out", tmp_path / "out", "--weights", tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing more")
    with pytest.raises(ValueError, match="video a.mp4 cannot be judged"):
        read_video(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="video b.mp4 does not exist"):
        read_video(tmp_path / "b.mp4")


def test_looks_are_even_and_reach_both_ends():
    assert looks(97, 32)[[0, -1]].tolist() == [0, 96] and looks(3, 32).tolist() == [0, 1, 2]
