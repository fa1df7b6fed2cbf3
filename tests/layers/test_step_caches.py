"""Caches by name: on and off, told by the video, an approximation that is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from humo.__main__ import main
from humo.explain.figures import Trace
from humo.layers.step_caches import cached, describe_cache, read_cache, use_cache


@pytest.mark.parametrize("name", ["first_block:0.05", "taylor:4"])
def test_names_come_back(name: str) -> None:
    transformer = tiny.transformer()
    assert describe_cache(transformer) is None
    use_cache(transformer, "first_block")
    use_cache(transformer, name)
    assert describe_cache(transformer) == name
    use_cache(transformer, None)
    assert describe_cache(transformer) is None and not transformer.is_cache_enabled


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("magic", "The cache 'magic' is unknown: use first_block or taylor"),
        ("", "The cache '' is unknown"),
        ("first_block:0", "no share of change above 0, up to 1"),
        ("first_block:much", "no share of change above 0, up to 1"),
        ("first_block:nan", "no share of change above 0, up to 1"),
        ("taylor:1", "no whole number of steps from 2 to 10"),
        ("taylor:2.5", "no whole number of steps from 2 to 10"),
    ],
)
def test_what_is_no_cache_is_one_sentence(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_cache(name)


@pytest.mark.slow
@pytest.mark.parametrize("batch_branches", [False, True])
@pytest.mark.parametrize("name", ["first_block:1", "taylor:3"])
def test_passes_are_left_out_and_the_video_says_so(name: str, batch_branches: bool) -> None:
    pipe = tiny.pipeline("mini")
    pipe.register_to_config(batch_branches=batch_branches)
    runs = []
    pipe.transformer.blocks[-1].ffn.register_forward_hook(lambda *_: runs.append(1))
    given = {"prompt": "a woman nods", "image": tiny.picture(), "audio": tiny.voice(0.5), "seed": 3, "num_frames": 9}
    given["num_inference_steps"] = 8
    exact = pipe(**given)
    whole = len(runs)
    assert "cache" not in exact.settings
    use_cache(pipe.transformer, name)
    for _ in range(2):  # nothing is left of the first video in the second
        runs.clear()
        video = pipe(**given)
        assert 0 < len(runs) < 0.8 * whole
        assert video.settings["cache"] == name
        assert np.abs(video.frames.astype(int) - exact.frames).mean() < 20, "near it"
    use_cache(pipe.transformer, None)
    assert np.array_equal(pipe(**given).frames, exact.frames)


@pytest.mark.parametrize("name", ["first_block", "taylor"])
def test_masks_need_every_block(name: str) -> None:
    pipe = tiny.pipeline("mini")
    with cached(pipe.transformer, name), pytest.raises(ValueError, match="return_masks needs every block"):
        pipe("a woman nods", seed=3, num_frames=9, return_masks=True)
    with cached(pipe.transformer, name), pytest.raises(ValueError, match="masks needs every block"):
        Trace(pipe, masks=True)
    assert pipe("a woman nods", seed=3, num_frames=9, return_masks=True).masks is not None, "off again"


def test_a_cache_comes_back_after_a_while_without() -> None:
    transformer = tiny.transformer()
    use_cache(transformer, "taylor:4")
    with cached(transformer, None):
        assert not transformer.is_cache_enabled
    assert describe_cache(transformer) == "taylor:4"


def test_the_command_refuses_before_it_loads_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.mp4")
    assert main(["generate", "--prompt", "a man", "--cache", "magic", "--out", out]) == 2
    assert "The cache 'magic' is unknown" in capsys.readouterr().err
