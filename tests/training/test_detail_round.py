"""A round of training in which the detail head learns alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from humo.checkpoints import load
from humo.training.run import Run
from humo.training.transformer.batches import BatchSettings, plan_batch
from humo.training.transformer.loop import LoopSettings, load_text_encoder, train_transformer
from humo.training.transformer.stages import detail_stages, trainable_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.training_folder(tmp_path_factory.mktemp("training"), num_clips=8, seconds=1)


@pytest.mark.slow
def test_a_round_of_the_detail_head_leaves_all_else_and_is_gone_on_with(folder, tmp_path):
    out = tmp_path / "detail"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("transformer", "pipeline"))
    settings = LoopSettings(steps=2, tokens=200, layers=1, save_every=1, sheet_every=0)
    with pytest.raises(ValueError, match="needs a trained model"):
        train_transformer(out, replace(settings, detail=True))
    train_transformer(out, settings)
    before = load(out / "pipeline", device="cpu", dtype=torch.float32).transformer
    train_transformer(out, replace(settings, steps=5, detail=True))
    run = Run(out / "transformer", 0)
    state = run.load()
    assert state["step"] == 5 and state["round"]["detail"] and state["round"]["first"] == 2
    after = load(out / "pipeline", device="cpu", dtype=torch.float32).transformer
    assert before.detail_head is None and after.config.detail_layers == state["detail_layers"] == 6
    weights = after.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in before.state_dict().items())
    assert any(value.abs().max() > 0 for name, value in weights.items() if name == "detail_head.out.weight")

    run.save(**{**state, "round": {**state["round"], "is_over": False}})  # as if it had been stopped here
    train_transformer(out, replace(settings, steps=6))
    assert run.load()["round"]["detail"] and run.load()["step"] == 6
    train_transformer(out, replace(settings, steps=8, further=True))
    last = run.load()
    assert not last["round"]["detail"] and last["detail_layers"] == 6, "what is there goes on to learn with the rest"


def test_the_detail_head_learns_alone_at_low_noise(folder):
    names = ["blocks.0.attn1.to_q.weight", "detail_head.out.weight", "proj_out.weight"]
    assert trainable_names(names, "detail") == ["detail_head.out.weight"]
    settings = BatchSettings(tokens=600, sigmas=(0.02, 0.75))
    tokenizer, _ = load_text_encoder(folder)
    plan = plan_batch(np.arange(4), tokenizer, detail_stages()[0], 1.0, 3, settings)
    assert plan.length in (3, 5, 9, 13) and plan.sigma.min() >= 0.02 and plan.sigma.max() <= 0.75
