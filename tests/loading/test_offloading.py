"""What people call on any pipeline of diffusers to save memory: here weights really leave, though only to the CPU.

Run: python -m pytest tests/loading/test_offloading.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from accelerate import cpu_offload

from humo.pipeline import HuMoPipeline

CPU = torch.device("cpu")


def make_video(pipe: HuMoPipeline) -> np.ndarray:
    """Frames from text, picture and sound."""
    given = {"image": tiny.picture(), "audio": tiny.voice(0.36), "num_frames": 9, "seed": 3}
    return pipe("a woman talks", **given).frames.astype(int)


@pytest.fixture(scope="module", params=["mini", "17B"])
def plain(request: pytest.FixtureRequest) -> tuple[str, np.ndarray]:
    """Form, and its frames with all weights there."""
    return request.param, make_video(tiny.pipeline(request.param))


def test_each_layer_alone_is_there_under_sequential_offload(plain: tuple[str, np.ndarray]) -> None:
    form, expected = plain
    pipe = tiny.pipeline(form)
    for part in pipe.components.values():  # as `enable_sequential_cpu_offload` does, whose "cpu:0" accelerate cannot
        if isinstance(part, torch.nn.Module):
            cpu_offload(part, CPU, offload_buffers=len(part._parameters) > 0)
    assert pipe.device.type == pipe.transformer.device.type == "meta" and pipe._execution_device == CPU
    np.testing.assert_array_equal(make_video(pipe), expected)


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Memory that is given anew holds NaN, so that weights that are away are missed."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("offload_type", ["leaf_level", "block_level"])
def test_groups_of_layers_are_there_in_turn(offload_type: str, plain: tuple[str, np.ndarray], tmp_path: Path) -> None:
    form, expected = plain
    pipe = tiny.pipeline(form)
    pipe.enable_group_offload(
        CPU,
        CPU,
        offload_type=offload_type,
        num_blocks_per_group=1,
        offload_to_disk_path=str(tmp_path),
        exclude_modules=["text_encoder"],  # its table belongs to two layers: diffusers would write it twice, then empty
    )
    away = [weight for part in (pipe.transformer, pipe.vae) for weight in part.parameters()]
    assert all(weight.isnan().all() for weight in away), "on the disk"
    assert np.abs(make_video(pipe) - expected).max() <= 1, "of 255 levels; what was read lies elsewhere in memory"


def test_model_offload_is_switched_on_by_hand(plain: tuple[str, np.ndarray]) -> None:
    form, expected = plain
    pipe = tiny.pipeline(form)
    pipe.enable_model_cpu_offload(device="cpu")
    np.testing.assert_array_equal(make_video(pipe), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_pipeline_is_cast_as_a_whole(dtype: torch.dtype, plain: tuple[str, np.ndarray]) -> None:
    form, expected = plain
    pipe = tiny.pipeline(form).to(dtype)
    assert pipe.vae.dtype == pipe.transformer.dtype == dtype
    assert 0 < np.abs(make_video(pipe) - expected).mean() < 4, "of 255 levels"


def test_a_codec_without_tiles_says_so() -> None:
    codec = tiny.codec()
    for switch in (codec.enable_tiling, codec.enable_slicing):
        with pytest.raises(NotImplementedError, match="doesn't seem to be implemented for HuMoVideoCodec"):
            switch()
