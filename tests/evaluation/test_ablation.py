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
from safetensors.torch import load_file
from test_evaluation import QUICK
from typer.testing import CliRunner

from humo.__main__ import _command
from humo.checkpoints import load
from humo.evaluation.ablation.changes import GatedTrainer, HardGate, references_first
from humo.evaluation.ablation.jobs import first_reach
from humo.evaluation.ablation.measuring import EvaluationSet, judge_beside, one_of_two
from humo.evaluation.ablation.record import recipe
from humo.evaluation.ablation.results import (
    OUTCOMES,
    decided_together,
    detectable,
    differences,
    interval,
    outcome,
    together_in_words,
    verdict,
    write_results,
)
from humo.evaluation.ablation.running import (
    AblationSettings,
    Material,
    _without_slot,
    changed,
    make_start,
    read_looks,
    train_variant,
)
from humo.evaluation.ablation.start import take_weights, trained_weights
from humo.evaluation.ablation.variants import APPEARS, BASE, CLAIMS, LOOKS, RULES, VARIANTS, Claim, is_asked
from humo.evaluation.cases import make_cases
from humo.evaluation.probes.networks import ProbeOutput
from humo.evaluation.probes.training import get_probes
from humo.guidance import make_rule
from humo.layers.autoencoder import HuMoVideoCodec
from humo.system.fingerprint import fingerprint
from humo.training.transformer.batches import BatchSettings, draw_batch
from humo.training.transformer.loop import make_pipeline
from humo.training.transformer.model import ModelSettings, Trainer
from humo.training.transformer.stages import AUDIO, SELF_ATTENTION, audio_share, trainable_names

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
        for name, values in (("stage2", full), ("no_focus", other))
    }


def test_verdicts_follow_from_paired_differences():
    claim = Claim("It helps.", "stage2", "no_focus", "sync")
    assert "Reproduced: sync +0.100" in verdict(runs_of([0.6, 0.7, 0.8], [0.5, 0.61, 0.69]), claim)
    assert "Not reproduced" in verdict(runs_of([0.5, 0.61, 0.69], [0.6, 0.7, 0.8]), claim)
    unclear = runs_of([0.6, 0.7, 0.8], [0.7, 0.6, 0.8])
    assert "Not decidable here: sync" in verdict(unclear, claim)
    seen = detectable(differences(unclear, claim))
    assert f"a true difference of {seen:.3f} would have been seen four times in five." in verdict(unclear, claim)
    draws = np.random.default_rng(0).normal(seen, differences(unclear, claim).std(ddof=1), (4000, 3))
    decided = np.mean([interval(values)[1] > 0 for values in draws])
    assert decided == pytest.approx(0.8, abs=0.03)
    same = verdict(runs_of([0.6, 0.7], [0.6, 0.7]), claim)
    assert "Not decidable here: sync +0.000 [+0.000, +0.000]" in same and "all seeds have the same of both." in same
    assert "Not measured: 1 seed." in verdict(runs_of([0.6], [0.5]), claim)
    lower = Claim("It is nearer.", "stage2", "no_focus", "frechet", False)
    np.testing.assert_allclose(differences(runs_of([0.2, 0.3], [0.4, 0.4], "frechet"), lower), [0.2, 0.1])
    mean, low, high = interval(np.array([0.1, 0.2, 0.3]))
    assert mean == pytest.approx(0.2) and high - mean == pytest.approx(mean - low) == pytest.approx(0.2484, abs=1e-3)


def test_where_nothing_differs_claims_judged_together_are_rarely_decided():
    rng, names = np.random.default_rng(0), [*VARIANTS, *RULES]
    figures = {claim.figure for claim in CLAIMS}
    by_themselves, together = 0, 0
    for _ in range(100):
        runs = {name: {str(seed): {each: rng.normal() for each in figures} for seed in range(5)} for name in names}
        by_themselves += any(outcome(runs, claim) in OUTCOMES[:2] for claim in CLAIMS)
        together += bool(decided_together(runs))
    assert together <= 9 < 40 < by_themselves
    for seed in range(5):
        runs["full"][str(seed)]["sync"] += 100
        runs["no_progressive"][str(seed)]["sync"] = 0.0
        runs["stage2"][str(seed)] = runs["no_focus"][str(seed)]
    [only] = decided_together(runs)
    assert (only.better, only.worse, only.figure) == ("full", "no_progressive", "sync")
    assert "1 of 18 remains decided: Progressive training improves lip sync (reproduced)." in together_in_words(runs)


def test_variants_of_a_start_differ_in_one_thing_and_claims_compare_what_can_be_compared():
    for base, start in (("stage2", "silent"), ("full", "text")):
        first = VARIANTS[base]
        assert first.start == start and first.stages[-1].learns == "self_attention+audio"
        assert (first.stages[-1].audio_start, first.stages[-1].audio_end) == (0.2, 0.5)
        for name, variant in VARIANTS.items():
            parts = ("stages", "focus_weight", "change")
            changed = [part for part in parts if getattr(variant, part) != getattr(first, part)]
            assert variant.start != start or len(changed) == (name != base)
    assert [stage.learns for stage in VARIANTS["full"].stages] == ["self_attention", "self_attention+audio"]
    for claim in CLAIMS:
        both = (claim.better, claim.worse)
        assert set(both) <= RULES.keys() or len({VARIANTS[name].start for name in both}) == 1
    assert {name for claim in CLAIMS for name in (claim.better, claim.worse)} == {*VARIANTS, *RULES}
    assert is_asked("no_focus", "sync_after") and not is_asked("full", "sync_second")
    assert BASE[0].image_share == 0
    assert len({stage.latent_frames for variant in VARIANTS.values() for stage in (*BASE, *variant.stages)}) == 1
    for rule in RULES.values():
        make_rule(rule)


def test_all_variants_of_a_start_hear_equally_much():
    def heard(stages) -> float:
        begins = [0.0, *(stage.end for stage in stages)]
        shares = ((stage.end - begin) * np.mean([audio_share(stage, at) for at in np.linspace(0, 1, 2001)])
                  for stage, begin in zip(stages, begins, strict=False))  # fmt: skip
        return float(sum(shares))

    for start in ("silent", "text"):
        shares = [heard(variant.stages) for variant in VARIANTS.values() if variant.start == start]
        np.testing.assert_allclose(shares, shares[0], atol=1e-3)


def test_sync_appears_between_the_looks():
    assert first_reach({0.25: 0.1, 0.5: 0.5, 1.0: 0.7}, 0.4) == pytest.approx(0.4375)
    assert first_reach({0.25: 0.8}, 0.4) == pytest.approx(0.125)
    assert first_reach({0.5: 0.2, 1.0: 0.3}, 0.4) == 1.0
    assert first_reach({1.0: 0.7, 0.25: 0.5, 0.5: 0.3}, 0.4) == pytest.approx(0.2), "the first time counts"


class _MouthReader:
    """Reads as openness how much red there is, which the test paints."""

    def read(self, frames: np.ndarray) -> ProbeOutput:
        red = frames[..., 0].mean((1, 2)).astype(np.float32)
        return ProbeOutput(np.ones(len(frames)), red, red, {}, np.zeros(352), 0.0)


def test_beside_a_listener_each_mouth_is_read_alone():
    cases = make_cases(3, 0, "test", 49, 32, has_second=True)
    videos = []
    for case in cases:
        video = np.zeros((49, 32, 32, 3), np.uint8)
        is_left, curve = case.clip.plan.setting.position == "left", 200 * case.clip.openness[:, None, None]
        video[:, :, :15, 0] = curve if is_left else 200 - curve
        video[:, :, 17:, 0] = 200 - curve if is_left else curve
        videos.append(video)
    figures = judge_beside(EvaluationSet([], [], np.zeros((0, 352)), cases, _MouthReader()), videos)
    assert figures["sync_second"] > 0.99 and figures["leak"] < -0.99
    left = one_of_two(videos[0], left=True)
    assert np.array_equal(left[:, :, :16], videos[0][:, :, :16]) and (left[:, :, 16:] == videos[0][:, :, 16:17]).all()
    right = one_of_two(videos[0], left=False)
    assert np.array_equal(right[:, :, 16:], videos[0][:, :, 16:]) and (right[:, :, :16] == videos[0][:, :, 16:17]).all()


def test_the_bundled_results_follow_from_their_record(tmp_path: Path):
    record = json.loads((BUNDLED / "results.json").read_text())
    assert write_results(record, tmp_path).read_text() == (BUNDLED / "results.md").read_text()
    assert {len(by_seed) for by_seed in record["runs"].values()} == {5}
    assert record["runs"].keys() == VARIANTS.keys() | RULES.keys()
    assert record["recipe"] == recipe(), "the stages or rules have changed since: run the comparison anew"
    for claim in CLAIMS:
        assert len(differences(record["runs"], claim)) == 5, claim


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
    stage = variant.stages[-1]
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


def test_the_text_start_knows_no_place_of_a_reference(training: Path):
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
def test_variants_begin_from_their_start_and_are_looked_at(training: Path, start: Path, tmp_path: Path):
    material = Material(training)
    settings = AblationSettings(start=str(start), steps=4, base_steps=2, layers=1, tokens=300)
    starts = {name: make_start(name, material, tmp_path, settings, "cpu") for name in ("silent", "text")}
    trained = load(start, dtype=torch.float32).transformer.state_dict()
    silent, text = (load_file(starts[name]) for name in ("silent", "text"))
    kept = [name for name in trained if not any(part in name for part in AUDIO)]
    assert all(torch.equal(silent[f"transformer.{name}"], trained[name]) for name in kept)
    heard = next(name for name in trained if name.startswith("audio_projection.") and trained[name].ndim > 1)
    assert not torch.equal(silent[f"transformer.{heard}"], trained[heard]), "sound begins anew"
    attention = "blocks.0.attn1.to_q.weight"
    assert not torch.equal(text[f"transformer.{attention}"], trained[attention])
    seen = []

    def look(model) -> float:
        seen.append(model.transformer.proj_out.weight.detach().clone())
        return float(len(seen))

    weights = train_variant(material, starts["silent"], VARIANTS["stage2"], 0, tmp_path, settings, "cpu", look)
    steps = sorted({max(1, round(share * settings.steps)) for share in LOOKS})
    assert list(read_looks(weights)) == steps and len(seen) == len(steps) and APPEARS > 0
    assert read_looks(starts["silent"]) == {}
    assert train_variant(material, starts["silent"], VARIANTS["stage2"], 0, tmp_path, settings, "cpu", look) == weights
    assert len(seen) == len(steps), "trained once"


@pytest.mark.slow
def test_the_command_trains_measures_and_resumes(training: Path, start: Path, tmp_path: Path):
    get_probes(tmp_path / "probes", QUICK)
    probes = next((tmp_path / "probes").iterdir())
    arguments = [
        "--out", tmp_path / "out", "--training", training, "--seeds", 1, "--steps", 2, "--text-steps", 1,
        "--base-steps", 2, "--videos", 2, "--frames", 9, "--probes", probes, "--layers", 1, "--tokens", 300,
        "--start", start,
    ]  # fmt: skip

    def run(*more: str):
        return CliRunner().invoke(_command("ablate"), [str(argument) for argument in (*arguments, *more)])

    result = run("--variants", "stage2,hard_gate,adaptive")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(record["runs"]) == {"stage2", "hard_gate", "adaptive"}
    told = {"sync", "sync_loudness", "identity", "text", "frechet", "mask_iou", "sync_second", "leak", "sync_after"}
    assert set(record["runs"]["stage2"]["0"]) >= told
    assert "mask_iou" not in record["runs"]["hard_gate"]["0"] and "sync_second" in record["runs"]["hard_gate"]["0"]
    assert not {"mask_iou", "leak"} & record["runs"]["adaptive"]["0"].keys()
    weights = tmp_path / "out" / "stage2-0" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    result = run("--variants", "stage2,references_first,no_focus", "--workers", "2", "--threads", "1")
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
