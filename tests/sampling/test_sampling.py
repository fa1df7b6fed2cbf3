"""The loop: the published trajectories, what a step shows, stopping, and windows."""

from __future__ import annotations

import published
import pytest
import tiny
import torch
from diffusers import FirstBlockCacheConfig

from humo.focus import FaceMaskPredictor
from humo.guidance import Branch, constant, published_1_7b, published_17b
from humo.sampling import (
    Conditions,
    StepState,
    StopGeneration,
    branch_inputs,
    denoise,
    guided_velocity,
    make_scheduler,
    set_timesteps,
)

SHAPE = (16, 4, 8, 12)
RULE = constant(text=2.5, image=2.0, audio=3.0)


@pytest.fixture(scope="module", params=["1.7B", "17B"])
def golden(request):
    """A published tiny model with its kind."""
    return request.param, published.model(request.param)


def golden_conditions(kind: str, mode: str) -> Conditions:
    """The conditions of the published trajectories."""
    return Conditions(
        text=published.text("input/text", 7),
        negative_text=published.text("input/negative_text", 9),
        audio=published.audio(),
        references=published.tensor("input/ref", (16, 1, 8, 12))[None] if mode == "TIA" else None,
        num_references=1,
        black_video=published.tensor("input/zero_vae", SHAPE)[None] if kind == "17B" else None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["TIA", "TA"])
@pytest.mark.parametrize("batch_branches", [False, True])
def test_equals_the_published_loop(golden, mode: str, batch_branches: bool) -> None:
    kind, model = golden
    figures, scheduler = published.figures("sampler"), make_scheduler(shift=5.0)
    rule = published_17b(5.0, 5.5, switch=980) if kind == "17B" else published_1_7b(5.0, 5.5, 4.0)
    noise = published.tensor("input/noise", SHAPE)[None]
    conditions = golden_conditions(kind, mode)
    latents = denoise(model, scheduler, rule, conditions, noise, 6, batch_branches=batch_branches)[0]
    expected = figures[f"{kind}/{mode}/latents"]
    assert (latents - expected).norm() / expected.norm() < 1e-4
    torch.testing.assert_close(scheduler.timesteps.float(), figures[f"{kind}/{mode}/timesteps"].float())
    torch.testing.assert_close(scheduler.sigmas, figures[f"{kind}/{mode}/sigmas"])


def tiny_conditions(num_video: int = 3, has_image: bool = True, has_audio: bool = True, **changes) -> Conditions:
    """Conditions of the tiny transformer, one reference."""
    torch.manual_seed(1)
    values = dict(
        text=torch.randn(1, 5, tiny.TEXT_DIM),
        negative_text=torch.randn(1, 5, tiny.TEXT_DIM),
        audio=torch.randn(1, num_video + 1, 8, 5, tiny.AUDIO_CHANNELS) if has_audio else None,
        references=torch.randn(1, 8, 1, 4, 4) if has_image else None,
        num_references=1,
    )
    return Conditions(**{**values, **changes})


def run(num_video: int = 3, steps: int = 3, conditions: Conditions | None = None, **options) -> torch.Tensor:
    """A tiny loop from a fixed noise."""
    torch.manual_seed(2)
    model, noise = tiny.transformer(latent_std=tiny.LATENT_STD), torch.randn(1, 8, num_video + 1, 4, 4)
    return denoise(model, make_scheduler(), RULE, conditions or tiny_conditions(num_video), noise, steps, **options)


def test_step_states() -> None:
    states: list[StepState] = []
    latents = run(steps=4, on_step=states.append)
    assert [state.index for state in states] == [0, 1, 2, 3]
    assert {state.num_steps for state in states} == {4}
    assert states[0].timestep == 999
    assert [round(state.sigma, 3) for state in states] == [1.0, 0.937, 0.833, 0.625]
    assert latents.shape == states[0].latents.shape == states[0].clean.shape == (1, 8, 3, 4, 4)
    torch.testing.assert_close(states[-1].latents, latents)
    torch.testing.assert_close(states[-1].clean, latents, atol=0.2, rtol=0.1)  # the last step lands on its prediction
    assert all(sum(state.weights.values()) == pytest.approx(1) for state in states)
    assert [branch.name for branch in states[0].weights] == ["null", "T", "TI", "TIA"]


def test_attended_states_and_masks_are_made_on_demand() -> None:
    states: list[StepState] = []
    run(on_step=states.append)
    attended = states[1].attended
    assert [tuple(part.shape) for part in attended] == [(1, 4 * 2 * 2, tiny.DIM)] * 2
    head = FaceMaskPredictor(tiny.DIM, num_blocks=2)
    mask = states[1].face_mask(head)
    assert mask.shape == (1, 3, 4, 4)
    torch.testing.assert_close(mask, head(attended, (4, 2, 2))[:, :3].sigmoid())


def test_masks_may_be_finer_than_the_latents() -> None:
    states: list[StepState] = []
    run(on_step=states.append)
    head = FaceMaskPredictor(tiny.DIM, num_blocks=2, patch_size=(1, 4, 4))
    torch.testing.assert_close(states[0].face_mask(head), head(states[0].attended, (4, 2, 2))[:, :3].sigmoid())
    assert states[0].face_mask(head).shape == (1, 3, 8, 8)


def test_a_callback_may_stop() -> None:
    seen = []

    def stop_at_second(state: StepState) -> None:
        seen.append(state.index)
        if state.index == 1:
            raise StopGeneration

    with pytest.raises(StopGeneration):
        run(steps=5, on_step=stop_at_second)
    assert seen == [0, 1]


@pytest.mark.parametrize(("has_image", "has_audio"), [(True, False), (False, True), (False, False)])
def test_absent_conditions(has_image: bool, has_audio: bool) -> None:
    states: list[StepState] = []
    latents = run(conditions=tiny_conditions(has_image=has_image, has_audio=has_audio), on_step=states.append)
    assert latents.isfinite().all()
    assert states[0].attended[0].shape == (1, 16, tiny.DIM)
    names = [branch.name for branch in states[0].weights]
    assert names == ["null", "T"] + ["TI"] * has_image + ["TA"] * has_audio


def test_a_rule_must_not_show_what_is_absent() -> None:
    conditions = tiny_conditions(has_image=False)
    with pytest.raises(ValueError, match="branch TI shows a condition that is absent"):
        branch_inputs(tiny.transformer(), torch.zeros(1, 8, 4, 4, 4), 500, Branch(True, True), conditions)


def test_branch_inputs_are_nulls_where_not_shown() -> None:
    conditions, latents = tiny_conditions(), torch.randn(1, 8, 4, 4, 4)
    null = branch_inputs(tiny.transformer(), latents, 500, Branch(), conditions)
    full = branch_inputs(tiny.transformer(), latents, 500, Branch(True, True, True), conditions)
    assert null["audio_hidden_states"].shape == full["audio_hidden_states"].shape
    assert null["audio_hidden_states"].abs().max() == null["hidden_states"][:, :, 3].abs().max() == 0
    torch.testing.assert_close(null["encoder_hidden_states"], conditions.negative_text)
    torch.testing.assert_close(full["encoder_hidden_states"], conditions.text)
    torch.testing.assert_close(full["hidden_states"][:, :, 3:], conditions.references)


def test_one_step_and_none() -> None:
    assert run(steps=1).isfinite().all()
    with pytest.raises(ValueError, match="num_inference_steps must be 1 or more but is 0"):
        run(steps=0)


def test_spacing_is_the_released_one() -> None:
    scheduler = make_scheduler(shift=5.0)
    set_timesteps(scheduler, 50)
    assert scheduler.sigmas[0].item() == pytest.approx(5 * 0.999 / (1 + 4 * 0.999))
    assert (scheduler.timesteps > 980).sum() == 5
    set_timesteps(scheduler, 8)
    assert (scheduler.timesteps > 980).sum() == 1


def test_windows_over_a_short_video_change_nothing() -> None:
    torch.testing.assert_close(run(window=3), run())


@pytest.mark.parametrize("batch_branches", [False, True])
def test_windows_blend_what_each_window_predicts(batch_branches: bool) -> None:
    """Two windows of 4 over 6 frames: frame 0 lies only in the first, frame 5 only in the second."""
    model, conditions = tiny.transformer(), tiny_conditions(6)
    latents, weights = torch.randn(1, 8, 7, 4, 4), {Branch(True, True, True): 2.0, Branch(): -1.0}
    whole = guided_velocity(model, latents, 500, weights, conditions, batch_branches, window=4)
    assert whole.shape == latents.shape
    for place, frame in ((slice(0, 4), 0), (slice(2, 6), 3)):
        part = torch.cat([latents[:, :, place], latents[:, :, 6:]], dim=2)
        alone = guided_velocity(model, part, 500, weights, conditions.window(place))
        torch.testing.assert_close(whole[:, :, place][:, :, frame], alone[:, :, frame])


def test_windowed_masks_cover_the_video() -> None:
    states: list[StepState] = []
    latents = run(num_video=6, window=4, on_step=states.append)
    assert latents.shape[2] == 6
    assert states[0].face_mask(FaceMaskPredictor(tiny.DIM, num_blocks=2)).shape == (1, 6, 4, 4)


def test_window_of_conditions_keeps_the_references() -> None:
    conditions = tiny_conditions(6, black_video=torch.arange(7.0).view(1, 1, 7, 1, 1))
    cut = conditions.window(slice(2, 5))
    torch.testing.assert_close(cut.audio, conditions.audio[:, [2, 3, 4, 6]])
    assert cut.black_video.flatten().tolist() == [0, 1, 2, 3]


def test_branches_do_not_share_a_cache() -> None:
    """With a threshold that never reuses, a cached model must give the uncached trajectory."""
    expected = run()
    torch.manual_seed(2)
    model, noise = tiny.transformer(latent_std=tiny.LATENT_STD), torch.randn(1, 8, 4, 4, 4)
    model.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    torch.testing.assert_close(denoise(model, make_scheduler(), RULE, tiny_conditions(), noise, 3), expected)
