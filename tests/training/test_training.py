"""Training: stages, batches, loss, resume. Run: pytest tests/training/test_training.py"""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load_file

from humo.audio import encode_audio, window_audio
from humo.training.audio_encoder.training import (
    AudioEncoderSettings,
    MouthReader,
    make_audio_encoder,
    speech_batch,
    train_audio_encoder,
)
from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.precision import mixed_precision
from humo.training.run import Run
from humo.training.text_encoder.model import UNKNOWN
from humo.training.transformer.batches import BatchSettings, draw_batch
from humo.training.transformer.data import ClipData, DataSettings, hear, shrink_mask, write_shards
from humo.training.transformer.loop import LoopSettings, load_audio_encoder, load_text_encoder, train_transformer
from humo.training.transformer.model import ModelSettings, Trainer, make_mini
from humo.training.transformer.planning import Planner
from humo.training.transformer.rounds import Round
from humo.training.transformer.stages import (
    audio_share,
    further_stages,
    mini_stages,
    stage_at,
    trainable_names,
)

STD = [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
AUDIO_ENCODER = AudioEncoderSettings(seconds=1, width=16, batch_size=2, steps=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.training_folder(tmp_path_factory.mktemp("training"), num_clips=8, seconds=1)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_text_encoder(folder)[0]


@pytest.fixture(scope="module")
def data(folder) -> ClipData:
    return ClipData(folder / "data", *load_audio_encoder(folder))


@pytest.fixture
def trainer(folder) -> Trainer:
    torch.manual_seed(0)
    return Trainer(make_mini(STD, 16, load_text_encoder(folder)[1], layers=2), ModelSettings())


def sound_stage():
    return replace(mini_stages()[2], latent_frames=(3, 5))


def draw(data, tokenizer, step: int, stage=None, **settings):
    return draw_batch(data, tokenizer, stage or sound_stage(), 1.0, step, BatchSettings(tokens=300, **settings))


def test_stages_follow_each_other():
    stages = mini_stages()
    assert [stage_at(stages, progress)[0].name for progress in (0.0, 0.15, 0.5, 1.0)] == [
        "text", "references", "sound", "movement",
    ]  # fmt: skip
    assert stage_at(stages, 1.0)[1] == 1.0


def test_the_sync_task_grows_from_a_fifth_to_a_half_as_in_the_paper():
    stage = mini_stages()[2]
    assert audio_share(stage, 0.0) == pytest.approx(0.2)
    assert audio_share(stage, 1.0) == pytest.approx(0.5)
    shares = [audio_share(stage, progress) for progress in np.linspace(0, 1, 21)]
    assert shares == sorted(shares)


@pytest.mark.slow
def test_freeze_lists_are_the_papers(trainer):
    names = [name for name, _ in trainer.model.transformer.named_parameters()]
    first, second = trainable_names(names, "self_attention"), trainable_names(names, "self_attention+audio")
    assert first and all(".attn1." in name for name in first)
    extra = set(second) - set(first)
    assert extra and all("audio_attn" in name or "audio_projection" in name for name in extra)
    with pytest.raises(ValueError, match="use all, all_but_audio, self_attention"):
        trainable_names(names, "everything")


@pytest.mark.slow
def test_frozen_parameters_get_no_gradient(trainer, data, tokenizer):
    stage = replace(sound_stage(), learns="self_attention")
    before = {name: value.clone() for name, value in trainer.model.transformer.state_dict().items()}
    for step in range(2):
        trainer.step(draw(data, tokenizer, step), stage, 0.5)
    changed = {n for n, value in trainer.model.transformer.state_dict().items() if not torch.equal(value, before[n])}
    assert changed and all(".attn1." in name for name in changed)


def test_batches_follow_from_the_step(data, tokenizer):
    one, same, other = (draw(data, tokenizer, step) for step in (5, 5, 6))
    assert torch.equal(one.noise, same.noise) and torch.equal(one.tokens, same.tokens)
    assert not torch.equal(one.sigma[:2], other.sigma[:2])


def test_batches_hide_what_the_stage_hides(data, tokenizer):
    text, references, *_ = mini_stages()
    batch = draw(data, tokenizer, 0, text)
    assert not batch.references.any() and not batch.audio.any()
    seen = [draw(data, tokenizer, step, references) for step in range(4)]
    assert any(batch.references.any() for batch in seen) and not any(batch.audio.any() for batch in seen)
    heard = draw(data, tokenizer, 1, replace(sound_stage(), audio_start=1.0, audio_end=1.0))
    assert heard.has_audio.all() and heard.audio[:, :-1].any() and not heard.audio[:, -1].any()


def test_words_are_hidden_and_texts_dropped(data, tokenizer):
    batch = draw(data, tokenizer, 0, hidden_words=1.0, text_dropout=0.0)
    words = batch.tokens[batch.attention_mask.bool()]
    assert set(words.tolist()) <= {UNKNOWN, tokenizer.eos_token_id}
    empty = draw(data, tokenizer, 0, text_dropout=1.0)
    assert empty.attention_mask.sum(1).tolist() == [1] * len(empty.tokens)


@pytest.mark.slow
def test_steps_lower_the_loss_and_audio_modules_learn(trainer, data, tokenizer):
    batch = draw(data, tokenizer, 0, replace(sound_stage(), audio_start=1.0, audio_end=1.0))
    figures = [trainer.step(batch, sound_stage(), 0.1) for _ in range(12)]
    assert figures[-1]["loss"] < 0.97 * figures[0]["loss"]
    assert figures[-1]["focus"] < figures[0]["focus"]
    assert trainer.model.transformer.blocks[0].audio_attn.attn.to_out[0].weight.abs().max() > 0
    heard = trainer.model.transformer.audio_projection(batch.audio)
    assert heard.flatten(0, 1).std(0).mean() > 0.1  # the units are alive: other sounds, other tokens


@pytest.mark.slow
def test_movement_counts_what_frames_have_different(trainer, data, tokenizer):
    """An error that all frames share costs the same; one that differs between them costs more."""
    batch = draw(data, tokenizer, 0)
    with torch.no_grad():
        plain, weighted = (float(trainer.loss(batch, focus=False, movement=extra)[0]) for extra in (0.0, 2.0))
        batch.latents, batch.noise = (part[:, :, :1].expand_as(part) for part in (batch.latents, batch.noise))
        still, same = (float(trainer.loss(batch, focus=False, movement=extra)[0]) for extra in (0.0, 2.0))
    assert weighted > 1.5 * plain
    assert same < 1.01 * still  # the untrained network answers with zeros, so the error is alike in all frames


@pytest.mark.slow
def test_a_stage_may_begin_anew_with_its_own_rate(trainer, data, tokenizer):
    anew = replace(sound_stage(), restart=0.4)
    rates = []
    for stage, stage_progress in ((sound_stage(), 0.5), (anew, 0.5), (anew, 1.0)):
        trainer.step(draw(data, tokenizer, 0), stage, 1.0, stage_progress)
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])
    assert rates[0] < rates[2] * 3 and rates[1] > 5 * rates[0]


def test_biases_of_the_audio_projection_learn_slowly(trainer, data, tokenizer):
    """At the full rate its ReLUs die within some hundred steps and no sound comes through."""
    projection = trainer.model.transformer.audio_projection
    muon, adam = trainer.optimizers
    in_muon = {id(parameter) for parameter in muon.param_groups[0]["params"]}
    assert {id(layer.weight) for layer in (projection.linear_1, projection.linear_2, projection.linear_3)} <= in_muon
    trainer.step(draw(data, tokenizer, 0), sound_stage(), 0.3)
    fast, slow = adam.param_groups
    assert any(parameter is projection.linear_1.bias for parameter in slow["params"])
    assert slow["lr"] == pytest.approx(0.1 * fast["lr"])


@pytest.mark.slow
def test_the_text_encoder_stays_as_it_was_read(trainer, data, tokenizer):
    before = copy.deepcopy(trainer.model.text_encoder.state_dict())
    trainer.step(draw(data, tokenizer, 0), sound_stage(), 0.3)
    after = trainer.model.text_encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.slow
@pytest.mark.usefixtures("without_bfloat16")
def test_a_resumed_training_is_the_same_training(trainer, folder, data, tokenizer, tmp_path):
    run = Run(tmp_path, 6)
    for step in range(3):
        trainer.step(draw(data, tokenizer, step), sound_stage(), 0.3)
    run.save(step=3, trainer=copy.deepcopy(trainer.state()))
    expected = [trainer.step(draw(data, tokenizer, step), sound_stage(), 0.3) for step in (3, 4)]
    fresh = Trainer(make_mini(STD, 16, load_text_encoder(folder)[1], layers=2), ModelSettings())
    fresh.load(run.load()["trainer"])
    assert [fresh.step(draw(data, tokenizer, step), sound_stage(), 0.3) for step in (3, 4)] == expected
    for ours, theirs in zip(fresh.ema.shadow_params, trainer.ema.shadow_params, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch.compile looks at it while tracing
@pytest.mark.usefixtures("without_bfloat16")
def test_a_compiled_step_is_the_same_step_and_goes_on_from_either(trainer, folder, data, tokenizer):
    """What torch.compile makes of it, but for the last translation to C++; lengths change from step to step."""
    begin, stage = copy.deepcopy(trainer.state()), replace(sound_stage(), movement=2.0)
    other = Trainer(make_mini(STD, 16, load_text_encoder(folder)[1], layers=2), ModelSettings())
    other.load(begin)
    other.compile(backend="aot_eager")
    for step in range(3):
        batch = draw(data, tokenizer, step, replace(stage, latent_frames=(1 + 2 * step,)))
        plain, compiled = (each.step(batch, stage, 0.3) for each in (trainer, other))
        for name, share in (("loss", 2e-3), ("norm", 2e-2)):
            assert compiled[name] == pytest.approx(float(plain[name]), rel=share)
    assert other.state()["model"].keys() == begin["model"].keys()
    trainer.load(other.state())


@pytest.mark.slow
def test_the_loop_trains_resumes_and_writes_a_pipeline_that_talks(folder):
    settings = LoopSettings(steps=2, layers=1, save_every=1, sheet_every=2, sheet_cases=1)
    train_transformer(folder, settings)
    before = load_file(folder / "pipeline" / "transformer" / "diffusion_pytorch_model.safetensors")
    train_transformer(folder, replace(settings, steps=3, sheet_every=3))
    after = load_file(folder / "pipeline" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert Run(folder / "transformer", 3).load()["step"] == 3
    assert any(not torch.equal(before[name], after[name]) for name in before)
    with Image.open(folder / "transformer" / "sheet-000003.png") as sheet:
        assert sheet.size == (10 * 128, 3 * 128)


@pytest.mark.parametrize("is_fast", [True, False])
def test_precision_follows_the_processor(monkeypatch, is_fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with mixed_precision("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is (torch.bfloat16 if is_fast else torch.float32)


def test_hearing_in_batches_equals_the_librarys():
    torch.manual_seed(0)
    extractor, encoder = make_audio_encoder(AUDIO_ENCODER)
    sounds = torch.randn(3, 16_000) * 0.1
    with torch.no_grad():
        one_by_one = torch.stack([encode_audio(sound.half().float(), extractor, encoder.eval()) for sound in sounds])
    torch.testing.assert_close(hear(sounds.half(), extractor, encoder).float(), one_by_one, atol=2e-3, rtol=2e-3)


def test_hearing_learns():
    torch.manual_seed(0)
    settings = replace(AUDIO_ENCODER, steps=12)
    _, encoder = make_audio_encoder(settings)
    losses = [loss for _, loss in train_audio_encoder(encoder, MouthReader(settings.width), settings)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    mel, curves = speech_batch(0, settings, "test")
    assert mel.shape == (2, 80, 100) and curves.shape == (2, 25, 2)


def test_masks_shrink_to_shares_per_latent_frame():
    mask = np.zeros((5, 32, 32), bool)
    mask[1:, :16, :16] = True  # the first frame stands alone
    shares = shrink_mask(mask, 2)
    assert shares.shape == (2, 2, 2)
    assert shares[0].sum() == 0 and shares[1].tolist() == [[255, 0], [0, 0]]


def test_an_empty_data_folder_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="train data"):
        ClipData(tmp_path, *make_audio_encoder(AUDIO_ENCODER))


def test_runs_keep_a_log_and_whole_states(tmp_path: Path):
    run = Run(tmp_path, 10)
    assert run.load() is None
    run.save(step=4, model={"weight": torch.ones(2)})
    run.log(4, loss=0.5)
    assert run.load()["step"] == 4
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    assert '"loss": 0.5' in (tmp_path / "log.jsonl").read_text()


def test_clips_that_fill_no_whole_shard_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="700 clips do not fill shards of 500"):
        next(write_shards(tmp_path, DataSettings(num_clips=700), tmp_path, workers=1))


def test_shards_of_another_size_are_not_mixed(folder: Path):
    with pytest.raises(ValueError, match="holds clips of other weights or settings .codec .*, 4 clips a shard"):
        next(
            write_shards(
                folder / "data", DataSettings(num_clips=8, clips_per_shard=8), folder / "autoencoder", workers=1
            )
        )


def test_clips_come_in_while_a_training_runs(folder, data, tmp_path):
    shards = sorted((folder / "data").glob("clips-*.safetensors"))
    (tmp_path / shards[0].name).symlink_to(shards[0])
    growing = ClipData(tmp_path, *load_audio_encoder(folder))
    assert len(growing) == 4 and growing.read_new() == []
    (tmp_path / shards[1].name).symlink_to(shards[1])
    growing.add(growing.read_new())
    assert growing.seeds.tolist() == data.seeds.tolist() == list(range(8))
    taken, expected = (each.take(torch.tensor([6, 1]), 3) for each in (growing, data))
    assert taken["latents"].shape == (2, 8, 3, 8, 8) and taken["audio"].shape[:4] == (2, 3, 8, 5)
    assert all(torch.equal(taken[name], expected[name]) for name in expected)
    assert taken["seeds"].tolist() == [6, 1]


def test_sounds_are_cut_in_windows_as_in_the_pipeline(data):
    audio = data.take(torch.tensor([2]), 3)["audio"][0]
    shard = load_file(data.folder / "clips-0000.safetensors")
    heard = hear(shard["sounds"], data.extractor, data.encoder)[2]
    assert torch.equal(audio, window_audio(heard, 9))


@pytest.mark.slow
def test_plans_made_ahead_by_processes_are_the_same(data, tokenizer):
    settings, stage = BatchSettings(tokens=300), sound_stage()

    def first_three(processes: int) -> list:
        with Planner(tokenizer, settings, processes) as planner:
            plans = planner.plans(5, lambda: data.seeds, lambda step: (stage, step / 10))
            return [next(plans) for _ in range(3)]

    for (_, here, alone), (_, there, ahead) in zip(first_three(0), first_three(1), strict=True):
        assert here == there and alone.step == ahead.step
        for name in ("chosen", "has_image", "has_audio", "tokens", "attention_mask", "sigma"):
            assert np.array_equal(getattr(alone, name), getattr(ahead, name)), name


@pytest.mark.slow
def test_a_further_round_begins_where_the_training_ended(folder, tmp_path):
    """Its learning rate rises anew, its stages are those of a model that can draw, and it resumes as itself."""
    out = tmp_path / "further"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("transformer", "pipeline"))
    settings = LoopSettings(steps=2, tokens=200, layers=1, save_every=1, sheet_every=0)
    with pytest.raises(ValueError, match="needs a trained model"):
        train_transformer(out, replace(settings, further=True))
    train_transformer(out, settings)
    with pytest.raises(ValueError, match="has had 2 steps: ask for more"):
        train_transformer(out, replace(settings, further=True))
    with pytest.raises(ValueError, match="has ended, after 2 steps"):
        train_transformer(out, replace(settings, minutes=1.0))
    run = Run(out / "transformer", 0)
    train_transformer(out, replace(settings, steps=12, further=True))
    first = run.load()
    assert first["step"] == 12 and first["round"]["first"] == 2 and first["round"]["is_over"]
    rate = first["trainer"]["optimizers"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(2.5e-3 * cosine_with_warmup(0.9, 0.02, 0.03))
    with pytest.raises(ValueError, match="ask for another round with --further"):
        train_transformer(out, replace(settings, steps=20))

    run.save(**{**first, "round": {**first["round"], "is_over": False}})  # as if it had been stopped here
    train_transformer(out, replace(settings, steps=13))
    assert run.load()["step"] == 13 and run.load()["round"]["first"] == 2 and run.load()["round"]["further"]
    train_transformer(out, replace(settings, minutes=0.05, further=True))
    last = run.load()
    assert last["round"]["first"] == 13 and last["step"] > 13 and last["round"]["spent"] < 60
    assert last["latent_std"] == first["latent_std"]
    assert list(run.machines()) == ["0"]


def test_the_stages_of_a_further_round_show_sound_from_the_beginning():
    stages = further_stages()
    assert [stage_at(stages, progress)[0].name for progress in (0.0, 0.7)] == ["sound", "movement"]
    assert audio_share(stages[0], 0.0) == audio_share(stages[1], 1.0) == 0.5
    with pytest.raises(ValueError, match="give either"):
        Round.of(None, LoopSettings(steps=None))


@pytest.mark.slow
def test_the_loop_takes_in_clips_and_keeps_the_scale_that_it_began_with(folder, tmp_path):
    out = tmp_path / "growing"
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("transformer", "pipeline", "clips-0001*"))
    settings = LoopSettings(steps=2, tokens=200, layers=1, save_every=1, sheet_every=0)
    train_transformer(out, settings)
    shutil.copy(folder / "data" / "clips-0001.safetensors", out / "data")
    before = Run(out / "transformer", 0).load()["latent_std"]
    train_transformer(out, replace(settings, steps=20))
    config = json.loads((out / "pipeline" / "transformer" / "config.json").read_text())
    assert config["latent_std"] == pytest.approx(before)
    assert ClipData(out / "data", *load_audio_encoder(out)).latent_std() != pytest.approx(before)
    assert '"clips": 8' in (out / "transformer" / "log.jsonl").read_text()
