"""What only a GPU shows: its arithmetic is near the CPU's, and the memory plans really keep the rest off it.

Skipped where there is none. Run: python -m pytest -m gpu
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import humo
from humo.loading.memory import Plan, apply_plan
from humo.pipeline import HuMoPipeline
from humo.requests.prompt_cache import PromptCache, release_text_encoder
from humo.sampling import StepState
from humo.training.transformer.batches import BatchSettings, fill_batch, plan_batch
from humo.training.transformer.data import ClipData
from humo.training.transformer.loop import load_audio_encoder, load_text_encoder
from humo.training.transformer.model import ModelSettings, Trainer, make_mini
from humo.training.transformer.stages import further_stages

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
REQUEST = {"prompt": "a woman talks", "seed": 3, "num_inference_steps": 2}


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own for the features of prompts."""
    monkeypatch.setattr(PromptCache.__init__, "__defaults__", (tmp_path / "prompts", 8))


def make_video(pipe: HuMoPipeline, **changes: object) -> np.ndarray:
    """Frames from text, picture and sound, float32."""
    given = {**REQUEST, "image": tiny.picture(), "audio": tiny.voice(0.36), **changes}
    return pipe(**given).frames.astype(np.float32)


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    """Frames of the 17B form with everything on the GPU."""
    return make_video(tiny.pipeline("17B").to(DEVICE))


def on_gpu(pipe: HuMoPipeline) -> set[str]:
    """Names of the components of which any weight is on the GPU."""
    models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {name for name, model in models.items() if any(each.is_cuda for each in model.parameters())}


def test_bfloat16_is_as_near_to_float32_as_on_the_cpu():
    torch.manual_seed(0)
    model = tiny.transformer()
    config, frames = model.config, 3
    inputs = (
        torch.randn(1, config.in_channels, frames, 8, 8),
        torch.full((1,), 500.0),
        torch.randn(1, 12, config.text_dim),
        torch.randn(1, frames, config.audio_window, config.audio_bands, config.audio_channels),
    )

    def run(device: str) -> torch.Tensor:
        moved = [each.to(device) for each in inputs]
        narrow = [each if index == 1 else each.bfloat16() for index, each in enumerate(moved)]
        with torch.no_grad():
            return model.to(device)(*narrow, return_dict=False)[0].float().cpu()

    with torch.no_grad():
        exact = model(*inputs, return_dict=False)[0]
    model.bfloat16()
    errors = [float((run(device) - exact).norm() / exact.norm()) for device in ("cpu", DEVICE)]
    assert 0 < errors[1] < max(2 * errors[0], 0.01)


def test_the_gpus_video_is_the_cpus(whole: np.ndarray):
    difference = np.abs(whole - make_video(tiny.pipeline("17B")))
    assert difference.mean() < 1, "of 255 levels; convolutions may round to TensorFloat-32 on a GPU"


@pytest.mark.parametrize(
    "plan",
    [
        Plan(model_offload=True, cache_prompts=True),
        Plan(offload_encoders=True, cache_prompts=True),
        Plan(offload_encoders=True, offload_blocks=True, cache_prompts=True),
    ],
    ids=lambda plan: plan.describe(),
)
def test_offloading_changes_nothing(whole: np.ndarray, plan: Plan):
    pipe = apply_plan(tiny.pipeline("17B"), DEVICE, plan)
    for _ in range(2):  # the second time with prompts from the disk and hooks in use
        assert np.abs(make_video(pipe) - whole).max() <= 1, "of 255 levels"
    if plan.offload_blocks:  # through a stream: the blocks are back when the call ends
        torch.cuda.synchronize()
        assert not any(weight.is_cuda for weight in pipe.transformer.blocks.parameters())


def test_model_offload_denoises_with_the_transformer_alone():
    pipe = apply_plan(tiny.pipeline("17B"), DEVICE, Plan(model_offload=True, cache_prompts=True))
    seen: list[set[str]] = []
    for _ in range(2):  # the second time no text encoder runs, which would have sent the audio encoder away
        make_video(pipe, on_step=lambda state: seen.append(on_gpu(pipe)))
    assert seen == [{"transformer"}] * 4
    assert on_gpu(pipe) == set()


def test_model_offload_leaves_the_gpu_when_stopped():
    def stop(state: StepState) -> None:
        raise humo.StopGeneration

    pipe = apply_plan(tiny.pipeline("17B"), DEVICE, Plan(model_offload=True))
    with pytest.raises(humo.StopGeneration):
        make_video(pipe, on_step=stop)
    assert on_gpu(pipe) == set()


def test_released_text_encoder_is_not_needed(whole: np.ndarray):
    pipe = apply_plan(tiny.pipeline("17B"), DEVICE, Plan(model_offload=True, cache_prompts=True))
    release_text_encoder(pipe, [REQUEST["prompt"]])
    assert pipe.text_encoder is None and on_gpu(pipe) == set()
    assert np.abs(make_video(pipe) - whole).max() <= 1


def test_layerwise_casting_rests_in_a_byte_and_stays_close(whole: np.ndarray):
    plan = Plan(offload_encoders=True, offload_blocks=True, layerwise_casting=True)
    pipe = apply_plan(tiny.pipeline("17B"), DEVICE, plan)
    frames = make_video(pipe)
    assert pipe.transformer.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert 0 < np.abs(frames - whole).mean() < 8, "of 255 levels; the weights keep 3 bits of mantissa"


def test_a_training_on_the_gpu_is_near_the_cpus(tmp_path: Path):
    """The same batch, the same model: the losses of a step, compiled or not."""
    folder = tiny.training_folder(tmp_path, num_clips=4, seconds=1)
    tokenizer, text_encoder = load_text_encoder(folder)
    stage = replace(further_stages()[0], latent_frames=(3,))
    losses = []
    for device, is_compiled in (("cpu", False), (DEVICE, False), (DEVICE, True)):
        torch.manual_seed(0)
        data = ClipData(folder / "data", *load_audio_encoder(folder), device)
        model = make_mini([1.0] * 8, 16, text_encoder, layers=2)
        trainer = Trainer(model, ModelSettings(), device)
        if is_compiled:
            model.transformer.compile_repeated_blocks(dynamic=True)
        plan = plan_batch(data.seeds, tokenizer, stage, 0.5, 0, BatchSettings(tokens=400))
        batch = fill_batch(data, plan)
        batch.noise = torch.randn(batch.noise.shape, generator=torch.Generator().manual_seed(1)).to(device)
        losses.append([float(trainer.step(batch, stage, 0.5)["loss"]) for _ in range(3)])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    np.testing.assert_allclose(losses[2], losses[0], rtol=0.02)
