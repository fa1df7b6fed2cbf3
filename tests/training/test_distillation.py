"""The fast form: what the student is told, what it learns from, and that it arrives where it says.

Run: python -m pytest tests/training/test_distillation.py
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from humo.__main__ import main
from humo.checkpoints import load
from humo.evaluation.cases import make_cases
from humo.evaluation.fast_form import compare_forms, describe_comparisons
from humo.evaluation.generation import settings_for
from humo.evaluation.masks import mask_iou_by_noise
from humo.guidance import published_17b, telescope
from humo.layers.step_caches import cached
from humo.loading.fast_form import make_fast, merged_transformer
from humo.pipeline import HuMoPipeline
from humo.sampling import Conditions, denoise, make_scheduler
from humo.training import precision
from humo.training.distillation.loop import publish_student, train_student
from humo.training.distillation.student import learned, make_student, take_student
from humo.training.distillation.training import (
    DistillationSettings,
    Distiller,
    draw_distillation_batch,
    load_trajectories,
)
from humo.training.distillation.trajectories import (
    Trajectories,
    TrajectorySettings,
    sample_trajectories,
    write_trajectories,
)
from humo.training.transformer.data import ClipData
from humo.training.transformer.loop import load_audio_encoder, load_text_encoder, make_pipeline
from humo.training.transformer.model import make_mini

SETTINGS = TrajectorySettings(steps=5, tokens=500)
PROMPT = "a woman nods"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.training_folder(tmp_path_factory.mktemp("training"), num_clips=4, seconds=2)


@pytest.fixture(scope="module")
def data(training: Path) -> ClipData:
    return ClipData(training / "data", *load_audio_encoder(training))


@pytest.fixture(scope="module")
def teacher(training: Path, data: ClipData, tmp_path_factory: pytest.TempPathFactory) -> HuMoPipeline:
    """A tiny mini whose branches differ, saved and loaded again."""
    tokenizer, text_encoder = load_text_encoder(training)
    torch.manual_seed(0)
    model = make_mini(data.latent_std(), data.encoder.config.d_model, text_encoder, layers=1, detail_layers=1)
    for name, parameter in model.transformer.named_parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
        parameter.data += 0.02 * torch.randn_like(parameter) * ("norm" not in name)
    folder = tmp_path_factory.mktemp("model")
    make_pipeline(training, model, tokenizer).save_pretrained(folder)
    return load(folder, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def trajectories(teacher: HuMoPipeline, data: ClipData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("distillation")
    assert len([*write_trajectories(teacher, data, out / "trajectories", 2, SETTINGS)]) == 2
    return out


@pytest.fixture(scope="module")
def folder(teacher: HuMoPipeline, trajectories: Path) -> Path:
    """The teacher's folder with a trained fast form in it."""
    settings = DistillationSettings(steps=6, batch_size=3)
    train_student(teacher, trajectories, settings, rank=4, save_every=3, device="cpu")
    model = Path(teacher.name_or_path)
    publish_student(trajectories, model, num_inference_steps=3)
    return model


@pytest.mark.slow
def test_a_trajectory_is_the_loop_of_the_pipeline(
    teacher: HuMoPipeline, data: ClipData, trajectories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = Trajectories.load(trajectories / "trajectories" / "trajectories-0000.safetensors")
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    trajectories = Trajectories.load(next(write_trajectories(teacher, data, tmp_path, 1, SETTINGS)))
    off, size = (rounded.states - trajectories.states).square().mean(), trajectories.states.square().mean()
    assert off < 1e-3 * size, "bfloat16, where the machine multiplies it, changes little"
    sample = 1
    scales = iter(trajectories.scales[:, sample].tolist())

    def rule(timestep: float, has_image: bool, has_audio: bool) -> dict:
        from humo.training.distillation.trajectories import _CHAIN

        return telescope(list(zip(_CHAIN, (1.0, *next(scales)), strict=True)))

    empty = teacher.tokenizer([""], padding="max_length", return_tensors="pt")
    told = Conditions(
        text=trajectories.text[sample, None],
        negative_text=teacher.text_encoder(**empty).last_hidden_state * empty.attention_mask[..., None],
        audio=trajectories.audio[sample, None],
        references=trajectories.references[sample, None],
        num_references=1,
    )
    noise = torch.cat([trajectories.states[0, sample], torch.zeros_like(trajectories.states[0, sample, :, :1])], dim=1)[
        None
    ]
    made = denoise(teacher.transformer, make_scheduler(SETTINGS.shift), rule, told, noise, SETTINGS.steps)
    torch.testing.assert_close(made[0], trajectories.states[-1, sample], rtol=1e-3, atol=1e-3)
    assert trajectories.scales.min() > 0 and len(trajectories.scales.unique()) > 2 * trajectories.scales.shape[1], (
        "every sample has its own"
    )


def test_trajectories_need_a_sound_and_a_reference(teacher: HuMoPipeline) -> None:
    text = teacher.encode_prompt(PROMPT)
    told = Conditions(text=text, negative_text=text, audio=None, references=None, num_references=1)
    with pytest.raises(ValueError, match="no sound or no reference: give both"):
        sample_trajectories(teacher, told, 0, SETTINGS)


def test_trajectories_that_are_there_are_kept(teacher: HuMoPipeline, data: ClipData, trajectories: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (trajectories / "trajectories").iterdir()}
    [*write_trajectories(teacher, data, trajectories / "trajectories", 2, SETTINGS)]
    assert {path: path.stat().st_mtime_ns for path in (trajectories / "trajectories").iterdir()} == before


def test_a_step_along_the_target_arrives_at_the_later_place(trajectories: Path) -> None:
    trajectories = load_trajectories(trajectories / "trajectories")[0]
    batch = draw_distillation_batch(trajectories, np.random.default_rng(0), (1, 2, 3), 40)
    sigma, span = batch.sigma, batch.scalars[:, 3]
    arrived = batch.noisy - span.view(-1, 1, 1, 1, 1) * batch.target
    states = trajectories.states.flatten(0, 1)
    for place, aim, later in zip(batch.noisy, arrived, sigma - span, strict=True):
        start = int((states - place).abs().flatten(1).amax(1).argmin())
        step, sample = divmod(start, trajectories.states.shape[1])
        end = int((trajectories.sigmas - later).abs().argmin())
        torch.testing.assert_close(trajectories.states[end, sample], aim, rtol=1e-4, atol=1e-4)
        assert 1 <= end - step <= 3
    assert batch.movement.mean() == pytest.approx(1.0, abs=1e-4)


def test_the_scales_of_a_step_are_their_mean_over_it(trajectories: Path) -> None:
    trajectories = load_trajectories(trajectories / "trajectories")[0]
    count = len(trajectories.scales)
    trajectories.scales = torch.arange(count).float().view(-1, 1, 1).expand(trajectories.scales.shape).clone()
    batch = draw_distillation_batch(trajectories, np.random.default_rng(0), (count,), 20)
    first = (trajectories.sigmas[:-1, None] - batch.sigma).abs().argmin(0)
    lengths = trajectories.sigmas[:-1] - trajectories.sigmas[1:]
    for start, scalars in zip(first.tolist(), batch.scalars, strict=True):
        expected = (lengths[start:] * torch.arange(start, count)).sum() / lengths[start:].sum()
        torch.testing.assert_close(scalars[:3], expected.expand(3))


def test_an_untrained_student_is_the_teacher_with_scales_of_one(teacher: HuMoPipeline, trajectories: Path) -> None:
    trajectories = load_trajectories(trajectories / "trajectories")[0]
    student = make_student(teacher.transformer, rank=2)
    noisy = torch.cat([trajectories.states[2], trajectories.references], dim=2)
    inputs = (noisy, torch.full((len(noisy),), 500.0), trajectories.text, trajectories.audio)
    told = student(*inputs, guidance=torch.tensor([[3.0, 2.0, 4.0, 0.1]] * len(noisy))).sample
    torch.testing.assert_close(told, teacher.transformer(*inputs).sample)
    with pytest.raises(ValueError, match="guidance is for distilled models"):
        student(*inputs)
    with pytest.raises(ValueError, match="guidance is for distilled models"):
        teacher.transformer(*inputs, guidance=torch.ones(len(noisy), 4))


@pytest.mark.slow
def test_only_the_adapter_learns_and_the_loss_falls(teacher: HuMoPipeline, trajectories: Path) -> None:
    settings = DistillationSettings(steps=40)
    torch.manual_seed(0)
    distiller = Distiller(make_student(teacher.transformer, rank=8), settings)
    frozen = {name: value.clone() for name, value in distiller.student.state_dict().items() if "base_layer" in name}
    batch = draw_distillation_batch(
        load_trajectories(trajectories / "trajectories")[0], np.random.default_rng(0), (2,), 6
    )
    losses = [distiller.step(batch, step / settings.steps)["loss"].item() for step in range(settings.steps)]
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    assert all(torch.equal(value, distiller.student.state_dict()[name]) for name, value in frozen.items())
    told = batch.scalars.clone()
    batch.scalars = told * torch.tensor([3.0, 3.0, 3.0, 1.0])
    assert float(distiller.loss(batch).detach()) != pytest.approx(losses[-1], rel=1e-6), "the scales are heard"


@pytest.mark.slow
@pytest.mark.usefixtures("without_bfloat16")
def test_a_resumed_learning_is_the_same(teacher: HuMoPipeline, trajectories: Path, tmp_path: Path) -> None:
    weights = []
    for name, stops in (("whole", (4,)), ("halves", (2, 4))):
        shutil.copytree(trajectories / "trajectories", tmp_path / name / "trajectories")
        for stop in stops:
            settings = DistillationSettings(steps=4, batch_size=2)
            if stop < 4:
                _stop_after(teacher, tmp_path / name, settings, stop)
            else:
                train_student(teacher, tmp_path / name, settings, 2, 2, "cpu")
        weights.append(load_file(tmp_path / name / "learn" / "averaged.safetensors"))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def _stop_after(teacher: HuMoPipeline, out: Path, settings: DistillationSettings, steps: int) -> None:
    """A training that dies once it has saved so many steps."""

    class Died(Exception):
        pass

    step = Distiller.step

    def dying(self: Distiller, *arguments: object) -> dict:
        if (out / "learn" / "state.pt").exists():
            raise Died
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
        patch.setattr(Distiller, "step", dying)
        train_student(teacher, out, settings, 2, steps, "cpu")


@pytest.mark.slow
def test_what_is_loaded_is_what_was_learned(teacher: HuMoPipeline, trajectories: Path, folder: Path) -> None:
    merged = merged_transformer(teacher.transformer, folder / "fast" / "adapter.safetensors")
    student = make_student(teacher.transformer, rank=4)
    stored = load_file(trajectories / "learn" / "averaged.safetensors")
    for name, value in learned(student).items():
        value.data.copy_(stored[name].bfloat16())
    trajectories = load_trajectories(trajectories / "trajectories")[0]
    noisy = torch.cat([trajectories.states[1], trajectories.references], dim=2)
    timesteps = torch.tensor([900.0, 300.0]).repeat(len(noisy))[: len(noisy)]  # without the detail head and with it
    inputs = (noisy, timesteps, trajectories.text, trajectories.audio)
    scalars = torch.tensor([[2.0, 2.0, 3.0, 0.2]] * len(noisy))
    expected = student(*inputs, guidance=scalars).sample
    torch.testing.assert_close(merged(*inputs, guidance=scalars).sample, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected, teacher.transformer(*inputs).sample, atol=1e-3), "it has learned something"
    before, after = teacher.transformer.detail_head.state_dict(), merged.detail_head.state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items()), "and its head something else"


def test_a_fast_form_from_before_the_detail_head_is_without_one(
    teacher: HuMoPipeline, folder: Path, tmp_path: Path
) -> None:
    stored = load_file(folder / "fast" / "adapter.safetensors")
    earlier = {name: value for name, value in stored.items() if "detail_head" not in name}
    assert len(earlier) < len(stored)
    save_file(earlier, tmp_path / "adapter.safetensors")
    student = merged_transformer(teacher.transformer, tmp_path / "adapter.safetensors")
    assert student.detail_head is None and student.config.detail_layers == 0


def test_a_student_begins_where_another_ended(
    teacher: HuMoPipeline, trajectories: Path, folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    student, path = make_student(teacher.transformer, rank=4), trajectories / "learn" / "averaged.safetensors"
    take_student(student, path)
    stored = load_file(path)
    assert all(torch.equal(value, stored[name]) for name, value in learned(student).items())
    earlier = {name: value for name, value in stored.items() if "detail_head" not in name}
    save_file(earlier, tmp_path / "adapter.safetensors")
    student = make_student(teacher.transformer, rank=4)
    take_student(student, tmp_path / "adapter.safetensors")
    for name, value in teacher.transformer.detail_head.state_dict().items():
        assert torch.equal(value, student.detail_head.state_dict()[name]), "the teacher's own"
    with pytest.raises(ValueError, match="a student of another model or --rank"):
        take_student(make_student(teacher.transformer, rank=2), path)
    (tmp_path / "none.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="none.safetensors holds no student"):
        take_student(student, tmp_path / "none.safetensors")
    further = tmp_path / "further"
    shutil.copytree(trajectories / "trajectories", further / "trajectories")
    settings = DistillationSettings(steps=1, batch_size=2, learning_rate=0.0)
    train_student(teacher, further, settings, 4, 1, "cpu", begin=path)
    train_student(teacher, further, settings, 4, 1, "cpu", begin=tmp_path / "gone.safetensors")  # not read once more
    after = load_file(further / "learn" / "averaged.safetensors")
    assert all(torch.equal(value, after[name]) for name, value in stored.items()), "a rate of zero changes nothing"


def test_the_command_tells_how_fast_it_learns(trajectories: Path, folder: Path, tmp_path: Path) -> None:
    path, moved = trajectories / "learn" / "averaged.safetensors", {}
    for rate in ("1e-6", "1e-2"):
        out = tmp_path / rate
        shutil.copytree(trajectories / "trajectories", out / "trajectories")
        given = ["--out", str(out), "--preset", str(folder), "--rank", "4", "--batch", "2", "--steps", "2"]
        main(["distill", "student", *given, "--begin", str(path), "--learning-rate", rate, "--threads", "1"])
        before, after = load_file(path), load_file(out / "learn" / "averaged.safetensors")
        moved[rate] = max(float((after[name] - value).abs().max()) for name, value in before.items())
    assert 0 < moved["1e-6"] < 1e-4 < 1e-3 < moved["1e-2"]


def test_one_pass_a_step_and_scales_that_steer(folder: Path) -> None:
    fast = load(folder, device="cpu", dtype=torch.float32, fast=True)
    passes = []
    fast.transformer.register_forward_hook(lambda *_: passes.append(1))
    given = {"prompt": PROMPT, "num_frames": 9, "seed": 1}
    video = fast(**given)
    assert len(passes) == 3 == video.settings["num_inference_steps"]
    assert video.settings["model"].endswith("-fast") and video.settings["mode"] == "T"
    np.testing.assert_array_equal(video.frames, fast(**given).frames)
    other = fast(**given, guidance={"rule": "constant", "text": 5.0})
    assert np.abs(other.frames.astype(int) - video.frames).max() > 0
    assert fast(**given, negative_prompt="blue").notes == ["The fast model does not read the negative prompt."]
    with pytest.raises(ValueError, match="rules paper and constant"):
        fast(**given, guidance=published_17b())


def test_masks_and_windows_work_in_the_fast_form(folder: Path) -> None:
    fast = load(folder, device="cpu", dtype=torch.float32, fast=True)
    video = fast(PROMPT, num_frames=13, seed=1, return_masks=True)
    assert video.masks.shape[0] == 4
    fast.register_to_config(max_trained_frames=9)
    assert fast(PROMPT, num_frames=17, seed=1).frames.shape[0] == 17


@pytest.mark.slow
def test_the_forms_are_compared_on_the_same_noise(teacher: HuMoPipeline, folder: Path) -> None:
    told = compare_forms(teacher, folder, num_videos=1, num_frames=5, steps=(16,))
    forms = [(each.form, each.psnr == float("inf")) for each in told]
    assert forms == [("exact", True), ("exact", True), ("fast", False)]
    assert told[0].ratio == 1 and "| fast | 16 |" in describe_comparisons(told)


def test_masks_of_the_fast_form_are_measured_too(teacher: HuMoPipeline, folder: Path) -> None:
    fast, cases = make_fast(teacher, folder), make_cases(1, 0, "validation", 5)
    found = mask_iou_by_noise(fast, cases, settings_for(fast, 5), (300, 700))
    assert found.keys() == {"300", "700"} and all(0 <= value <= 1 for value in found.values())
    with cached(fast.transformer, "taylor"):
        assert mask_iou_by_noise(fast, cases, settings_for(fast, 5), (300, 700)) == found, "whole passes all the same"


def test_the_slow_form_is_left_as_it_was(teacher: HuMoPipeline, folder: Path) -> None:
    before = teacher(PROMPT, num_frames=5, seed=2, num_inference_steps=2).frames
    fast = make_fast(teacher, folder)
    fast(PROMPT, num_frames=5, seed=2)
    np.testing.assert_array_equal(before, teacher(PROMPT, num_frames=5, seed=2, num_inference_steps=2).frames)
    assert fast.vae is teacher.vae and fast.transformer is not teacher.transformer


def test_a_missing_or_foreign_fast_form_is_a_sentence(teacher: HuMoPipeline, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fast form"):
        make_fast(teacher, tmp_path)
    with pytest.raises(ValueError, match="from other weights"):
        shutil.copytree(folder / "fast", tmp_path / "other" / "fast")
        make_fast(teacher, tmp_path / "other")
    broken = tmp_path / "model" / "fast"
    shutil.copytree(folder / "fast", broken)
    shutil.copytree(folder / "transformer", broken.parent / "transformer")
    weights = load_file(broken / "adapter.safetensors")
    foreign = {name.replace("blocks.0", "blocks.9"): value for name, value in weights.items()}
    save_file(foreign, broken / "adapter.safetensors")
    with pytest.raises(ValueError, match="another model's"):
        make_fast(teacher, broken.parent)
    (broken / "adapter.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        make_fast(teacher, broken.parent)
    (broken / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no fast form"):
        make_fast(teacher, broken.parent)


def test_another_models_trajectories_and_student_are_refused(
    teacher: HuMoPipeline, data: ClipData, trajectories: Path, folder: Path, tmp_path: Path
) -> None:
    further = tmp_path / "further"
    shutil.copytree(folder, further)
    weights = load_file(further / "transformer" / "diffusion_pytorch_model.safetensors")
    weights["proj_out.bias"] += 1
    save_file(weights, further / "transformer" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    other = load(further, device="cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="trajectories of other weights"):
        next(write_trajectories(other, data, trajectories / "trajectories", 2, SETTINGS))
    with pytest.raises(ValueError, match="trajectories of other weights"):
        train_student(other, trajectories, DistillationSettings(steps=6), rank=4, save_every=3, device="cpu")
    with pytest.raises(ValueError, match="a student of other weights"):
        publish_student(trajectories, further, 3)


def test_nothing_trained_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="distill trajectories"):
        load_trajectories(tmp_path)
    with pytest.raises(ValueError, match="distill student"):
        publish_student(tmp_path, tmp_path, 4)


def test_shorter_clips_come_in_larger_batches(trajectories: Path) -> None:
    shapes = [shard.states.shape for shard in load_trajectories(trajectories / "trajectories")]
    assert all(length * size < 500 / 4 for _, size, _, length, *_ in shapes)
