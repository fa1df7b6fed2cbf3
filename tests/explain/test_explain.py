"""What happens inside, as data, figures and words. Run: pytest tests/explain/test_explain.py"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import tiny
import torch

from humo.explain import figures as explain
from humo.explain.overlays import peak, share_on, stretch
from humo.explain.schedules import solver_sigmas, solver_timesteps
from humo.guidance import Branch, constant, paper, published_17b
from humo.references import decode_latents
from humo.requests.checks import Request
from humo.sampling import guided_velocity, make_scheduler, set_timesteps

FRAMES, SIZE = 9, 32


def is_drawn(figure) -> bool:
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getbuffer().nbytes > 5000


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline("mini")


@pytest.fixture(scope="module")
def conditions(pipe):
    request = Request(
        prompt="a woman talks", negative_prompt="", num_images=1, num_frames=FRAMES, height=SIZE, width=SIZE,
        num_inference_steps=2, seed=0,
    )  # fmt: skip
    with torch.no_grad():
        return pipe.encode_conditions(request, [tiny.picture()], tiny.voice(FRAMES / 25)[0])


@pytest.fixture
def latents(pipe):
    scale = pipe.vae.config.scale_factor_spatial
    shape = (1, pipe.transformer.config.out_channels, 1 + (FRAMES - 1) // 4 + 1, SIZE // scale, SIZE // scale)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_a_schedule_is_the_rules_own():
    shown = explain.schedule(published_17b(), 50)
    assert shown.branches == ("TIA", "TI", "I", "null")
    np.testing.assert_allclose(shown.weights.sum(1), 1)
    assert shown.passes == 3 * 50
    early = shown.timesteps > 980
    assert early.sum() == 5 and (shown.weights[early, 2] == -4).all() and (shown.weights[~early, 2] == 0).all()
    assert explain.schedule(published_17b(), 8, has_image=False).branches == ("TA", "T", "null")
    words = explain.describe_schedule(shown)
    assert len(words.splitlines()) == 2 + 2 + 2 and "150 passes of the network in 50 steps" in words
    assert is_drawn(explain.draw_schedule(shown))


@pytest.mark.parametrize(("steps", "shift"), [(1, 5.0), (3, 6.0), (8, 1.0), (16, 6.0), (50, 5.0), (100, 0.5)])
def test_timesteps_are_those_of_the_solver(steps, shift):
    scheduler = make_scheduler(shift)
    set_timesteps(scheduler, steps)
    assert solver_timesteps(steps, shift).tolist() == scheduler.timesteps.tolist()
    np.testing.assert_allclose(solver_sigmas(steps, shift), scheduler.sigmas[:-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "shift", "words"), [(0, 5.0, "num_inference_steps"), (4, 0.0, "shift"), (4, float("nan"), "shift")]
)
def test_impossible_steps_are_refused(steps, shift, words):
    with pytest.raises(ValueError, match=words):
        solver_timesteps(steps, shift)


def test_a_schedule_needs_no_torch():
    code = "import sys, humo.explain.schedules, humo.explain.overlays; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_step_shows_what_the_network_saw(pipe):
    seen = []
    pipe("a woman", image=tiny.picture(), num_frames=FRAMES, num_inference_steps=2, seed=1, on_step=seen.append,
         guidance=constant(text=1.0, image=1.0))  # fmt: skip
    state = seen[1]
    assert state.noisy.shape[2] == state.latents.shape[2] + state.conditions.num_references
    torch.testing.assert_close(state.noisy[:, :, :-1], seen[0].latents)
    velocity = guided_velocity(pipe.transformer, state.noisy, state.timestep, state.weights, state.conditions)
    torch.testing.assert_close((state.noisy - state.sigma * velocity)[:, :, :-1], state.clean)


def test_a_trace_keeps_what_was_done(pipe):
    trace = explain.Trace(pipe, masks=True)
    rule = paper(text=3.0, image=2.0, audio=2.0, early=(4.0, 1.0, 1.0), switch=900.0)
    arguments = {"image": tiny.picture(), "audio": tiny.voice(FRAMES / 25), "seed": 1, "num_inference_steps": 3}
    video = pipe("a woman", guidance=rule, on_step=trace, **arguments)
    expected = explain.schedule(rule, 3, pipe.scheduler.config.flow_shift)
    np.testing.assert_allclose(trace.schedule.weights, expected.weights)
    np.testing.assert_allclose(trace.schedule.timesteps, expected.timesteps)
    assert len(trace.clean) == len(trace.face_masks) == 3
    last = trace.frames(2).astype(int)
    assert last.shape == video.frames.shape
    assert np.abs(last - video.frames).mean() < np.abs(trace.frames(0).astype(int) - video.frames).mean() + 1
    assert trace.face_masks[0].shape[0] == 3 and 0 <= trace.face_masks[0].min() <= trace.face_masks[0].max() <= 1
    assert len(explain.describe_masks(trace.face_masks, trace.timesteps).splitlines()) == 5
    again = pipe("a woman", guidance=rule, **arguments)
    assert np.array_equal(video.frames, again.frames)  # looking changes nothing


def test_masks_are_asked_of_a_model_that_has_them(pipe):
    blind = tiny.pipeline("mini")
    blind.focus_head = None
    with pytest.raises(ValueError, match="focus head"):
        explain.Trace(blind, masks=True)


def test_an_overlay_covers_the_face_alone():
    frame, mask = np.full((32, 32, 3), 200, np.uint8), np.zeros((4, 4), np.float32)
    assert np.array_equal(np.asarray(explain.mask_overlay(frame, mask)), frame)
    mask[:2, :2] = 1
    seen = np.asarray(explain.mask_overlay(frame, mask))
    assert (seen[2, 2] != 200).all() and (seen[30, 30] == 200).all()


def test_senses_are_the_networks_own_answers(pipe, conditions, latents):
    seen = explain.condition_effects(pipe, latents, 700.0, conditions)
    assert list(seen.without) == ["text", "image", "audio"]
    assert seen.frames.shape == (FRAMES, SIZE, SIZE, 3) and seen.change["audio"].shape == (FRAMES, SIZE, SIZE)
    velocity = guided_velocity(pipe.transformer, latents, 700.0, {Branch(True, True, False): 1.0}, conditions)
    pixels = decode_latents((latents - 0.7 * velocity)[:, :, :-1], pipe.vae)[0]
    expected = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()
    assert np.array_equal(seen.without["audio"], expected)
    assert all(change.max() > 0 for change in seen.change.values())
    assert len(explain.describe_condition_effects(seen).splitlines()) == 5


def test_sound_acts_where_it_is_heard(pipe, conditions, latents):
    places = explain.sound_map(pipe, latents, 700.0, conditions)
    blocks = len(pipe.transformer.blocks)
    assert places.shape[:2] == (blocks, latents.shape[2] - 1) and places.min() >= 0 and places.max() > 0
    again = explain.sound_map(pipe, latents, 700.0, conditions)
    assert np.array_equal(places, again)  # the hooks are gone
    assert len(explain.describe_sound_map(places).splitlines()) == 2 + blocks
    silent = type(conditions)(conditions.text, conditions.negative_text, None, conditions.references, 1)
    with pytest.raises(ValueError, match="no sound"):
        explain.sound_map(pipe, latents, 700.0, silent)


def test_a_long_video_is_looked_at_in_its_windows():
    long = tiny.pipeline("mini", max_trained_frames=FRAMES)
    seen = []
    arguments = {"audio": tiny.voice(1.0), "num_frames": 17, "height": SIZE, "width": SIZE, "num_inference_steps": 1}
    long("a woman", seed=1, on_step=seen.append, **arguments)
    state = seen[0]
    asked = long, state.noisy, state.timestep, state.conditions
    velocity = guided_velocity(
        long.transformer, state.noisy, state.timestep, {Branch(True, False, True): 1.0}, state.conditions, window=3
    )
    clean = (state.noisy - state.timestep / 1000 * velocity)[:, :, :-1]
    expected = ((decode_latents(clean, long.vae)[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()
    assert np.array_equal(explain.condition_effects(*asked).frames, expected)
    assert explain.sound_map(*asked).shape[1] == 5


def test_words_for_a_map():
    values = np.zeros((16, 16))
    values[8:10, 4:6] = 3.0
    assert peak(values) == (0.3125, 0.5625)
    assert share_on(values, values[::4, ::4] > 0) == share_on(values, values) == 1.0
    assert share_on(values, np.eye(16)) == 0.0 and share_on(np.zeros((4, 4)), np.ones((2, 2))) == 0.0
    assert stretch(values + 5).tolist() == (values / 3).tolist() and stretch(np.ones((2, 2))).tolist() == [[0, 0]] * 2


def test_the_latent_of_a_frame():
    assert [explain.latent_of(frame) for frame in (0, 1, 4, 5, 8, 48)] == [0, 1, 1, 2, 2, 12]
