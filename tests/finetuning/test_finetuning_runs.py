"""Runs of a fine-tuning in one process: resuming, the states, the export, LoRA, the command."""

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

from humo.finetuning.checkpoint import find_states
from humo.finetuning.command import finetune
from humo.finetuning.dataset.shards import FORMAT, INDEX, NULL_TEXT, PREPARED, tensor_name, write_unit
from humo.finetuning.objective import check_batch, draw_random, make_model_inputs
from humo.finetuning.sharding import write_tensors
from humo.finetuning.source import NullVideo, find_source, load_transformer
from humo.focus import FaceMaskPredictor
from humo.pipeline import HuMoPipeline
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_later_export_takes_the_earlier_ones_place(tmp_path: Path) -> None:
    for value in (0.0, 1.0):
        write_tensors({"weight": torch.full((4,), value)}, tmp_path, "model", is_main=True)
    assert load_file(tmp_path / "model.safetensors")["weight"].tolist() == [1.0] * 4


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


@pytest.mark.slow
def test_lora_loads_into_a_pipeline(tmp_path: Path) -> None:
    """Stage 1 with LoRA from a pipeline: what it learned loads by `load_lora_weights` and is what the training had."""
    pipe = tiny.pipeline("mini")
    pipe.save_pretrained(tmp_path / "pipe")
    settings = recipe.settings(1, steps=3, lora_rank=2, lora_alpha=6, ema_decay=0.0)
    trained = recipe.training(tmp_path / "pipe", tmp_path / "out", settings)
    trained.run()
    loaded = HuMoPipeline.from_pretrained(tmp_path / "pipe")
    question = make_model_inputs(recipe.batch(), draw_random(recipe.batch(), settings, 0.0, 0, 0), 8, settings)
    with torch.no_grad():
        before = loaded.transformer(*question.arguments()).sample
        loaded.load_lora_weights(tmp_path / "out" / "lora")
        after = loaded.transformer(*question.arguments()).sample
        expected = trained.model(*question.arguments())[0]
    torch.testing.assert_close(after, expected)
    assert not torch.allclose(after, before)
    base = HuMoTransformer3DModel.from_pretrained(tmp_path / "out" / "transformer").state_dict()
    assert all(torch.equal(base[name], value) for name, value in pipe.transformer.state_dict().items())
    with torch.no_grad():
        merged = load_transformer(find_source(str(tmp_path / "out")))(*question.arguments()).sample
    torch.testing.assert_close(merged, expected)


@pytest.mark.slow
def test_lora_with_whole_audio_modules(wan: Path, tmp_path: Path) -> None:
    trained = recipe.training(wan, tmp_path, recipe.settings(2, steps=2, lora_rank=2, ema_decay=0.0))
    trained.run()
    question = make_model_inputs(
        recipe.batch(), draw_random(recipe.batch(), recipe.settings(2), 1.0, 0, 0), 8, recipe.settings(2)
    )
    with torch.no_grad():
        expected = trained.model(*question.arguments())[0]
        sample = load_transformer(find_source(str(tmp_path)))(*question.arguments()).sample
    torch.testing.assert_close(sample, expected)


@pytest.mark.slow
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


@pytest.mark.slow
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
