"""The comparison of the paper's choices: changes by hooks, verdicts, and the whole command at tiny size.

Run: pytest tests/evaluation/test_ablation.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from test_evaluation import QUICK
from typer.testing import CliRunner

from humo.__main__ import _command
from humo.checkpoints import load
from humo.evaluation.ablation.changes import GatedTrainer, HardGate, references_first
from humo.evaluation.ablation.record import recipe
from humo.evaluation.ablation.results import detectable, differences, interval, verdict, write_results
from humo.evaluation.ablation.running import Material, _without_slot, changed
from humo.evaluation.ablation.start import take_weights, trained_weights
from humo.evaluation.ablation.variants import BASE, CLAIMS, RULES, VARIANTS, Claim
from humo.evaluation.probes.training import get_probes
from humo.guidance import make_rule
from humo.layers.autoencoder import HuMoVideoCodec
from humo.system.fingerprint import fingerprint
from humo.training.transformer.batches import BatchSettings, draw_batch
from humo.training.transformer.loop import make_pipeline
from humo.training.transformer.model import ModelSettings, Trainer
from humo.training.transformer.stages import AUDIO, SELF_ATTENTION, trainable_names

BUNDLED = Path(__file__).parents[2] / "assets" / "humo-mini" / "ablation"


def inputs(transformer, frames: int = 3) -> dict[str, torch.Tensor]:
    config, generator = transformer.config, torch.Generator().manual_seed(0)
    windows = (2, frames, config.audio_window, config.audio_bands, config.audio_channels)
    return {
        "hidden_states": torch.randn((2, config.in_channels, frames, 4, 4), generator=generator),
        "timestep": torch.full((2,), 500.0),
        "encoder_hidden_states": torch.randn((2, 5, config.text_dim), generator=generator),
        "audio_hidden_states": torch.randn(windows, generator=generator),
    }


@torch.no_grad()
def test_references_first_is_the_same_model_with_time_turned_round():
    transformer = tiny.transformer()
    given = inputs(transformer)
    plain = transformer(**given, return_attended=True)
    turned = dict(given)
    turned["hidden_states"] = given["hidden_states"][:, :, [2, 0, 1]]
    turned["audio_hidden_states"] = given["audio_hidden_states"][:, [2, 0, 1]]
    expected = transformer(**turned, return_attended=True)
    with references_first(transformer):
        first = transformer(*given.values(), return_attended=True)
        assert torch.equal(transformer(**given, return_dict=False)[0], first.sample)
    assert torch.equal(first.sample, expected.sample[:, :, [1, 2, 0]])
    tokens = expected.attended[-1].unflatten(1, (3, -1))[:, [1, 2, 0]].flatten(1, 2)
    assert torch.equal(first.attended[-1], tokens)
    assert not torch.allclose(first.sample, plain.sample)
    assert torch.equal(transformer(**given).sample, plain.sample)


@torch.no_grad()
def test_a_hard_gate_lets_sound_through_at_the_face_alone():
    transformer = tiny.transformer()
    given = inputs(transformer)
    silent = given | {"audio_hidden_states": torch.zeros_like(given["audio_hidden_states"])}
    heard = transformer(**given).sample
    assert not torch.allclose(heard, transformer(**silent).sample)
    with HardGate().on(transformer) as gate:
        assert torch.equal(transformer(**given).sample, heard)
        gate.show(torch.zeros(2, 2, 4, 4), side=2)
        assert gate.mask.shape == (2, 12)
        assert torch.equal(transformer(**given).sample, transformer(**silent).sample)
        face = torch.zeros(1, 2, 4, 4)
        face[:, :, 0, 0] = 1
        gate.show(face, side=2)
        assert gate.mask.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]]
        assert not torch.allclose(transformer(**given).sample, transformer(**silent).sample)
    assert torch.equal(transformer(**given).sample, heard)


def runs_of(full: list[float], other: list[float], figure: str = "sync") -> dict:
    return {
        name: {str(seed): {figure: value} for seed, value in enumerate(values)}
        for name, values in (("full", full), ("no_focus", other))
    }


def test_verdicts_follow_from_paired_differences():
    claim = Claim("It helps.", "full", "no_focus", "sync")
    assert "Reproduced: sync +0.100" in verdict(runs_of([0.6, 0.7, 0.8], [0.5, 0.61, 0.69]), claim)
    assert "Not reproduced" in verdict(runs_of([0.5, 0.61, 0.69], [0.6, 0.7, 0.8]), claim)
    unclear = runs_of([0.6, 0.7, 0.8], [0.7, 0.6, 0.8])
    assert "Not decidable here: sync" in verdict(unclear, claim)
    seen = detectable(differences(unclear, claim))
    assert f"a true difference of {seen:.3f} would have been seen four times in five." in verdict(unclear, claim)
    draws = np.random.default_rng(0).normal(seen, differences(unclear, claim).std(ddof=1), (4000, 3))
    assert np.mean([interval(values)[1] > 0 for values in draws]) == pytest.approx(0.8, abs=0.03)
    assert "Not decidable here: 1 seed." in verdict(runs_of([0.6], [0.5]), claim)
    lower = Claim("It is nearer.", "full", "no_focus", "frechet", False)
    np.testing.assert_allclose(differences(runs_of([0.2, 0.3], [0.4, 0.4], "frechet"), lower), [0.2, 0.1])
    mean, low, high = interval(np.array([0.1, 0.2, 0.3]))
    assert mean == pytest.approx(0.2) and high - mean == pytest.approx(mean - low) == pytest.approx(0.2484, abs=1e-3)


def test_variants_differ_from_the_recipe_in_one_thing_and_claims_name_them():
    full = VARIANTS["full"]
    assert [stage.learns for stage in full.stages] == ["self_attention", "self_attention+audio"]
    assert (full.stages[1].audio_start, full.stages[1].audio_end) == (0.2, 0.5)
    for name, variant in VARIANTS.items():
        parts = ("stages", "focus_weight", "change")
        changed = [part for part in parts if getattr(variant, part) != getattr(full, part)]
        assert len(changed) == (name != "full")
    assert {name for claim in CLAIMS for name in (claim.better, claim.worse)} <= {*VARIANTS, *RULES}
    assert BASE[0].image_share == 0
    assert {stage.latent_frames for variant in VARIANTS.values() for stage in (*BASE, *variant.stages)} == {
        full.stages[0].latent_frames
    }
    for rule in RULES.values():
        make_rule(rule)


def test_the_bundled_results_follow_from_their_record(tmp_path: Path):
    record = json.loads((BUNDLED / "results.json").read_text())
    assert write_results(record, tmp_path).read_text() == (BUNDLED / "results.md").read_text()
    assert {len(by_seed) for by_seed in record["runs"].values()} == {3}
    assert record["runs"].keys() == VARIANTS.keys() | RULES.keys() - {"adaptive"}
    assert record["recipe"] == recipe(), "the stages or rules have changed since: run the comparison anew"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.training_folder(tmp_path_factory.mktemp("training"), num_clips=4, seconds=2)


@pytest.fixture(scope="module")
def start(training: Path) -> Path:
    """A trained pipeline of the folder's sizes."""
    material = Material(training)
    make_pipeline(training, material.make_model(1, seed=7), material.tokenizer).save_pretrained(training / "pipeline")
    return training / "pipeline"


@pytest.mark.slow
def test_a_start_takes_all_but_what_is_learned_anew(training: Path, start: Path):
    material = Material(training)
    codec = HuMoVideoCodec.from_pretrained(training / "autoencoder")
    weights = trained_weights(str(start), material.text_encoder, codec)
    model = material.make_model(1, seed=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take_weights(model, weights, anew=(SELF_ATTENTION, *AUDIO))
    for name, value in model.state_dict().items():
        kept = not name.startswith("transformer.") or any(part in name for part in (SELF_ATTENTION, *AUDIO))
        assert torch.equal(value, before[name] if kept else weights[name]), name
    assert not torch.equal(
        before["transformer.blocks.0.ffn.net.2.weight"], weights["transformer.blocks.0.ffn.net.2.weight"]
    )
    with pytest.raises(ValueError, match="the start has no transformer.blocks.1"):
        take_weights(material.make_model(2, seed=0), weights, anew=AUDIO)
    with pytest.raises(ValueError, match="trained with another text encoder"):
        trained_weights("mini", material.text_encoder, codec)
    torch.nn.init.normal_(codec.components.weight)
    with pytest.raises(ValueError, match="trained with another codec"):
        trained_weights(str(start), material.text_encoder, codec)


@pytest.mark.usefixtures("without_bfloat16")
def test_behind_a_hard_gate_the_mask_teaches_nothing_but_its_predictor(training: Path):
    material = Material(training)
    model, variant = material.make_model(1, seed=0), VARIANTS["hard_gate"]
    torch.nn.init.normal_(model.transformer.proj_out.weight, std=0.1)
    for block in model.transformer.blocks:  # as after some training: sound says something
        torch.nn.init.normal_(block.audio_attn.attn.to_out[0].weight, std=0.1)
    stage = variant.stages[1]
    batch = draw_batch(material.data, material.tokenizer, stage, 1.0, 0, BatchSettings(tokens=300))
    with changed(model, variant) as gate:
        trainer = GatedTrainer(model, ModelSettings(), "cpu", gate)
        loss, figures = trainer.loss(batch, focus=True)
        assert gate.mask is None and figures["focus"] > 0
        loss.backward()
        taught = {name for name, value in model.named_parameters() if value.grad is not None}
        alone, _ = trainer.loss(batch, focus=False)
        taught_more = trainer.settings.focus_weight * float(figures["focus"])
        assert loss.item() == pytest.approx(alone.item() + taught_more, rel=1e-5)
    grads = {name: value.grad.clone() for name, value in model.named_parameters() if name in taught}
    model.zero_grad()
    alone.backward()
    for name, grad in grads.items():
        if name.startswith("focus_head."):
            assert grad.abs().sum() > 0 and dict(model.named_parameters())[name].grad is None
        else:
            torch.testing.assert_close(grad, dict(model.named_parameters())[name].grad)
    ungated, _ = Trainer(model, ModelSettings(), "cpu").loss(batch, focus=False)
    assert ungated.item() != alone.item()


def test_the_common_start_knows_no_place_of_a_reference(training: Path):
    material = Material(training)
    model = material.make_model(1, seed=0)
    batch = _without_slot(draw_batch(material.data, material.tokenizer, BASE[0], 1.0, 0, BatchSettings(tokens=300)))
    seen = []
    handle = model.transformer.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[2]))
    Trainer(model, ModelSettings(), "cpu").loss(batch, focus=False)
    handle.remove()
    assert seen == [batch.latents.shape[2]]
    names = [name for name, _ in model.transformer.named_parameters()]
    frozen = set(names) - set(trainable_names(names, BASE[0].learns))
    assert frozen and all("audio_" in name for name in frozen)


@pytest.mark.slow
def test_the_command_trains_measures_and_resumes(training: Path, start: Path, tmp_path: Path):
    get_probes(tmp_path / "probes", QUICK)
    probes = next((tmp_path / "probes").iterdir())
    arguments = [
        "--out", tmp_path / "out", "--training", training, "--seeds", 1, "--steps", 2, "--base-steps", 2,
        "--videos", 2, "--frames", 9, "--probes", probes, "--layers", 1, "--tokens", 300, "--start", start,
    ]  # fmt: skip

    def run(*more: str):
        return CliRunner().invoke(_command("ablate"), [str(argument) for argument in (*arguments, *more)])

    result = run("--variants", "full,hard_gate")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(record["runs"]) == {"full", *RULES, "hard_gate"} - {"adaptive"}
    assert set(record["runs"]["full"]["0"]) >= {"sync", "sync_loudness", "identity", "text", "frechet", "mask_iou"}
    assert "mask_iou" not in record["runs"]["hard_gate"]["0"] and "mask_iou" not in record["runs"]["constant"]["0"]
    weights = tmp_path / "out" / "full-0" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    result = run("--variants", "full,references_first,no_focus", "--workers", "2", "--threads", "1")
    assert result.exit_code == 0 and weights.stat().st_mtime_ns == before
    told = (tmp_path / "out" / "results.md").read_text()
    assert "| references_first |" in told and "| no_focus |" in told
    assert (tmp_path / "out" / "results.png").stat().st_size > 5000
    assert write_results(record, tmp_path).read_text() != told  # two variants more
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert write_results(record, tmp_path).read_text() == told
    with pytest.raises(ValueError, match="other settings"):
        raise run("--steps", "3").exception
    with pytest.raises(ValueError, match="variants names 'nothing'"):
        raise run("--variants", "nothing").exception
    assert record["start_weights"] == fingerprint(load(start, dtype=torch.float32).transformer)
    record["start_weights"] = "0123456789"  # as if the model had been trained further in between
    (tmp_path / "out" / "results.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="other start_weights"):
        raise run().exception
