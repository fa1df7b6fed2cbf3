"""Decoding in a stream: in order, as early as can be, and what decoding at once gives."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from humo.layers.decoding import decode_frames
from humo.pipeline import HuMoPipeline
from humo.references import decode_latents, to_frames


@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_a_stream_is_what_decoding_at_once_gives(form: str, request: pytest.FixtureRequest) -> None:
    vae = request.getfixturevalue(form).vae
    latents = torch.randn(1, vae.config.z_dim, 6, 4, 4, generator=torch.Generator().manual_seed(3))
    told: list[np.ndarray] = []
    with torch.no_grad():
        frames = decode_frames(latents, vae, told.append)
        assert len(told) > 1 and len(frames) == 21
        np.testing.assert_array_equal(np.concatenate(told), frames)
        at_once = to_frames(decode_latents(latents, vae)[0])
    assert np.abs(frames.astype(int) - at_once).max() <= 1, "but for rounding"
    assert not vae.decoder._forward_hooks, "nobody listens any more"


def test_the_first_frames_come_before_the_last_are_begun(wan_pipeline: HuMoPipeline) -> None:
    vae = wan_pipeline.vae
    begun: list[int] = []
    hook = vae.decoder.register_forward_pre_hook(lambda decoder, given: begun.append(len(begun)))
    seen: list[int] = []
    latents = torch.randn(1, vae.config.z_dim, 4, 4, 4)
    with torch.no_grad():
        decode_frames(latents, vae, lambda frames: seen.append(len(begun)))
    hook.remove()
    assert seen == [1, 2, 3, 4]


def test_tiles_come_as_one(wan_pipeline: HuMoPipeline) -> None:
    vae = tiny.pipeline("17B").vae
    vae.enable_tiling(tile_sample_min_height=32, tile_sample_min_width=32)
    latents, told = torch.randn(1, vae.config.z_dim, 3, 8, 8), []
    with torch.no_grad():
        frames = decode_frames(latents, vae, told.append)
    assert [len(stretch) for stretch in told] == [9] and len(frames) == 9


@pytest.mark.parametrize("form", ["mini_pipeline", "wan_pipeline"])
def test_a_call_tells_its_frames(form: str, request: pytest.FixtureRequest) -> None:
    pipe, told = request.getfixturevalue(form), []
    output = pipe("a woman talks", num_frames=21, seed=2, on_frames=told.append)
    np.testing.assert_array_equal(np.concatenate(told), output.frames)
    assert len(told) > 1
