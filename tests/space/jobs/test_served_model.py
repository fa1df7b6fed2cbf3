"""The model behind the page: known before it is loaded, and how long its videos take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiny
import torch

from humo.pipeline import HuMoPipeline
from humo.space.jobs.request import Defaults, VideoRequest
from humo.space.jobs.served_model import ServedModel
from humo.space.jobs.task import MakeVideo, work_of
from humo.space.state import Backend
from humo.system.caches import compiled_folder

REQUEST = VideoRequest(prompt="a man nods", num_frames=5, num_inference_steps=2, seed=1)


def test_a_folder_is_known_before_it_is_loaded_and_loads_when_asked(tmp_path: Path) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    serving = ServedModel.open(str(tmp_path / "small"))
    assert serving.name == "small" and len(serving.fingerprint) == 10 and serving.notice == ""
    pipe = serving.model.get()
    assert serving.defaults == Defaults.of_pipeline(pipe)
    assert isinstance(pipe, HuMoPipeline) and serving.device == pipe.device.type


def test_a_failed_warm_up_does_not_stop_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    monkeypatch.setitem(sys.modules, "soxr", None)  # as if it were not there
    assert isinstance(ServedModel.open(str(tmp_path / "small")).model.get(), HuMoPipeline)
    assert "The warm-up failed" in caplog.text and "Traceback" not in caplog.text


def test_mini_in_a_large_models_place_is_prepared_as_if_it_had_been_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HUMO_COMPILE", "on")
    monkeypatch.setitem(sys.modules, "soxr", None)
    compiled_folder().chmod(0o777)
    serving = ServedModel.open("1.7B")
    assert (serving.name, serving.source) == ("mini", "mini") and "1.7B model cannot serve" in serving.notice
    assert isinstance(serving.model.get(), HuMoPipeline)
    assert "The warm-up failed" in caplog.text and "not yours alone" in caplog.text


def test_a_folder_is_made_from_the_folder_once_more(tmp_path: Path) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path / "small")
    assert ServedModel.open(str(tmp_path / "small")).source == str(tmp_path / "small")
    assert ServedModel.open("mini").source == "mini"


def test_a_folder_without_a_pipeline_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no HuMo pipeline"):
        ServedModel.open(str(tmp_path))
    with pytest.raises(ValueError, match="give mini, 1.7B, 17B or the folder"):
        Backend.open(tmp_path, str(tmp_path / "nowhere"), tmp_path / "records")


def test_time_is_known_after_the_first_video_and_grows_with_the_work(
    mini_pipeline: HuMoPipeline, tmp_path: Path
) -> None:
    serving = ServedModel.of_pipeline(mini_pipeline, "tiny")
    assert serving.predict(REQUEST) is None
    result = MakeVideo(REQUEST, tmp_path / "film.mp4").run(mini_pipeline, lambda moment: None)
    serving.learn(result, 4.0)
    assert serving.predict(REQUEST) == pytest.approx(4.0)
    longer = VideoRequest(prompt="a man nods", num_frames=21, num_inference_steps=4)
    assert serving.predict(longer) > 8.0


def test_what_a_request_leaves_out_is_the_models_own(mini_pipeline: HuMoPipeline) -> None:
    defaults = Defaults.of_pipeline(mini_pipeline)
    work = work_of(VideoRequest(prompt="x", audio=Path("voice.wav")), defaults)
    assert (work.height, work.width) == defaults.size and work.num_inference_steps == defaults.num_inference_steps
    assert work.guidance == defaults.guidance and work.has_audio and work.num_images == 0
