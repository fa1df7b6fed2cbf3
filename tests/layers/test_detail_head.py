"""The detail head: where it acts, what it sees, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F

from humo.layers.detail.convolution import MatrixConvolution
from humo.layers.key_value_cache import KeyValueMemory
from humo.loading.fast_form import with_scalars
from humo.training.transformer.model import add_detail_head
from humo.transformer import HuMoTransformer3DModel

FORM: dict[str, Any] = {"latent_std": tiny.LATENT_STD, "estimate_gate": True}


def inputs(*timesteps: float, size: int = 6) -> dict[str, torch.Tensor]:
    generator, count = torch.Generator().manual_seed(0), len(timesteps)
    return {
        "hidden_states": torch.randn(count, 8, 4, size, size, generator=generator),
        "timestep": torch.tensor(timesteps),
        "encoder_hidden_states": torch.randn(count, 4, tiny.TEXT_DIM, generator=generator),
        "audio_hidden_states": torch.randn(count, 4, 8, 5, tiny.AUDIO_CHANNELS, generator=generator),
    }


@pytest.fixture
def pair() -> tuple[HuMoTransformer3DModel, HuMoTransformer3DModel]:
    """A transformer, and the same with a detail head of random weights."""
    torch.manual_seed(0)
    plain = tiny.transformer(**FORM)
    grown = add_detail_head(plain, 2).eval()
    for parameter in grown.detail_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return plain, grown


@torch.no_grad()
def test_an_untrained_head_adds_nothing() -> None:
    plain = tiny.transformer(**FORM)
    given = inputs(100.0, 700.0)
    assert torch.equal(add_detail_head(plain, 2).eval()(**given).sample, plain(**given).sample)


@torch.no_grad()
def test_it_acts_below_its_timestep_alone(pair) -> None:
    plain, grown = pair
    given = inputs(749.0, 750.0, 900.0)
    before, after = plain(**given).sample, grown(**given).sample
    changed = (before - after).abs().amax((1, 2, 3, 4))
    assert changed[0] > 0.01 and changed[1] == changed[2] == 0


@torch.no_grad()
def test_a_batch_is_what_each_is_alone_and_one_timestep_serves_all(pair) -> None:
    _, grown = pair
    together = grown(**inputs(300.0, 900.0)).sample
    given = inputs(300.0, 900.0)
    for index in range(2):
        alone = grown(**{name: value[index : index + 1] for name, value in given.items()}).sample
        torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=1e-5)
    shared = grown(**(given | {"timestep": torch.tensor([300.0])})).sample
    each = grown(**(given | {"timestep": torch.tensor([300.0, 300.0])})).sample
    torch.testing.assert_close(shared, each, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_it_looks_at_the_neighbours_in_place_and_time(pair) -> None:
    _, grown = pair
    head, count = grown.detail_head, 4
    noisy = torch.randn(1, 8, count, 6, 6)
    tokens, answer, temb = (
        torch.randn(1, count * 9, tiny.DIM),
        torch.randn(1, 16, count, 6, 6),
        torch.randn(1, tiny.DIM),
    )

    def made(changed: torch.Tensor) -> torch.Tensor:
        return head(changed, tokens, answer, temb, torch.tensor([300.0]), 750.0)

    other = noisy.clone()
    other[:, :, 0, 0, 0] += 1
    reach = (made(other) - made(noisy)).abs().amax((0, 1)) > 1e-6  # (f, h, w)
    assert reach[0, :4, :4].all() and not reach[0, 4:].any(), "the input and two blocks see one place further each"
    assert reach[2].any() and not reach[3].any(), "a block sees one latent frame further"


@torch.no_grad()
def test_kept_keys_and_values_change_nothing(pair) -> None:
    _, grown = pair
    given, memory = inputs(300.0), KeyValueMemory()
    first = grown(**given, memory=memory).sample
    assert memory.is_full
    torch.testing.assert_close(grown(**given, memory=memory).sample, first, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(pair, tmp_path) -> None:
    _, grown = pair
    grown.save_pretrained(tmp_path)
    again = HuMoTransformer3DModel.from_pretrained(tmp_path)
    assert again.config.detail_layers == 2
    given = inputs(300.0)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in grown.state_dict().items())
    torch.testing.assert_close(again.eval()(**given).sample, grown(**given).sample)


def test_a_student_begins_with_it(pair) -> None:
    _, grown = pair
    student, given = with_scalars(grown), inputs(300.0, 900.0)
    with torch.no_grad():
        told = student(**given, guidance=torch.ones(2, 4)).sample
        torch.testing.assert_close(told, grown(**given).sample)
    assert student.detail_head is not grown.detail_head, "a copy, so that learning leaves the teacher as it is"


def test_it_needs_the_spread_of_the_latents() -> None:
    with pytest.raises(ValueError, match="detail_layers is on but latent_std is None"):
        tiny.transformer(detail_layers=2)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1)])
def test_a_matrix_is_a_convolution(kernel: tuple[int, int, int]) -> None:
    layer, x = MatrixConvolution(5, 7, kernel), torch.randn(2, 4, 6, 3, 5)
    weight = layer.weight.view(7, 5, *kernel)
    plain = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, layer.bias, padding=[side // 2 for side in kernel])
    torch.testing.assert_close(layer(x), plain.permute(0, 2, 3, 4, 1), atol=1e-5, rtol=1e-5)
