"""A training that goes on from a finished model. Run: pytest tests/training/test_start.py"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch

from humo.evaluation.publishing import publish, training_record
from humo.layers.autoencoder import HuMoVideoCodec
from humo.training.run import NOT_RECORDED, Run
from humo.training.transformer.loop import load_text_encoder
from humo.training.transformer.model import MiniModel, ModelSettings, Trainer
from humo.training.transformer.start import start_from


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A published model of tiny parts that says it was trained for ten steps a part."""
    tiny.pipeline().save_pretrained(tmp_path / "first" / "pipeline")
    for part in ("autoencoder", "audio_encoder", "text_encoder", "transformer"):
        Run(tmp_path / "first" / part, 10).log(10, loss=0.5)
    publish(tmp_path / "first", tmp_path / "finished")
    record = json.loads((tmp_path / "finished" / "training.json").read_text())
    record["parts"]["transformer"]["hours"] = 1.5
    record["clips"] = 7000
    (tmp_path / "finished" / "training.json").write_text(json.dumps(record))
    return tmp_path / "finished"


def test_every_part_begins_where_the_model_ended(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "second"
    assert start_from(finished, out) == {"autoencoder": 10, "transformer": 10}
    original = tiny.pipeline()
    codec = HuMoVideoCodec.from_pretrained(out / "autoencoder")
    assert torch.equal(codec.components.weight, original.vae.components.weight.bfloat16().float())
    state = Run(out / "autoencoder", 20).load()
    assert state["step"] == 10 and torch.equal(state["model"]["components.weight"], codec.components.weight)
    trainer = Run(out / "transformer", 20).load()["trainer"]
    name = "transformer.blocks.0.attn1.to_q.weight"
    assert torch.equal(trainer["model"][name], original.transformer.get_parameter(name[12:]).bfloat16().float())
    assert (out / "text_encoder" / "tokenizer" / "tokenizer.json").is_file()
    assert torch.equal(load_text_encoder(out)[1].shared.weight, original.text_encoder.shared.weight.bfloat16().float())


def test_the_record_of_the_first_training_goes_on(finished: Path, tmp_path: Path) -> None:
    start_from(finished, tmp_path / "second")
    record = training_record(tmp_path / "second")
    before = record["parts"]["transformer"]["machines"]
    assert record["clips"] == 7000 and before == {"0": NOT_RECORDED}
    assert record["parts"]["transformer"] == {"machines": before, "hours": 1.5, "step": 10, "loss": 0.5}
    run = Run(tmp_path / "second" / "transformer", 20)
    run.note_machine(10, NOT_RECORDED)
    run.note_machine(12, "a GPU")
    run.log(20, loss=0.25, clips=8000)
    record = training_record(tmp_path / "second")
    machines = before | {"12": "a GPU"}
    assert record["clips"] == 8000
    assert record["parts"]["transformer"] == {"machines": machines, "hours": 1.5, "step": 20, "loss": 0.25}


def test_a_trainer_takes_the_state_and_its_averages(finished: Path, tmp_path: Path) -> None:
    start_from(finished, tmp_path / "second")
    parts = tiny.pipeline()
    torch.nn.init.zeros_(parts.transformer.proj_out.weight)
    trainer = Trainer(MiniModel(parts.transformer, parts.text_encoder, parts.focus_head), ModelSettings())
    trainer.load(Run(tmp_path / "second" / "transformer", 20).load()["trainer"])
    assert parts.transformer.proj_out.weight.abs().sum() > 0
    for average, parameter in zip(trainer.ema.shadow_params, trainer.model.learned().values(), strict=True):
        assert torch.equal(average, parameter)


def test_what_cannot_be_started_from_is_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "taken" / "autoencoder").mkdir(parents=True)
    with pytest.raises(ValueError, match="taken holds a training already"):
        start_from(finished, tmp_path / "taken")
    (finished / "training.json").unlink()
    with pytest.raises(ValueError, match=r"finished has no training\.json"):
        start_from(finished, tmp_path / "new")
