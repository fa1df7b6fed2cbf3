"""Fine-tuning by the paper's recipe, in one process: freeze lists, curriculum, inputs, losses, resuming, the export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import recipe
import tiny
import torch
import typer
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from humo.dataset.shards import FORMAT, INDEX, NULL_TEXT, PREPARED, tensor_name, write_unit
from humo.finetuning.checkpoint import find_states
from humo.finetuning.command import finetune
from humo.finetuning.model import FinetuneModel, learned_names, make_optimizer, prepare_model, set_rates
from humo.finetuning.objective import check_batch, draw_chance, flow_loss, pose, shared_focus_loss, with_slot
from humo.finetuning.settings import FinetuneSettings, paper_stage, with_changes
from humo.finetuning.source import NullVideo, find_source, load_focus_head, load_transformer
from humo.focus import FaceMaskPredictor, face_mask_loss
from humo.pipeline import HuMoPipeline
from humo.training.stages import audio_share
from humo.transformer import HuMoTransformer3DModel


@pytest.fixture(scope="module")
def wan(tmp_path_factory) -> Path:
    """A tiny Wan."""
    return recipe.wan_folder(tmp_path_factory.mktemp("source") / "wan")


@pytest.fixture(scope="module")
def finished(wan: Path, tmp_path_factory) -> Path:
    """An uninterrupted stage 2 of six steps."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    recipe.training(wan, out, recipe.settings(accumulation=2)).run()
    return out


def model(settings: FinetuneSettings, **changes) -> FinetuneModel:
    """Prepared for training."""
    torch.manual_seed(0)
    head = FaceMaskPredictor(tiny.DIM, num_blocks=2) if settings.has_focus else None
    made = FinetuneModel(tiny.transformer(**changes).train(), head)
    prepare_model(made, settings)
    return made


# What learns


def test_freeze_lists_are_the_papers() -> None:
    """Written out module by module, beside what `humo.training.stages` derives."""
    attention = [f"{layer}.{kind}" for layer in ("to_q", "to_k", "to_v", "to_out.0") for kind in ("weight", "bias")]
    attention += ["norm_q.weight", "norm_k.weight"]
    blocks = [f"transformer.blocks.{number}" for number in (0, 1)]
    self_attention = {f"{block}.attn1.{name}" for block in blocks for name in attention}
    audio = {f"{block}.audio_attn.attn.{name}" for block in blocks for name in attention}
    audio |= {f"{block}.audio_attn.norm_audio.{kind}" for block in blocks for kind in ("weight", "bias")}
    layers = ("linear_1", "linear_2", "linear_3", "norm")
    audio |= {f"transformer.audio_projection.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    one, two = recipe.settings(1), recipe.settings(2)
    assert set(learned_names(model(one), one)) == self_attention
    head = {f"focus_head.{name}" for name in FaceMaskPredictor(tiny.DIM, num_blocks=2).state_dict()}
    assert set(learned_names(model(two), two)) == self_attention | audio | head


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("rank", [0, 2])
def test_gradients_are_absent_elsewhere(stage: int, rank: int) -> None:
    settings = recipe.settings(stage, lora_rank=rank)
    trained = model(settings)
    names = set(learned_names(trained, settings))
    batch = recipe.batch()
    question = pose(batch, draw_chance(batch, settings, 1.0, 0, 0), 8, settings)
    predicted, logits = trained(*question.inputs())
    loss = flow_loss(predicted, question.velocity)
    if logits is not None:
        loss = loss + face_mask_loss(logits[:, :3], question.face)
    loss.backward()
    for name, parameter in trained.named_parameters():
        assert (parameter.grad is not None) == (name in names), name
        assert parameter.requires_grad == (name in names)
    if rank:
        whole = [name for name in names if "attn1" in name and "lora_" not in name]
        assert not whole
        assert any("lora_A" in name for name in names)


def test_the_focus_loss_is_in_stage_2_alone(wan: Path, tmp_path: Path, finished: Path) -> None:
    recipe.training(wan, tmp_path, recipe.settings(1, steps=1)).run()
    assert {"loss", "flow"} <= set(recipe.read_log(tmp_path)[0])
    assert not {"focus", "iou"} & set(recipe.read_log(tmp_path)[0])
    assert not (tmp_path / "focus_head").exists()
    line = recipe.read_log(finished)[0]
    assert line["loss"] == pytest.approx(line["flow"] + 0.05 * line["focus"], abs=2e-5)


def test_frozen_weights_do_not_move(wan: Path, finished: Path) -> None:
    before = load_transformer(find_source(str(wan)), **recipe.AUDIO).state_dict()
    after = HuMoTransformer3DModel.from_pretrained(finished / "transformer").state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert all("attn1." in name or "audio_attn." in name or "audio_projection." in name for name in moved)
    assert any("attn1.to_q" in name for name in moved)
    assert any("audio_attn" in name for name in moved)


def test_frozen_matrices_are_kept_in_bfloat16() -> None:
    settings = recipe.settings(2, mixed_precision="bf16")
    prepared = dict(model(settings).named_parameters())
    assert prepared["transformer.blocks.0.ffn.net.2.weight"].dtype == torch.bfloat16
    assert prepared["transformer.blocks.0.scale_shift_table"].dtype == torch.float32
    assert prepared["transformer.condition_embedder.time_embedder.linear_1.weight"].dtype == torch.float32
    assert all(prepared[name].dtype == torch.float32 for name in learned_names(model(settings), settings))


def test_rates() -> None:
    settings = recipe.settings(2, learning_rate=1e-3, audio_learning_rate=2e-3, warmup_steps=4)
    optimizer = make_optimizer(model(settings), settings)
    assert {group["peak"] for group in optimizer.param_groups} == {1e-3, 2e-3}
    assert [set_rates(optimizer, step, 4) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3, 2e-3}


# What is shown


def test_the_curriculums_end_points() -> None:
    stage = paper_stage(FinetuneSettings(stage=2))
    assert audio_share(stage, 0.0) == 0.2
    assert audio_share(stage, 1.0) == 0.5
    assert audio_share(stage, 0.25) == pytest.approx(0.35)
    assert audio_share(paper_stage(FinetuneSettings(stage=1)), 1.0) == 0.0
    settings, batch = recipe.settings(2), recipe.batch(size=400)
    for share in (0.2, 0.5):
        heard = draw_chance(batch, settings, share, 0, 0).hears.float().mean()
        assert abs(float(heard) - share) < 0.07


def test_conditions_are_dropped_at_their_rates() -> None:
    settings = recipe.settings(2, text_dropout=0.3, image_dropout=0.2, sync_image_dropout=0.6)
    chance = draw_chance(recipe.batch(size=600), settings, 0.5, 0, 0)
    assert abs(float(chance.shows_text.float().mean()) - 0.7) < 0.06
    assert abs(float(chance.shows_image[chance.hears].float().mean()) - 0.4) < 0.08
    assert abs(float(chance.shows_image[~chance.hears].float().mean()) - 0.8) < 0.08


def test_noise_levels() -> None:
    settings = recipe.settings(2)
    logits = torch.logit(draw_chance(recipe.batch(size=600), settings, 0.5, 0, 0).sigma)
    assert abs(float(logits.mean())) < 0.15
    assert abs(float(logits.std()) - 1) < 0.1
    shifted = draw_chance(recipe.batch(), replace(settings, noise_shift=5.0), 0.5, 0, 0).sigma
    plain = draw_chance(recipe.batch(), settings, 0.5, 0, 0).sigma
    torch.testing.assert_close(shifted, 5 * plain / (1 + 4 * plain))


def test_chance_depends_on_the_clips_place_alone() -> None:
    settings = recipe.settings(2)
    whole = draw_chance(recipe.batch(size=4), settings, 0.5, 7, 0)
    second = draw_chance(recipe.batch(size=2), settings, 0.5, 7, 2)
    torch.testing.assert_close(whole.noise[2:], second.noise)
    torch.testing.assert_close(whole.sigma[2:], second.sigma)
    assert not torch.equal(whole.noise[0], whole.noise[1])
    other = draw_chance(recipe.batch(size=4), settings, 0.5, 8, 0)
    assert not torch.equal(whole.noise, other.noise)


def test_the_first_form_shows_clean_references_and_nulls() -> None:
    settings, batch = recipe.settings(2), recipe.batch()
    chance = draw_chance(batch, settings, 0.5, 0, 0)
    yes, no = torch.tensor([True, True]), torch.tensor([True, False])
    chance = replace(chance, shows_text=no, shows_image=no, hears=no)
    question = pose(batch, chance, 8, settings)
    sigma = chance.sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * batch.latents + sigma * chance.noise[:, :, :3]
    torch.testing.assert_close(question.hidden_states[:, :, :3], noisy)
    torch.testing.assert_close(question.hidden_states[0, :, 3:], batch.references[0])
    assert not question.hidden_states[1, :, 3:].any()
    torch.testing.assert_close(question.encoder_hidden_states[1], batch.null_text[0])
    torch.testing.assert_close(question.encoder_hidden_states[0], batch.text[0])
    torch.testing.assert_close(question.audio_hidden_states[0], batch.audio[0])
    assert not question.audio_hidden_states[1].any()
    torch.testing.assert_close(question.velocity, chance.noise[:, :, :3] - batch.latents)
    torch.testing.assert_close(question.timestep, 1000 * chance.sigma)
    torch.testing.assert_close(question.face, batch.face)
    alone = pose(batch, replace(chance, shows_text=yes), 8, replace(settings, focus_on_silent=False))
    assert alone.face[0].any() and not alone.face[1].any()


def test_the_second_form_shows_mask_and_null_video() -> None:
    settings, batch = recipe.settings(2), recipe.batch(references=2)
    chance = draw_chance(batch, settings, 0.5, 0, 0)
    chance = replace(chance, shows_image=torch.tensor([True, False]))
    black = torch.randn(1, 8, 5, 4, 6)
    question = pose(batch, chance, 20, settings, black)
    noisy, mask, condition = question.hidden_states.split((8, 4, 8), dim=1)
    assert mask[:, :, 3:].all() and not mask[:, :, :3].any()
    torch.testing.assert_close(condition[0, :, 3:], batch.references[0])
    torch.testing.assert_close(condition[1], black[0])
    torch.testing.assert_close(condition[0, :, :3], black[0, :, :3])
    clean = torch.cat([batch.latents[1], black[0, :, 3:]], dim=1)
    torch.testing.assert_close(question.velocity[1], chance.noise[1] - clean)
    torch.testing.assert_close(noisy[1], clean + chance.sigma[1] * (chance.noise[1] - clean))
    with pytest.raises(ValueError, match="black_video is missing"):
        pose(batch, chance, 20, settings)


def test_clips_without_a_reference_get_an_empty_place() -> None:
    settings, batch = recipe.settings(2), recipe.batch(references=0)
    assert with_slot(batch).references.shape == (2, 8, 1, 4, 6)
    chance = draw_chance(batch, settings, 1.0, 0, 0)
    question = pose(batch, chance, 8, settings)
    assert not chance.shows_image.any()
    assert question.hidden_states.shape[2] == question.audio_hidden_states.shape[1] == 4
    assert not question.hidden_states[:, :, 3:].any()


def test_the_focus_loss_counts_every_face_alike() -> None:
    batch, logits = recipe.batch(size=4), torch.randn(4, 3, 4, 6)
    num_faces = float(batch.face.flatten(2).any(-1).sum())
    halves = [shared_focus_loss(logits[part], batch.face[part], num_faces, 2) for part in (slice(2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, face_mask_loss(logits, batch.face))
    nothing = torch.zeros_like(batch.face)
    assert shared_focus_loss(logits, nothing, 0.0, 1) == 0


# Where it begins


@torch.no_grad()
@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("has_condition_channels", [False, True])
def test_step_0_from_wan_equals_wan(wan: Path, rank: int, has_condition_channels: bool) -> None:
    settings = recipe.settings(2, lora_rank=rank, condition_channels=has_condition_channels)
    begun = load_transformer(find_source(str(wan)), has_condition_channels, **recipe.AUDIO)
    trained = FinetuneModel(begun, None)
    prepare_model(trained, settings)
    batch = recipe.batch()
    chance = replace(draw_chance(batch, settings, 1.0, 0, 0), shows_image=torch.ones(2, dtype=torch.bool))
    black = torch.randn(1, 8, 4, 4, 6) if has_condition_channels else None
    question = pose(batch, chance, begun.config.in_channels, settings, black)
    expected = recipe.wan()(*(part[:, :8] if part.ndim == 5 else part for part in question.inputs()[:3])).sample
    torch.testing.assert_close(trained(*question.inputs())[0], expected)
    assert any("patch_embedding" in name for name in learned_names(trained, settings)) == has_condition_channels


def test_empty_weights_have_the_shapes(wan: Path) -> None:
    whole, empty = (load_transformer(find_source(str(wan)), is_empty=is_empty, **recipe.AUDIO) for is_empty in (0, 1))
    assert not any(parameter.is_meta for parameter in empty.parameters())
    assert {n: p.shape for n, p in whole.named_parameters()} == {n: p.shape for n, p in empty.named_parameters()}
    torch.testing.assert_close(dict(whole.named_buffers()), dict(empty.named_buffers()))


def test_sources_that_do_not_fit_are_one_sentence(wan: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no folder 'nowhere': give a Wan2.1 text-to-video folder"):
        find_source("nowhere")
    with pytest.raises(ValueError, match="holds no transformer"):
        find_source(str(tmp_path))
    with pytest.raises(ValueError, match="The 17B model is not converted yet: run `python -m humo convert"):
        find_source("17B")
    tiny.codec().save_pretrained(tmp_path / "codec")
    with pytest.raises(ValueError, match="holds a HuMoVideoCodec, neither Wan nor HuMo"):
        find_source(str(tmp_path / "codec"))
    picture_model = recipe.wan_folder(tmp_path / "i2v", image_dim=16, added_kv_proj_dim=48)
    with pytest.raises(ValueError, match="text-to-video"):
        load_transformer(find_source(str(picture_model)), **recipe.AUDIO)
    broken = Path(shutil.copytree(wan, tmp_path / "broken"))
    file = next((broken / "transformer").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="truncated or damaged"):
        find_source(str(broken))
    second_form = tmp_path / "second"
    tiny.transformer(in_channels=20).save_pretrained(second_form)
    with pytest.raises(ValueError, match="has no video codec.*--vae"):
        NullVideo(find_source(str(second_form)))
    with pytest.raises(ValueError, match="second is a HuMo already, whose form stays"):
        load_transformer(find_source(str(second_form)), has_condition_channels=True)
    FaceMaskPredictor(dim=4).save_pretrained(tmp_path / "second" / "focus_head")
    source = find_source(str(second_form))
    with pytest.raises(ValueError, match="focus head in second has .* are needed"):
        load_focus_head(source, load_transformer(source), 8)


def test_settings_that_are_wrong_are_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"stage is 3 but there are 1 \(subject preservation\), 2 \(audio-visual"):
        FinetuneSettings(stage=3)
    with pytest.raises(ValueError, match="steps is 0 but must be 1 or more"):
        FinetuneSettings(stage=1, steps=0)
    with pytest.raises(ValueError, match="mixed_precision is 'fp8': use no or bf16"):
        FinetuneSettings(stage=1, mixed_precision="fp8")
    with pytest.raises(ValueError, match="names no setting: give name=value, where name is stage, steps"):
        with_changes(FinetuneSettings(stage=1), ["speed=3"])
    with pytest.raises(ValueError, match="--set steps=many is wrong: steps is a whole number"):
        with_changes(FinetuneSettings(stage=1), ["steps=many"])
    changed = with_changes(FinetuneSettings(stage=1), ["ema_decay=0.9", "gradient_checkpointing=false", "beta1=0"])
    assert (changed.ema_decay, changed.gradient_checkpointing, changed.beta1) == (0.9, False, 0.0)


def test_data_that_does_not_fit_is_one_sentence(wan: Path, tmp_path: Path) -> None:
    config = tiny.transformer().config
    check_batch(recipe.batch(), config)
    with pytest.raises(ValueError, match="has latent channels 4 but the transformer reads 8: prepare the data"):
        recipe.training(wan, tmp_path, recipe.settings(), recipe.Clips(channels=4)).run()
    with pytest.raises(ValueError, match="text channels 16"):
        check_batch(recipe.batch(), tiny.transformer(text_dim=12).config)
    with pytest.raises(ValueError, match=r"audio windows \(8, 5, 8\)"):
        check_batch(recipe.batch(), tiny.transformer(audio_channels=4).config)
    odd = replace(recipe.batch(), latents=torch.zeros(2, 8, 3, 5, 6))
    with pytest.raises(ValueError, match="latents are 5x6, no multiple of the patch"):
        check_batch(odd, config)


# Going on


@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_training_is_the_uninterrupted_one(wan: Path, finished: Path, tmp_path: Path, stop: int) -> None:
    settings, whole, clips = recipe.settings(accumulation=2), recipe.Clips(), recipe.Clips()
    recipe.training(wan, tmp_path, settings, clips).run(stop_at=stop)
    assert not (tmp_path / "finetune.json").exists()
    again = recipe.training(wan, tmp_path, settings, clips)
    assert again.step == stop
    again.run()
    assert recipe.read_log(tmp_path) == recipe.read_log(finished)
    batches = whole.batches(2, settings.seed)
    for _ in range(12):
        next(batches)
    assert clips.seen == whole.seen
    for part in ("transformer", "focus_head", f"states/step-00000{settings.steps}"):
        for file in sorted((finished / part).glob("*.safetensors")):
            mine, theirs = load_file(tmp_path / part / file.name), load_file(file)
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) for name in theirs), file


def test_the_last_states_are_kept(wan: Path, tmp_path: Path) -> None:
    settings = recipe.settings(1, checkpoint_every=1, keep_checkpoints=2)
    recipe.training(wan, tmp_path, settings).run(stop_at=4)
    assert [state.name for state in find_states(tmp_path / "states")] == ["step-000003", "step-000004"]
    left = tmp_path / "states" / "step-000005.part"  # what a killed run leaves
    shutil.copytree(tmp_path / "states" / "step-000004", left)
    assert recipe.training(wan, tmp_path, settings).step == 4
    (tmp_path / "states" / "step-000004" / "state.json").unlink()
    assert recipe.training(wan, tmp_path, settings).step == 3
    file = tmp_path / "states" / "step-000003" / "moments.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="step-000003/moments.safetensors is truncated or damaged: remove this state"):
        recipe.training(wan, tmp_path, settings)


def test_going_on_with_something_else_is_refused(wan: Path, tmp_path: Path) -> None:
    settings = recipe.settings(1)
    recipe.training(wan, tmp_path / "out", settings).run(stop_at=1)
    with pytest.raises(ValueError, match="begun with learning_rate 0.001 and not 0.1: give what it had"):
        recipe.training(wan, tmp_path / "out", replace(settings, learning_rate=0.1))
    with pytest.raises(ValueError, match="begun with stage 1 and not 2"):
        recipe.training(wan, tmp_path / "out", recipe.settings(2))
    assert recipe.training(wan, tmp_path / "out", replace(settings, log_every=5)).step == 1
    other = Path(shutil.copytree(wan, tmp_path / "other"))
    changed = recipe.wan()
    torch.nn.init.ones_(changed.blocks[1].ffn.net[2].weight)
    changed.save_pretrained(other / "transformer")
    with pytest.raises(ValueError, match="begun from other weights than --from holds"):
        recipe.training(other, tmp_path / "out", settings)
    state = tmp_path / "out" / "states" / "step-000001" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "processes": 8}))
    with pytest.raises(ValueError, match="begun with 8 processes and not 1, which would change the order of the data"):
        recipe.training(wan, tmp_path / "out", settings)


# What comes out


def test_stage_2_goes_on_from_stage_1(wan: Path, tmp_path: Path) -> None:
    recipe.training(wan, tmp_path / "one", recipe.settings(1, steps=2)).run()
    one = HuMoTransformer3DModel.from_pretrained(tmp_path / "one" / "transformer").state_dict()
    second = recipe.training(tmp_path / "one", tmp_path / "two", recipe.settings(2, steps=1))
    begun = {name.removeprefix("transformer."): value for name, value in second.model.state_dict().items()}
    assert all(torch.equal(begun[name], one[name]) for name in one)
    second.run()
    head = FaceMaskPredictor.from_pretrained(tmp_path / "two" / "focus_head")
    third = recipe.training(tmp_path / "two", tmp_path / "three", recipe.settings(2, steps=1))
    for name, value in head.state_dict().items():
        assert torch.equal(third.model.focus_head.state_dict()[name], value)


def test_averages_are_exported(finished: Path) -> None:
    state = finished / "states" / "step-000006"
    averages, weights = load_file(state / "averages.safetensors"), load_file(state / "weights.safetensors")
    exported = load_file(finished / "transformer" / "diffusion_pytorch_model.safetensors")
    name = "blocks.1.attn1.to_q.weight"
    assert torch.equal(exported[name], averages[f"transformer.{name}"])
    assert not torch.equal(exported[name], weights[f"transformer.{name}"])
    record = json.loads((finished / "finetune.json").read_text())
    assert (record["steps"], record["clips"], record["source"]) == (6, 24, "wan")
    events = EventAccumulator(str(finished / "logs" / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("loss")]
    assert logged == pytest.approx([line["loss"] for line in recipe.read_log(finished)], abs=1e-5)


def test_lora_loads_into_a_pipeline(tmp_path: Path) -> None:
    """Stage 1 with LoRA from a pipeline: what it learned loads by `load_lora_weights` and is what the training had."""
    pipe = tiny.pipeline("mini")
    pipe.save_pretrained(tmp_path / "pipe")
    settings = recipe.settings(1, steps=3, lora_rank=2, lora_alpha=6, ema_decay=0.0)
    trained = recipe.training(tmp_path / "pipe", tmp_path / "out", settings)
    trained.run()
    loaded = HuMoPipeline.from_pretrained(tmp_path / "pipe")
    question = pose(recipe.batch(), draw_chance(recipe.batch(), settings, 0.0, 0, 0), 8, settings)
    with torch.no_grad():
        before = loaded.transformer(*question.inputs()).sample
        loaded.load_lora_weights(tmp_path / "out" / "lora")
        after = loaded.transformer(*question.inputs()).sample
        expected = trained.model(*question.inputs())[0]
    torch.testing.assert_close(after, expected)
    assert not torch.allclose(after, before)
    base = HuMoTransformer3DModel.from_pretrained(tmp_path / "out" / "transformer").state_dict()
    assert all(torch.equal(base[name], value) for name, value in pipe.transformer.state_dict().items())
    with torch.no_grad():
        merged = load_transformer(find_source(str(tmp_path / "out")))(*question.inputs()).sample
    torch.testing.assert_close(merged, expected)


def test_lora_with_whole_audio_modules(wan: Path, tmp_path: Path) -> None:
    trained = recipe.training(wan, tmp_path, recipe.settings(2, steps=2, lora_rank=2, ema_decay=0.0))
    trained.run()
    question = pose(recipe.batch(), draw_chance(recipe.batch(), recipe.settings(2), 1.0, 0, 0), 8, recipe.settings(2))
    with torch.no_grad():
        expected = trained.model(*question.inputs())[0]
        sample = load_transformer(find_source(str(tmp_path)))(*question.inputs()).sample
    torch.testing.assert_close(sample, expected)


def test_the_second_form_trains_from_a_pipeline(tmp_path: Path) -> None:
    pipe = tiny.pipeline("17B", black_level=0.5)
    pipe.save_pretrained(tmp_path / "pipe")
    trained = recipe.training(
        tmp_path / "pipe", tmp_path / "out", recipe.settings(2, steps=1), recipe.Clips(channels=4)
    )
    assert trained.null_video.level == 0.5
    trained.run()
    source = find_source(str(tmp_path / "out"))
    assert source.vae == tmp_path / "out" / "vae"
    assert source.black_level == 0.5
    black = NullVideo(source)(4, 4, 6, torch.device("cpu"))
    assert black.shape == (1, 4, 4, 4, 6)


def test_training_lowers_the_loss(wan: Path, tmp_path: Path) -> None:
    settings = recipe.settings(2, steps=30, checkpoint_every=100, batch_size=4, gradient_checkpointing=False)
    recipe.training(wan, tmp_path, replace(settings, learning_rate=3e-3, mixed_precision="bf16")).run()
    losses = [line["flow"] for line in recipe.read_log(tmp_path)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


# The command


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Two clips as `python -m humo prepare` writes them."""
    folder = tmp_path / "prepared"
    (folder / "shards").mkdir(parents=True)
    tensors = {}
    for row in (0, 1):
        clip = recipe.batch(1, first=row)
        tensors |= {
            tensor_name(row, name): getattr(clip, name)[0] for name in ("latents", "references", "text", "face")
        }
        tensors[tensor_name(row, "audio")] = torch.randn(9, 5, tiny.AUDIO_CHANNELS)
    write_unit(folder, 0, tensors, {"samples": [], "dropped": [], "seconds": {}})
    save_file({"text": torch.zeros(12, tiny.TEXT_DIM)}, folder / NULL_TEXT)
    size = (folder / "shards" / "clips-000000.safetensors").stat().st_size
    index = {"format": FORMAT, "units": 1, "units_total": 1, "bytes": [[0, size]]}
    samples = [[row, f"clip{row}", 0, 3, 4, 6, 1] for row in (0, 1)]
    (folder / INDEX).write_text(json.dumps({**index, "samples": samples}))
    (folder / PREPARED).write_text("{}")
    return folder


def call(*arguments: object) -> None:
    """`python -m humo finetune` with arguments."""
    app = typer.Typer()
    app.command()(finetune)
    AcceleratorState._reset_state(reset_partial_state=True)
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_the_command(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tiny.pipeline("mini").save_pretrained(tmp_path / "pipe")
    begin = ["--stage", 2, "--from", tmp_path / "pipe", "--out", tmp_path / "out", "--steps", 2, "--cpu"]
    quick = ["--set", "checkpoint_every=1", "--mixed-precision", "no"]
    call(*begin, "--data", prepared, *quick, "--stop-at", 1)
    assert not capsys.readouterr().out
    call(*begin, "--data", prepared, *quick)
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "out")
    assert "Stage 2 on 1 x cpu: 0.0 of 0.1 million weights learn" in told.err
    assert HuMoTransformer3DModel.from_pretrained(tmp_path / "out" / "transformer").config.num_layers == 2
    with pytest.raises(ValueError, match="stage is 4"):
        call("--stage", 4, *begin[2:], "--data", prepared)
    with pytest.raises(ValueError, match=r"index.json is missing: run `python -m humo prepare`"):
        call(*begin, "--data", tmp_path)
    with pytest.raises(ValueError, match="begun with seed 0 and not 5"):
        call(*begin, "--data", prepared, *quick, "--seed", 5)
