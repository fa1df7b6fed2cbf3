"""Which model serves, what visitors are told if it is another one, and how long the next video will take."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import layout
import pytest
import torch

from humo.loading.estimates import Call, count_tokens, estimate, sizes_of_preset
from humo.loading.memory_presets import PRESETS, plan_for
from humo.loading.published.conversion import convert, converted_folder
from humo.loading.published.presets import get_preset
from humo.loading.published.sources import find_sources
from humo.pipeline import HuMoPipeline
from humo.space.jobs.model_choice import MINI_FOLDER, folder_of, load_model, memory_preset, wanted_model
from humo.space.jobs.time_left import KEPT, Pace, Work

WORK = Work(
    num_inference_steps=16,
    num_frames=49,
    height=128,
    width=128,
    num_images=1,
    has_audio=True,
    guidance={"rule": "paper"},
    trained_frames=49,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face home on a computer without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path / "home"


@pytest.fixture
def converted(tmp_path: Path, home: Path) -> Path:
    """A tiny model in the published form, converted where `humo.load` looks for the 1.7B."""
    preset = get_preset("1.7B")
    folder = converted_folder(preset, torch.float32)
    return convert(preset, find_sources(preset, layout.write(tmp_path, "1.7B")), folder, torch.float32)


def test_the_variable_names_a_model_or_a_folder(tmp_path: Path) -> None:
    assert wanted_model({}) == wanted_model({"HUMO_MODEL": ""}) == "mini"
    assert wanted_model({"HUMO_MODEL": "17B"}) == "17B"
    assert wanted_model({"HUMO_MODEL": str(tmp_path)}) == str(tmp_path)
    with pytest.raises(ValueError, match=r"^HUMO_MODEL is '13B': give mini, 1\.7B, 17B or the folder of a saved"):
        wanted_model({"HUMO_MODEL": "13B"})


def test_the_folder_is_known_before_anything_is_loaded(tmp_path: Path) -> None:
    assert folder_of("mini") == MINI_FOLDER and (MINI_FOLDER / "model_index.json").is_file()
    assert folder_of(str(tmp_path)) == tmp_path
    assert folder_of("1.7B") is None


@pytest.mark.slow
def test_mini_serves_without_a_note() -> None:
    served = load_model("mini", device="cpu")
    assert (served.name, served.device, served.note) == ("mini", "cpu", "")
    assert served.pipe.config.default_height == 128


def test_a_folder_serves_or_is_refused(mini_pipeline: HuMoPipeline, tmp_path: Path) -> None:
    mini_pipeline.save_pretrained(tmp_path / "tiny")
    served = load_model(str(tmp_path / "tiny"), device="cpu")
    assert (served.name, served.note, served.pipe.config.default_height) == ("tiny", "", 64)
    (tmp_path / "tiny" / "model_index.json").unlink()
    with pytest.raises(ValueError, match=r"model_index\.json"):
        load_model(str(tmp_path / "tiny"), device="cpu")


def test_a_fast_form_of_other_weights_leaves_full_quality(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "further"
    shutil.copytree(MINI_FOLDER, folder)
    config = folder / "fast" / "config.json"
    config.write_text(config.read_text().replace('"teacher": "', '"teacher": "0'))
    served = load_model(str(folder))
    assert served.pipe.fast_form is None and served.name == "further"
    assert "distilled from other weights" in caplog.text


def test_a_published_model_serves_if_it_can_be_loaded(converted: Path) -> None:
    served = load_model("1.7B", device="cpu")
    assert (served.name, served.device, served.note) == ("1.7B", "cpu", "")
    assert served.pipe.config.default_guidance["rule"] == "published_1_7b"


def test_without_a_gpu_mini_serves_and_says_so() -> None:
    if torch.cuda.is_available():
        expected = "the published model '17B' is not on this computer and the Hugging Face Hub cannot be reached"
    else:
        expected = "it needs a GPU and none is here"
    served = load_model("17B")
    assert served.name == "mini" and served.pipe.config.default_height == 128
    assert served.note == f"The 17B model cannot serve here ({expected}), so the small one does."


def test_without_the_files_mini_serves_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    served = load_model("1.7B", device="cpu")
    assert served.name == "mini"
    assert served.note == (
        "The 1.7B model cannot serve here (the published model '1.7B' is not on this computer and the Hugging Face Hub "
        "cannot be reached), so the small one does."
    )
    assert "ema.pth" in caplog.text, "the log has the whole reason"


@pytest.mark.slow
def test_whatever_else_is_wrong_mini_serves(converted: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = converted / "transformer" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "num_layers": "many"}))
    served = load_model("1.7B", device="cpu")
    assert served.name == "mini"
    assert served.note == "The 1.7B model cannot serve here (the server's log says why), so the small one does."
    assert "Traceback" in caplog.text


def test_the_memory_preset_is_the_largest_that_the_gpu_has() -> None:
    billion = 10**9
    found = [memory_preset(int(size * billion)) for size in (5.9, 7.5, 8.0, 10, 12, 15.8, 23.6, 40, 48, 79.1, 140)]
    assert found == ["6GB", "8GB", "8GB", "10GB", "12GB", "16GB", "24GB", "24GB", "48GB", "80GB", "80GB"]
    with pytest.raises(ValueError, match=r"^the GPU has 4 GB and 6GB are needed: take a larger one\.$"):
        memory_preset(4 * billion)
    assert set(found) == set(PRESETS)


def test_work_counts_tokens_of_all_steps_branches_and_windows() -> None:
    assert WORK.count() == 16 * 4 * count_tokens(14, 128, 128)
    assert replace(WORK, has_audio=False).count() == 16 * 3 * count_tokens(14, 128, 128)
    windowed = replace(WORK, num_frames=97)
    assert windowed.count() == 16 * 4 * count_tokens(3 * 14, 128, 128), "three windows, each with the reference"
    assert replace(windowed, trained_frames=None).count() == 16 * 4 * count_tokens(26, 128, 128)


def test_work_is_read_from_a_finished_video(mini_pipeline: HuMoPipeline) -> None:
    video = mini_pipeline(prompt="a woman talks", num_frames=9, num_inference_steps=2, seed=1)
    work = Work.of_settings(video.settings, trained_frames=49)
    assert (work.num_inference_steps, work.num_frames, work.height, work.width) == (2, 9, 64, 64)
    assert (work.num_images, work.has_audio, work.trained_frames) == (0, False, 49)
    assert work.count() > 0


def test_nothing_is_predicted_before_the_first_measurement() -> None:
    pace = Pace()
    assert pace.predict("mini", "cpu", WORK) is None
    pace.learn("mini", "cpu", WORK, 4.0)
    assert pace.predict("mini", "cpu", WORK) == pytest.approx(4.0)
    assert pace.predict("mini", "cuda", WORK) is None and pace.predict("other", "cpu", WORK) is None


def test_a_prediction_grows_with_steps_and_size() -> None:
    pace = Pace()
    pace.learn("mini", "cpu", WORK, 4.0)
    assert pace.predict("mini", "cpu", replace(WORK, num_inference_steps=32)) == pytest.approx(8.0)
    assert pace.predict("mini", "cpu", replace(WORK, width=256)) == pytest.approx(8.0)
    assert pace.predict("mini", "cpu", replace(WORK, has_audio=False)) == pytest.approx(3.0)


def test_one_slow_video_does_not_spoil_the_pace_and_old_ones_are_forgotten() -> None:
    pace = Pace()
    for seconds in (20.0, 4.0, 4.0):
        pace.learn("mini", "cpu", WORK, seconds)
    assert pace.predict("mini", "cpu", WORK) == pytest.approx(4.0)
    for _ in range(KEPT):
        pace.learn("mini", "cpu", WORK, 6.0)
    assert pace.predict("mini", "cpu", WORK) == pytest.approx(6.0)


def test_a_published_model_on_a_gpu_has_an_estimate_from_the_start() -> None:
    work = replace(WORK, height=480, width=832, num_frames=97, guidance={"rule": "published_1_7b"}, trained_frames=None)
    sizes = sizes_of_preset("1.7B")
    call = Call(guidance=work.guidance)
    expected = estimate(sizes, 480, 832, 97, plan_for(None, sizes.transformer), call).seconds(16)
    pace = Pace()
    assert pace.predict("1.7B", "cuda", work) == expected
    pace.learn("1.7B", "cuda", work, 2 * expected)
    assert pace.predict("1.7B", "cuda", work) == pytest.approx(2 * expected)
