"""Publishing a training: bfloat16, small shards, a card. Run: pytest tests/evaluation/test_publish.py"""

import json

import pytest
import tiny
import torch
from safetensors.torch import load_file

import humo
from humo.evaluation.publishing import publish, write_card
from humo.training.run import Run


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "runs"
    tiny.pipeline().save_pretrained(folder / "pipeline")
    for part in ("autoencoder", "audio_encoder", "transformer"):
        run = Run(folder / part, 10)
        run.log(5, loss=0.5)
        run.log(10, loss=0.25)
    run.note_machine(0, "CPU, 2 threads (x86_64)")
    run.note_machine(5, "a GPU")
    return folder


def test_the_published_folder_loads_and_makes_a_video(training, tmp_path):
    publish(training, tmp_path / "mini")
    weights = [load_file(path) for path in (tmp_path / "mini").rglob("*.safetensors")]
    assert weights and {t.dtype for part in weights for t in part.values()} == {torch.bfloat16}
    pipe = humo.load(tmp_path / "mini")
    assert len(pipe("a man talks", seed=1, num_frames=5, num_inference_steps=1).frames) == 5


def test_nothing_published_names_where_it_came_from(training, tmp_path):
    publish(training, tmp_path / "mini")
    texts = [path.read_text() for path in (tmp_path / "mini").rglob("*.json")]
    assert texts and not any(str(tmp_path) in text for text in texts)


def test_the_card_holds_the_logs_figures(training, tmp_path):
    text = publish(training, tmp_path / "mini").read_text()
    assert "| transformer |" in text and "| 10 |" in text and "loss 0.25" in text
    assert "| CPU, 2 threads (x86_64); from step 5 on a GPU |" in text


def test_the_card_takes_over_a_report(training, tmp_path):
    publish(training, tmp_path / "mini")
    report = tmp_path / "report"
    report.mkdir()
    figures = {"sync": 0.71, "text": 0.9, "faces": 1.0}
    content = {"modes": {"TIA": figures}, "mask_iou": {"500": 0.66}, "frechet": {"renders": 0.0512, "TIA": 1.5}}
    content["settings"] = {"num_videos": 128}
    (report / "report.json").write_text(json.dumps(content))
    text = write_card(tmp_path / "mini", report).read_text()
    assert "| lip sync | 0.71 |" in text and "128 videos a mode." in text and "500: 0.66" in text
    assert "real): renders: 0.05, TIA: 1.50." in text
    assert json.loads((tmp_path / "mini" / "report.json").read_text()) == content
    (tmp_path / "mini" / "TIA.webp").touch()
    text = publish(training, tmp_path / "mini").read_text()  # other weights: their figures are not known yet
    left = {path.name for path in (tmp_path / "mini").iterdir()}
    assert "sync" not in text and not left & {"report.json", "TIA.webp"}


def test_a_training_without_pipeline_is_named(tmp_path):
    with pytest.raises(ValueError, match="train transformer"):
        publish(tmp_path, tmp_path / "mini")
