"""The transformer: the published figures, sound frame by frame, and diffusers' contracts."""

from __future__ import annotations

import published
import pytest
import tiny
import torch
from diffusers import FirstBlockCacheConfig
from diffusers.models.transformers.transformer_wan import WanAttnProcessor

from humo.layers.audio_attention import AudioCrossAttention, FrameIndex, frame_mask
from humo.transformer import HuMoTransformer3DModel, humo_1_7b, humo_17b


def inputs(num_frames: int = 3, batch_size: int = 2, in_channels: int = 8) -> dict[str, torch.Tensor]:
    """Random arguments of the tiny transformer."""
    return {
        "hidden_states": torch.randn(batch_size, in_channels, num_frames, 4, 6),
        "timestep": torch.linspace(10, 990, batch_size),
        "encoder_hidden_states": torch.randn(batch_size, 5, tiny.TEXT_DIM),
        "audio_hidden_states": torch.randn(batch_size, num_frames, 8, 5, tiny.AUDIO_CHANNELS),
    }


def relative_error(given: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm."""
    return ((given.float() - expected).norm() / expected.norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["1.7B", "17B"])
def test_equals_the_published_model(kind: str) -> None:
    model = published.model(kind)
    latents = published.tensor("input/latents", (16, 4, 8, 12))[None]
    if kind == "17B":
        mask = torch.zeros(1, 4, 4, 8, 12)
        mask[:, :, 3] = 1
        latents = torch.cat([latents, mask, published.tensor("input/y", (16, 4, 8, 12))[None]], dim=1)
    for name, expected in published.figures(f"dit_{kind}").items():
        audio = published.audio() * (0 if name.endswith("noaudio") else 1)
        timestep = torch.tensor([float(name.split("/")[1].split("_")[0])])
        with torch.no_grad():
            sample = model(latents, timestep, published.text("input/text", 7), audio).sample[0]
        assert relative_error(sample, expected) < 1e-5, name


def test_presets_are_the_published_sizes() -> None:
    with torch.device("meta"):
        small, large = HuMoTransformer3DModel(**humo_1_7b()), HuMoTransformer3DModel(**humo_17b())
    assert (small.config.num_attention_heads, len(small.blocks), small.patch_embedding.out_channels) == (12, 30, 1536)
    assert (large.config.in_channels, len(large.blocks), large.patch_embedding.out_channels) == (36, 40, 5120)
    assert large.blocks[0].audio_attn.attn.to_k.weight.shape == (5120, 1536)


def test_output_shapes() -> None:
    model = tiny.transformer(in_channels=20, num_layers=6)
    output = model(**inputs(in_channels=20), return_attended=True)
    assert output.sample.shape == (2, 8, 3, 4, 6)
    assert [tuple(states.shape) for states in output.attended] == [(2, 3 * 2 * 3, tiny.DIM)] * 4
    assert len(tiny.transformer()(**inputs(), return_attended=True).attended) == 2
    assert model(**inputs(in_channels=20)).attended is None
    assert len(model(**inputs(in_channels=20), return_dict=False)) == 1


def test_audio_attention_equals_an_explicit_einsum() -> None:
    layer = AudioCrossAttention(dim=48, num_heads=2, audio_dim=12, eps=1e-6)
    hidden_states, audio = torch.randn(2, 3 * 4, 48), torch.randn(2, 3, 5, 12)
    attn, normed = layer.attn, layer.norm_audio(hidden_states)
    query = attn.norm_q(attn.to_q(normed)).view(2, 3, 4, 2, 24)
    key = attn.norm_k(attn.to_k(audio)).view(2, 3, 5, 2, 24)
    value = attn.to_v(audio).view(2, 3, 5, 2, 24)
    scores = torch.einsum("bfqnd,bfknd->bfnqk", query, key) / 24**0.5
    expected = torch.einsum("bfnqk,bfknd->bfqnd", scores.softmax(-1), value).reshape(2, 12, 48)
    torch.testing.assert_close(layer(hidden_states, audio), attn.to_out[0](expected))


def test_the_sound_of_a_frame_reaches_only_that_frame_in_one_layer() -> None:
    layer = AudioCrossAttention(dim=48, num_heads=2, audio_dim=12, eps=1e-6)
    hidden_states, audio = torch.randn(1, 4 * 6, 48), torch.randn(1, 4, 5, 12)
    changed = audio.clone()
    changed[:, 2] += 1
    difference = (layer(hidden_states, changed) - layer(hidden_states, audio)).abs().amax(-1).view(4, 6)
    assert (difference[2] > 0).all()
    assert difference[[0, 1, 3]].max() == 0


def test_a_share_of_the_tokens_hears_its_own_frames() -> None:
    """As a process of several does: its share begins and ends in the middle of frames."""
    layer = AudioCrossAttention(dim=48, num_heads=2, audio_dim=12, eps=1e-6)
    hidden_states, audio = torch.randn(2, 3 * 4, 48), torch.randn(2, 3, 5, 12)
    frame_index = FrameIndex()(3, 4, hidden_states.device)
    assert frame_index.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]
    share = slice(2, 9)
    mask = frame_mask(frame_index[:, share], 3, 5)
    assert mask.shape == (1, 1, 7, 15)
    torch.testing.assert_close(layer(hidden_states[:, share], audio, mask), layer(hidden_states, audio)[:, share])


def test_splitting_adds_nothing_to_the_weights() -> None:
    assert not any(name.startswith(("frame_index", "gather_tokens")) for name in tiny.transformer().state_dict())


def test_checkpointing_gives_identical_gradients() -> None:
    model, given = tiny.transformer().train(), inputs()
    gradients = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.zero_grad()
        output = model(**given, return_attended=True)
        (output.sample.square().mean() + output.attended[0].mean()).backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_round_trip_and_declared_float32(tmp_path) -> None:
    model, given = tiny.transformer(latent_std=tiny.LATENT_STD), inputs()
    model.save_pretrained(tmp_path)
    again = HuMoTransformer3DModel.from_pretrained(tmp_path)
    torch.testing.assert_close(again(**given).sample, model(**given).sample)
    half = HuMoTransformer3DModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == half.proj_out.weight.dtype == torch.bfloat16
    assert half.blocks[0].audio_attn.attn.to_q.weight.dtype == torch.bfloat16
    assert half.blocks[0].audio_attn.norm_audio.weight.dtype == torch.float32
    assert half.blocks[0].scale_shift_table.dtype == torch.float32
    assert half.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    halved = {name: value if name == "timestep" else value.bfloat16() for name, value in given.items()}
    sample = half(**halved).sample
    assert sample.dtype == torch.bfloat16
    assert relative_error(sample, model(**given).sample) < 0.05


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # RMSNorm of diffusers under autocast
def test_autocast_keeps_the_output_float32() -> None:
    model, given = tiny.transformer(latent_std=tiny.LATENT_STD), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        sample = model(**given).sample
    assert sample.dtype == torch.float32
    assert relative_error(sample, model(**given).sample) < 0.05


def test_the_linear_estimate_is_the_best_one() -> None:
    """k x_t has the least error of all multiples of x_t, and what is left has the variance s^2 / D."""
    torch.manual_seed(0)
    model = tiny.transformer(latent_std=tiny.LATENT_STD)
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    std = torch.tensor(tiny.LATENT_STD)
    clean, noise = torch.randn(2, 1, 8, 40, 4, 6)
    clean = clean * std.view(1, -1, 1, 1, 1)
    for sigma in (0.05, 0.4, 0.9):
        given = inputs(num_frames=40, batch_size=1)
        given["timestep"] = torch.tensor([1000 * sigma])
        given["hidden_states"] = (1 - sigma) * clean + sigma * noise
        error = noise - clean - model(**given).sample
        variance = ((1 - sigma) * std) ** 2 + sigma**2
        torch.testing.assert_close(error.var((0, 2, 3, 4)), std**2 / variance, rtol=0.15, atol=0)
        assert (error * given["hidden_states"]).mean().abs() < 0.03


def test_one_standard_deviation_per_channel() -> None:
    with pytest.raises(ValueError, match="give one each"):
        tiny.transformer(latent_std=[1.0])


def test_lora_and_processors_find_the_audio_attention() -> None:
    model = tiny.transformer()
    names = [name for name, _ in model.named_modules() if name.startswith("blocks.0.audio_attn.attn.")]
    assert {"to_q", "to_k", "to_v", "to_out.0"} <= {name.removeprefix("blocks.0.audio_attn.attn.") for name in names}
    assert len(model.attn_processors) == 3 * len(model.blocks)
    model.set_attn_processor(WanAttnProcessor())


def test_fused_projections_change_nothing() -> None:
    model, given = tiny.transformer(), inputs()
    before = model(**given).sample
    model.fuse_qkv_projections()
    torch.testing.assert_close(model(**given).sample, before)


@torch.no_grad()
def test_first_block_cache_accepts_the_block() -> None:
    model, given = tiny.transformer(num_layers=3), inputs()
    before = model(**given).sample
    model.enable_cache(FirstBlockCacheConfig(threshold=1e-9))
    for _ in range(2):
        with model.cache_context("TIA/0"):
            torch.testing.assert_close(model(**given).sample, before)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("hidden_states", (2, 9, 3, 4, 6), r"hidden_states must be \(2, 8, frames"),
        ("hidden_states", (2, 8, 3, 5, 6), "multiple of the patch size"),
        ("hidden_states", (2, 8, 1025, 4, 4), "1025 frames but at most 1024"),
        ("timestep", (3,), r"timestep must be \(2\)"),
        ("encoder_hidden_states", (2, 5, 3), r"encoder_hidden_states must be \(2, tokens, 16\)"),
        ("audio_hidden_states", (2, 3, 7, 5, 8), r"audio_hidden_states must be \(2, frames, 8, 5, 8\)"),
        ("audio_hidden_states", (2, 2, 8, 5, 8), "append one zero frame per reference"),
    ],
)
def test_wrong_shapes_are_refused(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.transformer()(**{**inputs(), name: torch.zeros(shape)})


def test_patches_in_time_are_refused() -> None:
    with pytest.raises(ValueError, match="frame by frame"):
        tiny.transformer(patch_size=(2, 2, 2))
