"""Decoding in a stream: in order, as early as can be, and what decoding at once gives."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from humo.layers.decoding import DecodingMemoryError, decode_frames
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


def too_small_for(numbers: Callable[[int], bool]) -> Callable[..., None]:
    """A hook of a decoder on a device that has no room for its parts number ..., counted from 0 over all runs."""
    begun: list[int] = []

    def refuse(decoder: torch.nn.Module, given: tuple[Any, ...]) -> None:
        begun.append(len(begun))
        if numbers(begun[-1]):
            raise torch.OutOfMemoryError("out of memory")

    return refuse


@pytest.mark.parametrize("is_told", [False, True])
def test_what_does_not_fit_at_once_is_decoded_in_tiles(is_told: bool, caplog: pytest.LogCaptureFixture) -> None:
    vae, latents = tiny.wan_vae(), torch.randn(1, 4, 3, 8, 8)
    vae.tile_sample_min_height = vae.tile_sample_min_width = 32
    vae.tile_sample_stride_height = vae.tile_sample_stride_width = 24
    whole = decode_frames(latents, vae)
    vae.enable_tiling()
    tiled = decode_frames(latents, vae)
    vae.disable_tiling()
    assert not np.array_equal(whole, tiled)

    vae.decoder.register_forward_pre_hook(too_small_for(lambda number: number == 1))  # the first frame still fits
    told: list[np.ndarray] = []
    with caplog.at_level(logging.WARNING, "humo"):
        frames = decode_frames(latents, vae, told.append if is_told else None)
    np.testing.assert_array_equal(frames, tiled)
    assert [len(stretch) for stretch in told] == ([1, 8] if is_told else []), "each frame once"
    assert "decoded in tiles" in caplog.text and not vae.use_tiling, "for this video alone"
    np.testing.assert_array_equal(decode_frames(latents, vae), whole)


def test_latents_that_cannot_be_decoded_are_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    vae, latents = tiny.wan_vae(), torch.randn(1, 4, 2, 4, 4)
    hook = vae.decoder.register_forward_pre_hook(too_small_for(lambda number: True))
    with pytest.raises(DecodingMemoryError, match="nothing is lost") as caught:
        decode_frames(latents, vae)
    hook.remove()
    assert torch.equal(caught.value.latents, latents) and not vae.use_tiling
    assert len(decode_frames(caught.value.latents, vae)) == 5
    sent = pickle.loads(pickle.dumps(caught.value))
    assert torch.equal(sent.latents, latents) and str(sent) == str(caught.value), "from another process too"


def test_a_call_brings_its_latents_along_when_it_cannot_decode() -> None:
    pipe, seen = tiny.pipeline("17B"), []
    pipe.vae.decoder.register_forward_pre_hook(too_small_for(lambda number: True))
    with pytest.raises(DecodingMemoryError) as caught:
        pipe("a woman talks", num_frames=5, seed=1, on_step=lambda state: seen.append(state.latents))
    assert torch.equal(caught.value.latents, seen[-1])
