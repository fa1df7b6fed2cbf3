"""The linear part of mini's velocity and its gate."""

from __future__ import annotations

import pytest
import tiny
import torch

from humo.layers.linear_velocity import LEAST_SPREAD, MOST_SPREAD, add_linear_estimate


def noisy_channel(std: float, sigma: float, count: int = 200_000) -> tuple[torch.Tensor, torch.Tensor]:
    """x_t and the velocity of a channel with the given spread, (1, 1, 1, 1, count) each."""
    generator = torch.Generator().manual_seed(0)
    clean = std * torch.randn(1, 1, 1, 1, count, generator=generator)
    noise = torch.randn(1, 1, 1, 1, count, generator=generator)
    return (1 - sigma) * clean + sigma * noise, noise - clean


@pytest.mark.parametrize("sigma", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("spread", [0.2, 1.0, 1.8])
def test_no_slope_is_better_than_the_gated_one(sigma: float, spread: float) -> None:
    std, level = torch.tensor([0.7]), torch.tensor([sigma])
    x_t, velocity = noisy_channel(0.7 * spread, sigma)
    gate = torch.logit(torch.tensor((spread - LEAST_SPREAD) / (MOST_SPREAD - LEAST_SPREAD))).expand(x_t.shape)
    estimate = add_linear_estimate(torch.zeros_like(x_t), x_t, level, std, gate)
    slope = (velocity * x_t).sum() / (x_t * x_t).sum()  # least squares
    torch.testing.assert_close(estimate, slope * x_t, atol=0.02, rtol=0.02)


def test_a_gate_of_zero_changes_nothing() -> None:
    x_t, residual = torch.randn(2, 3, 2, 4, 4), torch.randn(2, 3, 2, 4, 4)
    sigma, std = torch.tensor([0.3, 0.8]), torch.tensor([2.0, 1.0, 0.5])
    plain = add_linear_estimate(residual, x_t, sigma, std)
    torch.testing.assert_close(add_linear_estimate(residual, x_t, sigma, std, torch.zeros_like(x_t)), plain)


def test_a_closed_gate_takes_noise_for_noise() -> None:
    x_t, sigma = torch.randn(1, 3, 2, 4, 4), torch.tensor([0.5])
    gate = torch.full_like(x_t, -30.0)
    velocity = add_linear_estimate(torch.zeros_like(x_t), x_t, sigma, torch.ones(3), gate)
    assert (x_t - sigma * velocity).abs().max() < 0.02 * x_t.abs().max()  # the clean estimate: next to nothing


def test_the_transformer_reads_its_gate_from_the_second_half_of_its_output() -> None:
    model = tiny.transformer(latent_std=tiny.LATENT_STD, estimate_gate=True)
    given = {
        "hidden_states": torch.randn(1, 8, 3, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 4, tiny.TEXT_DIM),
        "audio_hidden_states": torch.randn(1, 3, 8, 5, tiny.AUDIO_CHANNELS),
    }
    with torch.no_grad():
        model.proj_out.weight.zero_()
        model.proj_out.bias.zero_()
        plain = model(**given).sample
        model.proj_out.bias.view(4, 16)[:, 8:] = -30.0  # 4 places of a patch, 8 residuals and 8 gates each
        gated = model(**given).sample
    clean = given["hidden_states"] - 0.5 * gated
    assert gated.shape == plain.shape and clean.abs().max() < 0.05 * (given["hidden_states"] - 0.5 * plain).abs().max()


def test_a_gate_needs_something_to_gate() -> None:
    with pytest.raises(ValueError, match="estimate_gate is on but latent_std is None"):
        tiny.transformer(estimate_gate=True)
