"""Keys and values of text and sound, computed once: the same numbers, and really not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import tiny
import torch
from diffusers import FirstBlockCacheConfig
from diffusers.models.transformers.transformer_wan import WanAttnProcessor

from humo.guidance import Branch, constant
from humo.layers.key_value_cache import MAX_BYTES, ConditionMemory, KeyValueMemory, room_beside
from humo.loading import estimates
from humo.sampling import Conditions, denoise, guided_velocity, make_scheduler, set_timesteps
from humo.sampling.denoising import Denoising
from humo.transformer import HuMoTransformer3DModel

TEXT, SOUND = "encoder_hidden_states", "audio_hidden_states"


def _model(in_channels: int = 8) -> HuMoTransformer3DModel:
    torch.manual_seed(0)
    return tiny.transformer(in_channels=in_channels, num_layers=3)


def _given() -> dict[str, torch.Tensor]:
    """Arguments of the model, batch of two."""
    return {
        "hidden_states": torch.randn(2, 8, 3, 4, 6),
        "timestep": torch.tensor([10.0, 990.0]),
        TEXT: torch.randn(2, 5, tiny.TEXT_DIM),
        SOUND: torch.randn(2, 3, 8, 5, tiny.AUDIO_CHANNELS),
    }


def _told(in_channels: int = 8) -> Conditions:
    """Conditions of five video frames and a reference."""
    frames, is_small = 6, in_channels == 8
    return Conditions(
        text=torch.randn(1, 5, tiny.TEXT_DIM),
        negative_text=torch.randn(1, 5, tiny.TEXT_DIM),
        audio=torch.randn(1, frames, 8, 5, tiny.AUDIO_CHANNELS),
        references=torch.randn(1, 8, 1, 4, 6),
        num_references=1,
        black_video=None if is_small else torch.randn(1, 8, frames, 4, 6),
    )


@torch.no_grad()
def test_a_pass_with_memory_gives_the_same_numbers_and_reads_nothing_again() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    first = model(**given, memory=memory).sample
    assert torch.equal(first, model(**given).sample), "filling the memory changes nothing"
    later = {**given, "hidden_states": given["hidden_states"] + 1, "timestep": given["timestep"] - 5}
    expected = model(**later, return_attended=True)
    forgotten = {
        **later,
        TEXT: torch.full_like(given[TEXT], torch.nan),
        SOUND: torch.full_like(given[SOUND], torch.nan),
    }
    for part in (model.audio_projection, model.blocks[1].attn2.to_k, model.blocks[1].audio_attn.attn.to_v):
        part.register_forward_hook(lambda *_: pytest.fail("computed again"))
    found = model(**forgotten, memory=memory, return_attended=True)
    assert torch.equal(found.sample, expected.sample)
    assert all(torch.equal(*pair) for pair in zip(found.attended, expected.attended, strict=True))


@torch.no_grad()
def test_what_is_known_of_the_text_alone_is_used() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    model(**given, memory=memory)
    other = {**given, SOUND: given[SOUND] + 1}
    found = model(**{**other, TEXT: other[TEXT] * torch.nan}, memory=KeyValueMemory(text=memory.text)).sample
    assert torch.equal(found, model(**other).sample)


@torch.no_grad()
def test_fused_projections_give_the_same_numbers() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    expected = model(**given).sample
    model.fuse_qkv_projections()
    torch.testing.assert_close(model(**given, memory=memory).sample, expected)
    torch.testing.assert_close(model(**given, memory=memory).sample, expected)


@torch.no_grad()
def test_somebodys_own_processor_still_gets_what_it_knows() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    expected = model(**given).sample
    model.set_attn_processor(WanAttnProcessor())
    for _ in range(2):
        torch.testing.assert_close(model(**given, memory=memory).sample, expected)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("batch_branches", [False, True])
@pytest.mark.parametrize("in_channels", [8, 20])
def test_a_generation_equals_passes_without_memory(in_channels: int, batch_branches: bool, window: int | None) -> None:
    model, told = _model(in_channels), _told(in_channels)
    rule, noise = constant(text=2.5, image=2.0, audio=3.0), torch.randn(1, 8, told.audio.shape[1], 4, 6)
    found = denoise(model, make_scheduler(), rule, told, noise, 4, batch_branches=batch_branches, window=window)

    scheduler, latents = make_scheduler(), noise
    set_timesteps(scheduler, 4)
    for index, timestep in enumerate(scheduler.timesteps.tolist()):
        weights = rule(timestep, has_image=True, has_audio=True)
        velocity = guided_velocity(model, latents, timestep, weights, told, batch_branches, window)
        latents = scheduler.step(velocity, scheduler.timesteps[index], latents, return_dict=False)[0]
    assert torch.equal(found, latents[:, :, : found.shape[2]])


@torch.no_grad()
def test_branches_with_the_same_text_share_it_and_the_room_is_bounded() -> None:
    model, told = _model(), _told()
    weights = {Branch(True, True, True): 2.0, Branch(True, True, False): -0.5, Branch(False, True, False): -0.5}
    latents = torch.randn(1, 8, told.audio.shape[1], 4, 6)
    memory = ConditionMemory()
    velocity = guided_velocity(model, latents, 500.0, weights, told, memory=memory)
    tokens = 2 * told.text.shape[1] + 2 * told.audio.shape[1] * model.config.audio_tokens
    assert memory.nbytes == tokens * 2 * tiny.DIM * len(model.blocks) * 4, "two texts and two sounds, keys and values"
    full = memory.nbytes
    one, text = full // 2, full * told.text.shape[1] // tokens  # a text and a sound, a text
    for room, kept in ((0, 0), (one - 1, 0), (one, one), (full - text, full - text), (full - 1, full - text)):
        small = ConditionMemory(max_bytes=room)
        for _ in range(2):
            assert torch.equal(guided_velocity(model, latents, 500.0, weights, told, memory=small), velocity)
        assert small.nbytes == kept, "never more than there is room for"


class ToldMemory(ConditionMemory):
    """A memory that also adds up what it is told beforehand."""

    said = 0

    def of(self, branches: Sequence[Branch], place: str, text_bytes: int, audio_bytes: int) -> KeyValueMemory | None:
        self.said += text_bytes + audio_bytes
        return super().of(branches, place, text_bytes, audio_bytes)


@torch.no_grad()
@pytest.mark.parametrize("batch_branches", [False, True])
def test_what_is_kept_takes_what_is_said_before(batch_branches: bool) -> None:
    model, told, memory = _model().bfloat16(), _told(), ToldMemory()
    weights = {Branch(True, True, True): 2.0, Branch(False, True, False): -1.0}
    latents = torch.randn(1, 8, told.audio.shape[1], 4, 6)
    guided_velocity(model, latents, 500.0, weights, told, batch_branches, memory=memory)
    assert memory.said == memory.nbytes > 0


@torch.no_grad()
@pytest.mark.parametrize("is_silent", [False, True])
def test_what_a_generation_keeps_is_what_is_estimated(is_silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, told = _model(), _told()
    told = replace(told, audio=None) if is_silent else told
    rule = constant(text=2.5, image=2.0, audio=3.0)
    run = Denoising(model, make_scheduler(), told, torch.randn(1, 8, 6, 4, 6), 2)
    for _ in run.steps():
        run.advance(run.predict(run.weigh(rule)))
    monkeypatch.setattr(estimates, "TEXT_TOKENS", told.text.shape[1])
    in_16_bits = estimates.kept_bytes(model.config, 6, rule(500.0, True, not is_silent))
    assert run._memory.nbytes == 2 * in_16_bits > 0, "in 32 bits"


@torch.no_grad()
def test_with_no_room_for_a_sound_its_text_is_read_and_nothing_is_filled() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    model(**given, memory=memory)
    partly = KeyValueMemory(text=memory.text, has_room=False)
    other = {**given, SOUND: given[SOUND] + 1}
    found = model(**{**other, TEXT: other[TEXT] * torch.nan}, memory=partly).sample
    assert torch.equal(found, model(**other).sample) and partly.audio == []


def test_the_room_is_what_the_model_leaves_free() -> None:
    model = _model()
    weights = sum(weight.nbytes for weight in model.parameters())
    here, gpu = torch.device("cpu"), torch.device("cuda")
    assert room_beside(model, here, 8000) == 1000, "all of it is there already"
    assert room_beside(model, gpu, weights + 8000) == 1000, "it is still on its way"
    assert room_beside(model, gpu, weights - 1) == 0
    assert room_beside(model, here, 10**12) == MAX_BYTES
    assert ConditionMemory.beside(model, here).max_bytes == MAX_BYTES
    model.enable_group_offload(here, here, offload_type="block_level", num_blocks_per_group=1)
    assert ConditionMemory.beside(model, here).max_bytes == 0, "where blocks come in turn, memory is short"


def test_gradients_are_the_same_where_keys_and_values_are_handed_out() -> None:
    model, given = _model(), _given()
    model(**given).sample.sum().backward()
    first = model.blocks[0].audio_attn.attn.to_k.weight.grad.clone()
    model.zero_grad()
    model(**given, return_attended=True).sample.sum().backward()
    assert torch.equal(model.blocks[0].audio_attn.attn.to_k.weight.grad, first) and first.abs().sum() > 0


@torch.no_grad()
def test_a_cache_of_diffusers_goes_without_memory() -> None:
    model, given, memory = _model(), _given(), KeyValueMemory()
    model.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    with model.cache_context("a"):
        model(**given, memory=memory)
    assert memory == KeyValueMemory()


def test_windows_have_their_own_sound() -> None:
    memory, branch = ConditionMemory(), [Branch(True, True, True)]
    first, second = memory.of(branch, "0", 1, 1), memory.of(branch, "1", 1, 1)
    assert first.text is second.text and first.audio is not second.audio
    assert memory.of([replace(branch[0], image=False)], "0", 1, 1).audio is first.audio
