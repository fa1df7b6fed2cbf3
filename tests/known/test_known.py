"""Known latents: what is known comes out as it was given, what is not as it was ever made, and each as alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from humo.guidance import constant, paper, published_1_7b, published_17b
from humo.known import Known, know_frames
from humo.layers.step_caches import cached
from humo.references import encode_video, to_pixels
from humo.sampling import Conditions, StepState, denoise, join_conditions, make_scheduler

NUM_VIDEO = 6
FORMS: dict[str, dict[str, Any]] = {
    "1.7B": {"latent_std": tiny.LATENT_STD},
    "17B": {"in_channels": 20},
    "fast": {"latent_std": tiny.LATENT_STD, "guidance_embeds": True},
}
RULES = (published_17b(), published_1_7b(), paper(), constant())


def conditions(form: str = "1.7B", seed: int = 1, known: Known | None = None) -> Conditions:
    """Text, sound and one reference; the 17B's black video."""
    torch.manual_seed(seed)
    text, negative = torch.randn(2, 1, 5, tiny.TEXT_DIM)
    audio = torch.randn(1, NUM_VIDEO + 1, 8, 5, tiny.AUDIO_CHANNELS)
    black = torch.randn(1, 8, NUM_VIDEO + 1, 4, 4) if form == "17B" else None
    return Conditions(text, negative, audio, torch.randn(1, 8, 1, 4, 4), 1, black, known=known)


def noise(seed: int = 2) -> Tensor:
    return torch.randn(1, 8, NUM_VIDEO + 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def known(mask: Tensor | float, resampling: int = 0, seed: int = 3) -> Known:
    clean = torch.randn(1, 8, NUM_VIDEO, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Known(clean, torch.as_tensor(mask).expand(1, 1, NUM_VIDEO, 4, 4), resampling)


def run(form: str = "1.7B", what: Known | None = None, rule: Any = None, **options: Any) -> Tensor:
    torch.manual_seed(0)
    model = tiny.transformer(**FORMS[form])
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0) if form == "fast" else make_scheduler()
    given = {"num_inference_steps": 4, "batch_branches": True} | options
    cache = given.pop("cache", None)
    with cached(model, cache):
        return denoise(model, scheduler, rule or paper(), conditions(form, known=what), noise(), **given)


def beginning(num_known: int) -> Tensor:
    """A mask that knows the first latent frames."""
    return (torch.arange(NUM_VIDEO) < num_known).float().view(1, 1, -1, 1, 1)


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"cache": "first_block"}, {"cache": "taylor:2"}])
@pytest.mark.parametrize("form", FORMS)
def test_nothing_known_changes_no_bit(form: str, options: dict[str, Any]) -> None:
    empty = replace(known(0.0), latents=torch.full((1, 8, NUM_VIDEO, 4, 4), float("nan")))
    assert torch.equal(run(form, empty, **options), run(form, **options))


@pytest.mark.parametrize("resampling", [0, 2])
@pytest.mark.parametrize("options", [{}, {"window": 3}, {"cache": "first_block"}])
@pytest.mark.parametrize("form", FORMS)
def test_all_known_comes_out_as_it_was_given(form: str, options: dict[str, Any], resampling: int) -> None:
    what = known(1.0, resampling)
    torch.testing.assert_close(run(form, what, **options), what.latents, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("resampling", [0, 1])
def test_a_known_beginning_stays_and_the_rest_takes_notice(rule: Any, resampling: int) -> None:
    what = known(beginning(2), resampling)
    made, other = run(what=what, rule=rule), run(what=replace(what, latents=what.latents + 1), rule=rule)
    torch.testing.assert_close(made[:, :, :2], what.latents[:, :, :2], atol=1e-5, rtol=0)
    assert (made - other)[:, :, 2:].abs().max() > 1e-3
    assert (made - run(rule=rule))[:, :, 2:].abs().max() > 1e-3


def test_places_may_be_known_too() -> None:
    what = known(torch.eye(4).view(1, 1, 1, 4, 4))
    made = run(what=what)
    off = (made - what.latents).abs().amax(dim=(0, 1, 2))
    assert off.diagonal().max() < 1e-5 and off[~torch.eye(4, dtype=torch.bool)].min() > 1e-2


def test_every_step_shows_what_is_known_at_its_noise_level() -> None:
    what, states = known(beginning(2)), list[StepState]()
    run(what=what, on_step=states.append)
    assert [state.index for state in states] == [0, 1, 2, 3]
    for state in states:
        path = (1 - state.sigma) * what.latents + state.sigma * noise()[:, :, :NUM_VIDEO]
        torch.testing.assert_close(state.noisy[:, :, :2], path[:, :, :2], atol=1e-5, rtol=0)
        torch.testing.assert_close(state.clean[:, :, :2], what.latents[:, :, :2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("steps", [4, 12])
def test_a_soft_mask_ends_part_way_however_many_steps(steps: int) -> None:
    """A model that answers noise - 1 everywhere would make ones: half known is half way between these and zeros."""
    from humo.known.latents import KnownPath
    from humo.sampling import set_timesteps

    start, scheduler = noise(), make_scheduler()
    set_timesteps(scheduler, steps)
    half = Known(torch.zeros(1, 8, NUM_VIDEO, 4, 4), torch.full((1, 1, NUM_VIDEO, 4, 4), 0.5))
    path = KnownPath(half, start, NUM_VIDEO, scheduler.sigmas[:-1].tolist())
    latents = start
    for index, _ in path.visits():
        latents = path.put_back(latents, float(scheduler.sigmas[index]))
        latents = scheduler.step(path.correct(start - 1), scheduler.timesteps[index], latents, return_dict=False)[0]
    torch.testing.assert_close(latents[:, :, :NUM_VIDEO].mean(), torch.tensor(0.5), atol=2e-3, rtol=0)


def test_going_back_keeps_the_noise_level() -> None:
    from humo.known.latents import KnownPath

    start = torch.randn(2, 8, 21, 16, 16)
    path = KnownPath(Known(torch.zeros(2, 8, 20, 16, 16), torch.ones(2, 1, 20, 16, 16)), start, 20, [0.8, 0.4])
    higher = path.go_back(0.4 * start, 0.4, 0.8, 0)
    assert higher.std().item() == pytest.approx(0.8, abs=0.01)
    torch.testing.assert_close(path.put_back(higher, 0.8), higher, msg="and what is known goes along")
    alone = KnownPath(Known(torch.zeros(1, 8, 20, 16, 16), torch.ones(1, 1, 20, 16, 16)), start[1:], 20, [0.8])
    torch.testing.assert_close(alone.go_back(0.4 * start[1:], 0.4, 0.8, 0), higher[1:])
    assert not torch.allclose(path.go_back(0.4 * start, 0.4, 0.8, 1), higher)


def test_many_jumps_add_up_to_no_more_than_noise() -> None:
    from humo.known.latents import KnownPath

    start = torch.randn(1, 8, 21, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.01
    path, noise_ = (
        KnownPath(Known(torch.zeros(1, 8, 20, 16, 16), torch.ones(1, 1, 20, 16, 16)), start, 20, [0.8]),
        start,
    )
    for number in range(60):
        noise_ = path.go_back(0.4 * noise_, 0.4, 0.8, number) / 0.8
    assert abs(noise_.mean().item()) < 0.01 and noise_.std().item() == pytest.approx(1.0, abs=0.02)


def test_resampling_repeats_every_step_and_tells_of_it_once() -> None:
    states = list[StepState]()
    once = run(what=known(beginning(2), 0))
    again = run(what=known(beginning(2), 1), on_step=states.append)
    assert len(states) == 4 and (once - again)[:, :, 2:].abs().max() > 1e-3
    torch.testing.assert_close(states[-1].latents, again)
    with pytest.raises(ValueError, match="taylor:2 continues lines that resampling breaks"):
        run(what=known(beginning(2), 1), cache="taylor:2")


@pytest.mark.parametrize("form", FORMS)
def test_a_guess_is_where_the_making_begins(form: str) -> None:
    states = list[StepState]()
    what = replace(known(beginning(2)), start_sigma=0.9)
    made = run(form, what, num_inference_steps=8, on_step=states.append)
    sigmas = [state.sigma for state in states]
    assert 0.8 < sigmas[0] <= 0.9 and [state.index for state in states] == list(range(len(states)))
    assert {state.num_steps for state in states} == {len(states)} and len(states) < 8
    path = (1 - sigmas[0]) * what.latents + sigmas[0] * noise()[:, :, :NUM_VIDEO]
    torch.testing.assert_close(states[0].noisy[:, :, :NUM_VIDEO], path, atol=1e-5, rtol=0)
    torch.testing.assert_close(states[0].noisy[:, :, NUM_VIDEO:], noise()[:, :, NUM_VIDEO:])
    torch.testing.assert_close(made[:, :, :2], what.latents[:, :, :2], atol=1e-5, rtol=0)
    other = torch.cat([what.latents[:, :, :2], what.latents[:, :, 2:] + 1], dim=2)
    guessed = run(form, replace(what, latents=other), num_inference_steps=8)
    assert (guessed - made)[:, :, 2:].abs().max() > 1e-2
    assert torch.equal(
        run(form, replace(what, start_sigma=1.0)), run(form, replace(what, latents=other, start_sigma=1.0))
    )
    last = list[StepState]()
    run(form, replace(what, start_sigma=0.0), on_step=last.append)
    assert len(last) == 1, "of a start below the last step that step is done"


@pytest.mark.parametrize("resampling", [0, 2])
@pytest.mark.parametrize("form", ["1.7B", "17B"])
def test_in_a_batch_each_is_as_alone(form: str, resampling: int) -> None:
    torch.manual_seed(0)
    model = tiny.transformer(**FORMS[form])
    told = [
        conditions(form, 1, known(beginning(2), resampling, seed=3)),
        conditions(form, 4, known(beginning(4), resampling, seed=5)),
    ]
    noises = [noise(6), noise(7)]
    together = denoise(model, make_scheduler(), paper(), join_conditions(told), torch.cat(noises), 3)
    for one, start, made in zip(told, noises, together, strict=True):
        torch.testing.assert_close(denoise(model, make_scheduler(), paper(), one, start, 3)[0], made, atol=1e-4, rtol=0)


def test_a_window_of_conditions_cuts_what_is_known() -> None:
    what = known(beginning(2))
    cut = conditions(known=what).window(slice(1, 4)).known
    assert cut is not None
    assert torch.equal(cut.latents, what.latents[:, :, 1:4]) and cut.mask[0, 0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"latents": torch.zeros(1, 8, 5, 4, 4)},
            r"latents of \(1, 8, 5, 4, 4\) but this video's are",
        ),
        ({"mask": torch.zeros(1, 8, 6, 4, 4)}, r"a mask of \(1, 8, 6, 4, 4\) but this video's is \(1, 1, 6, 4, 4\)"),
        ({"mask": torch.full((1, 1, 6, 4, 4), 1.5)}, "a mask outside of 0 to 1"),
        ({"mask": torch.full((1, 1, 6, 4, 4), float("nan"))}, "a mask outside of 0 to 1"),
        ({"resampling": 21}, "resampling must be 0 to 20 but is 21"),
        ({"start_sigma": 1.5}, "start_sigma must be 0 to 1 but is 1.5"),
        ({"resampling": 0.5}, "resampling must be 0 to 20 but is 0.5"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(what=replace(known(1.0), **changes))


@pytest.mark.parametrize("codec", [tiny.codec(), tiny.wan_vae()], ids=["mini", "Wan"])
def test_frames_become_known_latents(codec: Any) -> None:
    side = codec.config.scale_factor_spatial
    frames = np.random.default_rng(0).integers(0, 256, (9, 2 * side, 3 * side, 3), np.uint8)
    mask = np.ones((9, 2 * side, 3 * side), np.float32)
    mask[0, 0, 0] = 0.25  # of the first frame alone, so of the first latent
    mask[5, side, 2 * side] = 0.5  # the second group of four begins with frame 5
    with torch.no_grad():
        what = know_frames(frames, mask, codec)
        torch.testing.assert_close(what.latents, encode_video(to_pixels(frames), codec))
    assert what.mask.shape == (1, 1, 3, 2, 3)
    expected = torch.ones(3, 2, 3)
    expected[0, 0, 0], expected[2, 1, 2] = 0.25, 0.5
    torch.testing.assert_close(what.mask[0, 0], expected)


@pytest.mark.parametrize(
    ("frames", "mask", "sentence"),
    [
        (np.zeros((9, 64, 64, 3)), None, r"known frames are float64 of \(9, 64, 64, 3\): give uint8"),
        (np.zeros((0, 64, 64, 3), np.uint8), None, "known frames are none"),
        ([1], None, "known frames are list"),
        (np.zeros((8, 64, 64, 3), np.uint8), None, r"known frames must be 4k\+1 .* but is 8: use 9"),
        (np.zeros((9, 60, 64, 3), np.uint8), None, "60x64 but both must be multiples of 16"),
        (
            np.zeros((9, 64, 64, 3), np.uint8),
            np.ones((9, 64)),
            r"the mask is \(9, 64\) but the frames are \(9, 64, 64\)",
        ),
        (np.zeros((9, 64, 64, 3), np.uint8), np.full((9, 64, 64), 2), "the mask leaves 0 to 1"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames: Any, mask: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        know_frames(frames, mask, tiny.codec())
