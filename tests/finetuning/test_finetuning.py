"""Fine-tuning by the paper's recipe, before it runs: freeze lists, curriculum, inputs, losses, where it begins."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import recipe
import tiny
import torch

from humo.finetuning.model import FinetuneModel, learned_names, make_optimizer, prepare_model, set_rates
from humo.finetuning.objective import draw_random, flow_loss, make_model_inputs, shared_focus_loss, with_slot
from humo.finetuning.settings import FinetuneSettings, paper_stage, with_changes
from humo.finetuning.source import NullVideo, find_source, load_focus_head, load_transformer
from humo.focus import FaceMaskPredictor, face_mask_loss
from humo.training.transformer.stages import audio_share


@pytest.fixture(scope="module")
def wan(tmp_path_factory) -> Path:
    """A tiny Wan."""
    return recipe.wan_folder(tmp_path_factory.mktemp("source") / "wan")


def model(settings: FinetuneSettings, **changes) -> FinetuneModel:
    """Prepared for training."""
    torch.manual_seed(0)
    head = FaceMaskPredictor(tiny.DIM, num_blocks=2) if settings.has_focus else None
    made = FinetuneModel(tiny.transformer(**changes).train(), head)
    prepare_model(made, settings)
    return made


# What learns


def test_freeze_lists_are_the_papers() -> None:
    """Written out module by module, beside what `humo.training.transformer.stages` derives."""
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
    question = make_model_inputs(batch, draw_random(batch, settings, 1.0, 0, 0), 8, settings)
    predicted, logits = trained(*question.arguments())
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
        heard = draw_random(batch, settings, share, 0, 0).hears.float().mean()
        assert abs(float(heard) - share) < 0.07


def test_conditions_are_dropped_at_their_rates() -> None:
    settings = recipe.settings(2, text_dropout=0.3, image_dropout=0.2, sync_image_dropout=0.6)
    draws = draw_random(recipe.batch(size=600), settings, 0.5, 0, 0)
    assert abs(float(draws.shows_text.float().mean()) - 0.7) < 0.06
    assert abs(float(draws.shows_image[draws.hears].float().mean()) - 0.4) < 0.08
    assert abs(float(draws.shows_image[~draws.hears].float().mean()) - 0.8) < 0.08


def test_noise_levels() -> None:
    settings = recipe.settings(2)
    logits = torch.logit(draw_random(recipe.batch(size=600), settings, 0.5, 0, 0).sigma)
    assert abs(float(logits.mean())) < 0.15
    assert abs(float(logits.std()) - 1) < 0.1
    shifted = draw_random(recipe.batch(), replace(settings, noise_shift=5.0), 0.5, 0, 0).sigma
    plain = draw_random(recipe.batch(), settings, 0.5, 0, 0).sigma
    torch.testing.assert_close(shifted, 5 * plain / (1 + 4 * plain))


def test_chance_depends_on_the_clips_place_alone() -> None:
    settings = recipe.settings(2)
    whole = draw_random(recipe.batch(size=4), settings, 0.5, 7, 0)
    second = draw_random(recipe.batch(size=2), settings, 0.5, 7, 2)
    torch.testing.assert_close(whole.noise[2:], second.noise)
    torch.testing.assert_close(whole.sigma[2:], second.sigma)
    assert not torch.equal(whole.noise[0], whole.noise[1])
    other = draw_random(recipe.batch(size=4), settings, 0.5, 8, 0)
    assert not torch.equal(whole.noise, other.noise)


def test_the_first_form_shows_clean_references_and_nulls() -> None:
    settings, batch = recipe.settings(2), recipe.batch()
    draws = draw_random(batch, settings, 0.5, 0, 0)
    yes, no = torch.tensor([True, True]), torch.tensor([True, False])
    draws = replace(draws, shows_text=no, shows_image=no, hears=no)
    question = make_model_inputs(batch, draws, 8, settings)
    sigma = draws.sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - sigma) * batch.latents + sigma * draws.noise[:, :, :3]
    torch.testing.assert_close(question.hidden_states[:, :, :3], noisy)
    torch.testing.assert_close(question.hidden_states[0, :, 3:], batch.references[0])
    assert not question.hidden_states[1, :, 3:].any()
    torch.testing.assert_close(question.encoder_hidden_states[1], batch.null_text[0])
    torch.testing.assert_close(question.encoder_hidden_states[0], batch.text[0])
    torch.testing.assert_close(question.audio_hidden_states[0], batch.audio[0])
    assert not question.audio_hidden_states[1].any()
    torch.testing.assert_close(question.velocity, draws.noise[:, :, :3] - batch.latents)
    torch.testing.assert_close(question.timestep, 1000 * draws.sigma)
    torch.testing.assert_close(question.face, batch.face)
    alone = make_model_inputs(batch, replace(draws, shows_text=yes), 8, replace(settings, focus_on_silent=False))
    assert alone.face[0].any() and not alone.face[1].any()


def test_the_second_form_shows_mask_and_null_video() -> None:
    settings, batch = recipe.settings(2), recipe.batch(references=2)
    draws = draw_random(batch, settings, 0.5, 0, 0)
    draws = replace(draws, shows_image=torch.tensor([True, False]))
    black = torch.randn(1, 8, 5, 4, 6)
    question = make_model_inputs(batch, draws, 20, settings, black)
    noisy, mask, condition = question.hidden_states.split((8, 4, 8), dim=1)
    assert mask[:, :, 3:].all() and not mask[:, :, :3].any()
    torch.testing.assert_close(condition[0, :, 3:], batch.references[0])
    torch.testing.assert_close(condition[1], black[0])
    torch.testing.assert_close(condition[0, :, :3], black[0, :, :3])
    clean = torch.cat([batch.latents[1], black[0, :, 3:]], dim=1)
    torch.testing.assert_close(question.velocity[1], draws.noise[1] - clean)
    torch.testing.assert_close(noisy[1], clean + draws.sigma[1] * (draws.noise[1] - clean))
    with pytest.raises(ValueError, match="black_video is missing"):
        make_model_inputs(batch, draws, 20, settings)


def test_clips_without_a_reference_get_an_empty_place() -> None:
    settings, batch = recipe.settings(2), recipe.batch(references=0)
    assert with_slot(batch).references.shape == (2, 8, 1, 4, 6)
    draws = draw_random(batch, settings, 1.0, 0, 0)
    question = make_model_inputs(batch, draws, 8, settings)
    assert not draws.shows_image.any()
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
    draws = replace(draw_random(batch, settings, 1.0, 0, 0), shows_image=torch.ones(2, dtype=torch.bool))
    black = torch.randn(1, 8, 4, 4, 6) if has_condition_channels else None
    question = make_model_inputs(batch, draws, begun.config.in_channels, settings, black)
    expected = recipe.wan()(*(part[:, :8] if part.ndim == 5 else part for part in question.arguments()[:3])).sample
    torch.testing.assert_close(trained(*question.arguments())[0], expected)
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
