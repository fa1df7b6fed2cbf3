"""Evaluation: figures by hand, cases, probes, and the whole way from a tiny model to a report.

python -m pytest tests/evaluation/test_evaluation.py
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from humo.__main__ import main
from humo.evaluation import metrics
from humo.evaluation.cases import Case, make_cases
from humo.evaluation.command import _read_guidance, _read_modes
from humo.evaluation.generation import generate, settings_for
from humo.evaluation.judging import judge
from humo.evaluation.masks import mask_iou_by_noise
from humo.evaluation.measure import EvaluationSettings, evaluate_pipeline
from humo.evaluation.probes.networks import (
    OPTIONS,
    ProbeOutput,
    Probes,
    ProbeSettings,
    measure_grain,
)
from humo.evaluation.probes.training import get_probes
from humo.evaluation.report import write_report, write_samples, write_sheet
from humo.references import to_frames, to_pixels
from humo.world.captions import compose_caption, write_caption
from humo.world.clips import plan_clip
from humo.world.people import IDENTITY_ATTRIBUTES

QUICK = ProbeSettings(steps=1, batch_size=40, num_plans=16, size=64, num_motion_clips=4, motion_steps=2, num_test=16)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return make_cases(6, seed=3, num_frames=25, size=64)


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Probes:
    return get_probes(tmp_path_factory.mktemp("probes"), QUICK, tiny.codec())


def perfect_reading(case: Case) -> ProbeOutput:
    """What flawless eyes would read in a render."""
    shares = {name: np.eye(len(options))[options.index(case.truth(name))] for name, options in OPTIONS.items()}
    frames = len(case.clip.frames)
    return ProbeOutput(np.ones(frames), case.clip.openness, case.clip.width, shares, np.zeros(8), 0.0)


# Metrics


@pytest.mark.parametrize("lag", [-2, -1, 0, 1, 2])
def test_best_lag_finds_the_shift_of_all_clips(lag: int) -> None:
    curves = np.random.default_rng(0).random((3, 40))
    late = [3 * np.roll(curve, lag)[5:35] + 1 for curve in curves]
    scores = metrics.sync_scores(late, [curve[5:35] for curve in curves])
    assert metrics.best_lag(scores) == lag
    np.testing.assert_allclose(np.diag(scores[lag]), 1.0)


def test_one_lag_for_all_does_not_flatter_strangers() -> None:
    curves = np.random.default_rng(0).random((40, 49))
    scores = metrics.sync_scores(curves[:20], curves[20:])
    picked = np.max([np.diag(matrix) for matrix in scores.values()], axis=0)  # a lag of its own for each clip
    assert abs(np.diag(scores[metrics.best_lag(scores)]).mean()) < 0.1 < picked.mean()


def test_flat_curves_have_no_sync() -> None:
    assert metrics.lagged_correlation(np.ones(20), np.random.default_rng(0).random(20), 1) == 0


def test_curves_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        metrics.lagged_correlation(np.zeros(20), np.zeros(21), 0)


def test_loudness_is_the_root_mean_square_of_each_frame() -> None:
    waveform = np.repeat(np.array([0.0, 0.5, -1.0], np.float32), 640)
    np.testing.assert_allclose(metrics.loudness(waveform, 3), [0.0, 0.5, 1.0])


def test_shares_count_what_was_asked() -> None:
    hits = [{"skin": True, "beard": False}, {"skin": True}, {}]
    assert metrics.share(hits) == pytest.approx(2 / 3)
    assert metrics.share_by_attribute(hits) == {"skin": (1.0, 2), "beard": (0.0, 1)}
    assert np.isnan(metrics.share([{}]))


def test_frechet_distance_of_equal_and_of_shifted_sets() -> None:
    features = np.random.default_rng(0).standard_normal((50, 5))
    features /= features.std(0)
    assert metrics.frechet_distance(features, features) == 0
    assert metrics.frechet_distance(features + 2, features) == pytest.approx(4)
    assert metrics.frechet_distance(3 * (features - features.mean(0)), features - features.mean(0)) == pytest.approx(4)


def test_grain_is_the_usual_distance_to_the_neighbours() -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 80 + 100).astype(np.uint8)
    frames = np.repeat(board[None, ..., None], 3, axis=3)
    assert measure_grain(frames) == pytest.approx(40)  # half of the neighbours differ by 80
    assert measure_grain(np.full((1, 16, 16, 3), 90, np.uint8)) == 0


def test_interval_holds_the_mean() -> None:
    values = np.random.default_rng(0).random(100)
    low, high = metrics.interval(lambda index: float(values[index].mean()), 100)
    assert low < values.mean() < high
    assert high - low < 0.15
    assert metrics.interval(lambda index: 0.0, 1) is None


# Cases


def test_cases_are_held_out_and_repeatable(cases: list[Case]) -> None:
    again = make_cases(6, seed=3, num_frames=25, size=64)
    assert [case.captions for case in again] == [case.captions for case in cases]
    np.testing.assert_array_equal(again[5].clip.frames, cases[5].clip.frames)
    np.testing.assert_array_equal(again[5].clip.waveform, cases[5].clip.waveform)
    assert all(case.clip.plan.held_out and case.clip.plan.distractor != "second" for case in cases)
    assert make_cases(1, seed=4, num_frames=5, size=64)[0].captions != cases[0].captions


def test_half_of_the_cases_leave_the_person_to_the_picture(cases: list[Case]) -> None:
    for case in cases:
        for mode, caption in case.captions.items():
            is_left_out = case.is_unnamed and "I" in mode
            assert caption.named.isdisjoint(IDENTITY_ATTRIBUTES) == is_left_out
    assert [case.is_unnamed for case in cases] == [False, True] * 3


def test_training_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="has seen"):
        make_cases(1, split="train")


def test_second_people_only_where_wanted() -> None:
    assert make_cases(2, num_frames=5, size=32, has_second=True)[1].clip.plan.distractor == "second"


@pytest.mark.parametrize("seed", range(40))
def test_captions_name_what_they_say(seed: int) -> None:
    plan = plan_clip(seed)
    arguments = plan.person, plan.setting, True, plan.distractor
    caption = compose_caption(np.random.default_rng(seed), *arguments)
    assert caption.text == write_caption(np.random.default_rng(seed), *arguments)
    assert caption.named <= set(OPTIONS) | {"speech", "distractor"}
    assert "gender" in caption.named
    assert ("skin" in caption.text) == ("skin" in caption.named)
    assert ("striped" in caption.text or "dot" in caption.text) <= ("pattern" in caption.named)
    assert any(word in caption.text for word in ("glass", "spectacles", "shades")) == ("glasses" in caption.named)


# Judging


def test_renders_are_judged_as_perfect(cases: list[Case]) -> None:
    readings = [perfect_reading(case) for case in cases]
    figures = judge(cases, readings, readings, "TIA")
    assert figures["sync"] == pytest.approx(1.0)
    assert figures["width_sync"] == pytest.approx(1.0)
    assert figures["sync_shuffled"] < 0.6
    assert figures["text"] == figures["identity"] == figures["faces"] == 1
    assert figures["identity_shuffled"] < 0.8
    assert figures["sync_lag"] == 0
    assert -1 <= figures["sync_loudness"] < 1


def test_wrong_videos_are_judged_as_wrong(cases: list[Case]) -> None:
    real = [perfect_reading(case) for case in cases]
    wrong = [
        replace(
            reading, face=0 * reading.face, openness=np.zeros(25), shares={k: 1 - v for k, v in reading.shares.items()}
        )
        for reading in real
    ]
    figures = judge(cases, wrong, real, "TIA")
    assert figures["sync"] == figures["text"] == figures["identity"] == figures["faces"] == 0


def test_modes_have_only_figures_of_their_conditions(cases: list[Case]) -> None:
    readings = [perfect_reading(case) for case in cases]
    for mode in ("T", "TI", "TA"):
        figures = judge(cases, readings, readings, mode)
        assert "text" in figures
        assert ("identity" in figures) == ("I" in mode)
        assert ("sync" in figures) == ("A" in mode)


# The whole way


@pytest.fixture(scope="module")
def short_cases() -> list[Case]:
    return make_cases(3, num_frames=9, size=64)


def test_batches_equal_single_generations_and_are_kept(mini_pipeline, short_cases, tmp_path: Path) -> None:
    settings = settings_for(mini_pipeline, 9, batch_size=2)
    videos = generate(mini_pipeline, short_cases, "TIA", settings, tmp_path)
    files = sorted(tmp_path.rglob("*.npz"))
    assert len(files) == 3
    alone = generate(mini_pipeline, short_cases[:1], "TIA", replace(settings, batch_size=1))
    assert np.abs(videos[0].astype(int) - alone[0]).max() <= 1
    stamps = [file.stat().st_mtime_ns for file in files]
    again = generate(mini_pipeline, short_cases, "TIA", settings, tmp_path)
    np.testing.assert_array_equal(videos, again)
    assert stamps == [file.stat().st_mtime_ns for file in files]
    generate(mini_pipeline, short_cases[:1], "TIA", replace(settings, num_inference_steps=1), tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 4


def test_videos_of_other_number_formats_are_not_taken_for_ours(mini_pipeline, short_cases, tmp_path: Path) -> None:
    settings = settings_for(mini_pipeline, 9, num_inference_steps=1)
    pipe = copy.copy(mini_pipeline)
    made = []
    for dtype in (torch.bfloat16, torch.float32):  # the same numbers in both, as a folder in bfloat16 is loaded
        pipe.transformer = copy.deepcopy(mini_pipeline.transformer).to(torch.bfloat16).to(dtype)
        made += generate(pipe, short_cases[:1], "T", settings, tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 2 and not np.array_equal(*made)


def test_a_case_equals_the_pipelines_own_call(mini_pipeline, short_cases) -> None:
    case, settings = short_cases[0], settings_for(mini_pipeline, 9)
    own = mini_pipeline(
        case.captions["TI"].text, image=case.reference, num_frames=9, height=64, width=64, seed=case.noise_seed
    )
    made = generate(mini_pipeline, [case], "TI", settings)[0]
    assert np.abs(made.astype(int) - own.frames).max() <= 1


def test_longer_than_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="trained on 5"):
        settings_for(tiny.pipeline(max_trained_frames=5), 9)


def test_pixels_round_trip(short_cases) -> None:
    frames = short_cases[0].clip.frames
    np.testing.assert_array_equal(to_frames(to_pixels(frames)[0]), frames)


def test_masks_are_compared_on_the_heads_grid(mini_pipeline, short_cases) -> None:
    figures = mask_iou_by_noise(mini_pipeline, short_cases, settings_for(mini_pipeline, 9, batch_size=2), (100, 900))
    assert set(figures) == {"100", "900"}
    assert all(0 <= value <= 1 for value in figures.values())


@pytest.mark.slow
def test_report_has_what_readers_expect(mini_pipeline, probes: Probes, tmp_path: Path) -> None:
    settings = EvaluationSettings(num_videos=2, modes=("T", "TIA"), num_mask_clips=2)
    sheets = []

    def show(mode, cases, videos, readings) -> None:
        sheets.append(write_sheet(tmp_path / f"{mode}.webp", cases, videos, readings, mode).name)
        if mode == "TIA":
            write_samples(tmp_path / "samples", cases[:1], videos[:1], mode)

    report = evaluate_pipeline(mini_pipeline, probes, settings, settings_for(mini_pipeline, 9), tmp_path, show)
    text = write_report(report, tmp_path, sheets).read_text()
    figures = json.loads((tmp_path / "report.json").read_text())
    assert set(figures["modes"]["TIA"]) >= {"sync", "sync_shuffled", "sync_loudness", "identity", "text", "faces"}
    assert set(figures["modes"]["T"]) >= {"text", "faces"}
    assert set(figures["mask_iou"]) == {"100", "300", "500", "700", "900"}
    assert set(figures["frechet"]) == {"renders", "codec", "T", "TIA"}
    assert figures["settings"]["num_videos"] == 2
    assert sheets == ["real.webp", "T.webp", "TIA.webp"]
    assert "lip sync" in text
    assert "(TIA.webp)" in text
    assert (tmp_path / "samples" / "TIA-0.mp4").stat().st_size > 1000


def test_a_bench_takes_no_number_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "out"), "--bench", str(tmp_path), "--dtype", "float32"]) == 2
    assert "leave --dtype out" in capsys.readouterr().err


def test_command_refuses_unknown_modes_and_rules() -> None:
    assert _read_modes("ti, TIA") == ("TI", "TIA")
    with pytest.raises(ValueError, match="modes is 'TX'"):
        _read_modes("TX")
    rule = {"rule": "constant", "text": 2.0, "image": 2.0, "audio": 2.0}
    assert _read_guidance(None, rule, {"text": 3.0, "audio": None})["text"] == 3.0
    with pytest.raises(ValueError, match="give JSON"):
        _read_guidance("{", rule, {})
    with pytest.raises(ValueError, match="unknown"):
        _read_guidance('{"rule": "none"}', rule, {})
