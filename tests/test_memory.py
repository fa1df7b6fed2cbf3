"""One GPU of any size: diffusers' mechanisms give the same video, and the estimates agree with what is counted.

The mechanisms run on the CPU here, from the CPU to the CPU: that shows that our classes work under them, not what they
save. Run: python -m pytest tests/test_memory.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKLWan
from transformers import UMT5Config, UMT5EncoderModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from humo import estimates, memory
from humo.benchmarks.instruments import count_flops, peak_tensor_bytes
from humo.guidance import constant
from humo.memory import PRESETS, Plan, apply_plan, estimate, estimate_run, plan_for
from humo.pipeline import HuMoPipeline
from humo.prompts import PromptCache, fingerprint, release_text_encoder

REQUEST = {"prompt": "a woman talks", "seed": 3, "num_inference_steps": 2}
SIZES = (480, 832, 97)


def make_video(pipe: HuMoPipeline) -> np.ndarray:
    """Frames from text, picture and sound, float32."""
    return pipe(**REQUEST, image=tiny.picture(), audio=tiny.voice(0.36)).frames.astype(np.float32)


@pytest.fixture(scope="module", params=["mini", "17B"])
def plain(request: pytest.FixtureRequest) -> tuple[str, np.ndarray]:
    """Form and its frames without any mechanism."""
    return request.param, make_video(tiny.pipeline(request.param))


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the features of prompts."""
    monkeypatch.setattr(PromptCache.__init__, "__defaults__", (tmp_path / "prompts", 8))
    return tmp_path / "prompts"


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(model_offload=True, cache_prompts=True),
        Plan(offload_encoders=True),
        Plan(offload_encoders=True, offload_blocks=True, cache_prompts=True),
    ],
    ids=lambda plan: plan.describe(),
)
def test_exact_mechanisms_change_nothing(plain: tuple[str, np.ndarray], plan: Plan):
    form, expected = plain
    pipe = apply_plan(tiny.pipeline(form), "cpu", plan)
    assert np.array_equal(make_video(pipe), expected)
    assert np.array_equal(make_video(pipe), expected), "the second video, with prompts from the cache and hooks used"


def test_layerwise_casting_rests_in_a_byte_and_stays_close(plain: tuple[str, np.ndarray]):
    form, expected = plain
    pipe = apply_plan(tiny.pipeline(form), "cpu", Plan(layerwise_casting=True, offload_blocks=True))
    frames = make_video(pipe)
    block = pipe.transformer.blocks[0]
    assert block.attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert block.norm2.weight.dtype == block.scale_shift_table.dtype == torch.float32
    assert pipe.transformer.dtype == torch.float32
    assert 0 < np.abs(frames - expected).mean() < 8, "of 255 levels; the weights keep 3 bits of mantissa"


def test_tiled_codec_stays_close():
    whole, tiled = tiny.wan_vae(), tiny.wan_vae()
    tiled.load_state_dict(whole.state_dict())
    pipe = tiny.pipeline("17B")
    pipe.register_modules(vae=tiled)
    apply_plan(pipe, "cpu", Plan(tile_vae=True))
    assert tiled.use_tiling and tiled.use_slicing
    tiled.enable_tiling(64, 64, 48, 48)
    latents = torch.randn(2, 4, 2, 12, 12)
    with torch.no_grad():
        expected, got = whole.decode(latents).sample, tiled.decode(latents).sample
    assert expected.shape == got.shape
    assert 0 < (expected - got).abs().mean() < 0.2 * expected.std()


def test_model_offload_follows_the_order_of_use(mini_pipeline: HuMoPipeline):
    order: list[str] = []
    stages = mini_pipeline.model_cpu_offload_seq.split("->")
    hooks = [
        getattr(mini_pipeline, name).register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name in stages
    ]
    make_video(mini_pipeline)
    for hook in hooks:
        hook.remove()
    first_uses = list(dict.fromkeys(order))
    # Each component sends away the one before it in the sequence, so the transformer would run beside a text encoder
    # that had come between them.
    assert first_uses == [name for name in stages if name in first_uses]
    assert first_uses[:3] == ["audio_encoder", "text_encoder", "transformer"]


def test_attention_backends_agree(mini_pipeline: HuMoPipeline):
    expected = make_video(mini_pipeline)
    mini_pipeline.transformer.set_attention_backend("_native_math")
    got = make_video(mini_pipeline)
    mini_pipeline.transformer.set_attention_backend("native")
    assert np.abs(got - expected).max() <= 1


def test_plan_refuses_what_excludes_each_other():
    with pytest.raises(ValueError, match="leave offload_encoders"):
        Plan(model_offload=True, offload_encoders=True)


# --- LoRA

RANK = 2
WAN_NAMES = {"attn1.to_q": "self_attn.q", "attn1.to_out.0": "self_attn.o", "attn2.to_v": "cross_attn.v"}
"""Ours and Wan's own, as LoRAs for Wan are published."""


def make_lora(pipe: HuMoPipeline, wan_names: bool, modules: tuple[str, ...] = tuple(WAN_NAMES)) -> dict:
    """A random LoRA of the given layers of every block, in diffusers' or Wan's own key names."""
    generator, lora = torch.Generator().manual_seed(1), {}
    for index, block in enumerate(pipe.transformer.blocks):
        for name in modules:
            rows, columns = block.get_submodule(name).weight.shape
            down = torch.randn(RANK, columns, generator=generator) / columns**0.5
            up = torch.randn(rows, RANK, generator=generator)
            parts = {"lora_A": down, "lora_B": up}
            given = WAN_NAMES[name] if wan_names else name
            prefix = "diffusion_model" if wan_names else "transformer"
            lora |= {f"{prefix}.blocks.{index}.{given}.{part}.weight": value for part, value in parts.items()}
    return lora


@pytest.mark.parametrize("plan", [Plan(), Plan(offload_blocks=True)], ids=lambda plan: plan.describe())
def test_lora_is_added_and_taken_away_again(plan: Plan):
    # Under model_offload too, but diffusers then looks for a GPU by itself and accepts no CPU.
    pipe = apply_plan(tiny.pipeline("17B"), "cpu", plan)
    before = make_video(pipe)
    pipe.load_lora_weights(make_lora(pipe, wan_names=True))
    assert np.abs(make_video(pipe) - before).mean() > 0.1
    pipe.unload_lora_weights()
    assert np.array_equal(make_video(pipe), before)


@pytest.mark.parametrize("moves", [False, True])
def test_lora_comes_before_layerwise_casting(moves: bool):
    expected = tiny.pipeline("17B")
    expected.load_lora_weights(make_lora(expected, wan_names=True))
    pipe = tiny.pipeline("17B")
    plain_video = make_video(pipe)
    pipe.load_lora_weights(make_lora(pipe, wan_names=True))
    apply_plan(pipe, "cpu", Plan(layerwise_casting=True, offload_blocks=moves))
    query = pipe.transformer.blocks[0].attn1.to_q
    assert query.base_layer.weight.dtype == torch.float8_e4m3fn
    assert query.lora_A["default_0"].weight.dtype == torch.float32, "the small weights stay exact"
    wanted, got = make_video(expected), make_video(pipe)
    assert np.abs(got - wanted).mean() < np.abs(wanted - plain_video).mean() / 2


def test_lora_in_both_names_is_the_same_weights():
    ours, wans, merged = (tiny.pipeline("17B") for _ in range(3))
    lora = make_lora(ours, wan_names=False)
    ours.load_lora_weights(lora)
    wans.load_lora_weights(make_lora(wans, wan_names=True))
    for index, block in enumerate(merged.transformer.blocks):
        for name in WAN_NAMES:
            down, up = (lora[f"transformer.blocks.{index}.{name}.lora_{part}.weight"] for part in "AB")
            block.get_submodule(name).weight.data += up @ down
    expected = make_video(merged)
    assert np.abs(make_video(ours) - expected).max() <= 1
    assert np.abs(make_video(wans) - expected).max() <= 1


def test_few_step_lora_keeps_audio_guidance():
    pipe = tiny.pipeline("mini")
    names = ("attn1.to_q", "audio_attn.attn.to_v")
    pipe.load_lora_weights(make_lora(pipe, wan_names=False, modules=names))
    assert hasattr(pipe.transformer.blocks[0].audio_attn.attn.to_v, "lora_A")
    common = {"prompt": "a woman talks", "seed": 1, "num_inference_steps": 1, "audio": tiny.voice(0.36)}
    weights = []
    videos = [
        pipe(**common, guidance=constant(text=1.0, image=1.0, audio=audio), on_step=lambda s: weights.append(s.weights))
        for audio in (1.0, 6.0)
    ]
    assert [len(each) for each in weights] == [1, 2], "text alone asks for no branch, sound for one more"
    assert not np.array_equal(videos[0].frames, videos[1].frames)


# --- presets


def test_presets_are_chosen_by_memory_and_model():
    assert list(PRESETS) == ["8GB", "12GB", "16GB", "24GB", "48GB", "80GB"]
    assert plan_for("24GB", 17 * 10**9).offload_blocks
    assert plan_for("24GB", 17 * 10**8).model_offload
    assert plan_for("8GB", 10**7) == plan_for(None, 17 * 10**9) == Plan(), "mini needs nothing"
    with pytest.raises(ValueError, match="no memory preset '10GB': give 8GB"):
        plan_for("10GB", 17 * 10**9)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", ["1.7B", "17B"])
def test_presets_fit_by_the_estimates(preset: str, model: str):
    sizes = estimates.sizes_of_preset(model)
    figures = estimate(sizes, *SIZES, PRESETS[preset][model])
    assert figures.peak <= int(preset.removesuffix("GB")) * 10**9
    whole = estimate(sizes, *SIZES, Plan())
    assert figures.peak <= whole.peak and figures.flops == whole.flops


def test_place_keeps_a_small_model_whole(mini_pipeline: HuMoPipeline):
    assert memory.place(mini_pipeline, "cpu", "8GB") is mini_pipeline
    assert mini_pipeline.device.type == "cpu" and mini_pipeline.prompt_cache is None


def test_place_refuses_in_a_sentence(mini_pipeline: HuMoPipeline, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="no memory preset '9GB'"):
        memory.place(mini_pipeline, "cpu", "9GB")
    monkeypatch.setattr(memory, "SMALL", 0)  # so that the tiny one counts as the 1.7B
    with pytest.raises(ValueError, match="memory='8GB' is about a GPU but the device is the CPU"):
        memory.place(mini_pipeline, "cpu", "8GB")
    with pytest.raises(ValueError, match="more than this GPU's 16 GB: give a smaller preset"):
        memory._check_room(mini_pipeline, 16 * 10**9, "24GB")
    with pytest.raises(ValueError, match="give memory= one of 8GB"):
        memory._check_room(mini_pipeline, 1000, None)
    memory._check_room(mini_pipeline, int(23.6e9), "24GB")


# --- prompts on disk


def test_prompt_is_encoded_once(mini_pipeline: HuMoPipeline, cache_folder: Path):
    cache, calls = PromptCache("a"), []

    def encode() -> torch.Tensor:
        calls.append(1)
        return mini_pipeline.encode_prompt("a woman talks")

    with torch.no_grad():
        first = cache.features("a woman talks", 12, encode)
        again = cache.features("a woman talks", 12, encode)
        assert len(calls) == 1 and torch.equal(first, again)
        PromptCache("b").features("a woman talks", 12, encode)
        cache.features("a man talks", 12, encode)
        assert len(calls) == 3, "another encoder, another text"
    assert len(list(cache_folder.iterdir())) == 3, "and nothing else is left"


def test_cache_is_bounded_and_survives_damage(cache_folder: Path):
    cache = PromptCache("a", max_files=2)
    features = {text: torch.full((1, 4, 3), float(index + 1)) for index, text in enumerate("abc")}
    for text in "abac":  # b is the one longest unused when c comes
        cache.features(text, 4, lambda text=text: features[text])
    assert [cache.path(text, 4).exists() for text in "abc"] == [True, False, True]
    cache.path("a", 4).write_bytes(b"damaged")
    assert torch.equal(cache.features("a", 4, lambda: features["a"]), features["a"])
    assert torch.equal(cache.features("a", 4, lambda: pytest.fail("not encoded again")), features["a"])
    with pytest.raises(ValueError, match="max_files"):
        PromptCache("a", max_files=0)


def test_empty_text_keeps_its_zeros(cache_folder: Path):
    zeros = torch.zeros(1, 4, 3)
    PromptCache("a").features("", 4, lambda: zeros)
    assert torch.equal(PromptCache("a").features("", 4, lambda: pytest.fail("not encoded again")), zeros)


def test_fingerprint_tells_encoders_apart():
    first, second = tiny.text_encoder(), tiny.text_encoder()
    assert fingerprint(first) != fingerprint(second), "other weights"
    second.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(second.to(torch.bfloat16))


def test_text_encoder_can_leave_memory():
    expected = make_video(tiny.pipeline("mini"))
    pipe = tiny.pipeline("mini")
    with pytest.raises(ValueError, match="no prompt cache"):
        release_text_encoder(pipe, ["a woman talks"])
    apply_plan(pipe, "cpu", Plan(cache_prompts=True))
    release_text_encoder(pipe, ["a woman talks"])
    assert pipe.text_encoder is None
    assert np.array_equal(make_video(pipe), expected)
    with pytest.raises(ValueError, match="text encoder was released"):
        pipe(prompt="a man nods")


# --- estimates


@pytest.mark.parametrize(
    "changes", [{}, {"in_channels": 20}, {"num_layers": 3, "ffn_dim": 96, "audio_dim": 48, "freq_dim": 32}]
)
def test_operations_are_those_that_pytorch_counts(changes: dict):
    model = tiny.transformer(**changes)
    frames, height, width, text = 3, 8, 6, 12
    config = model.config
    inputs = (
        torch.randn(1, config.in_channels, frames, height, width),
        torch.full((1,), 500.0),
        torch.randn(1, text, config.text_dim),
        torch.randn(1, frames, config.audio_window, config.audio_bands, config.audio_channels),
    )
    tokens = frames * height * width // 4
    counted = count_flops(lambda: model(*inputs))
    assert estimates.pass_flops(config, frames, tokens, text) == counted


@pytest.mark.parametrize("ffn_dim", [256, 1024])
def test_activations_are_about_what_is_alive(ffn_dim: int):
    model = tiny.transformer(num_attention_heads=2, attention_head_dim=64, ffn_dim=ffn_dim).to(torch.bfloat16)
    frames, side = 3, 24
    inputs = (
        torch.zeros(1, 8, frames, side, side, dtype=torch.bfloat16),
        torch.zeros(1),
        torch.zeros(1, 4, tiny.TEXT_DIM, dtype=torch.bfloat16),
        torch.zeros(1, frames, 8, 5, tiny.AUDIO_CHANNELS, dtype=torch.bfloat16),
    )
    with torch.no_grad():
        alive = peak_tensor_bytes(lambda: model(*inputs))
    assert estimates.pass_bytes(model.config, frames * side * side // 4) == pytest.approx(alive, rel=0.12)


def test_codec_needs_what_is_alive():
    height, width, frames = 64, 96, 9
    with torch.device("meta"), torch.no_grad():
        codec = AutoencoderKLWan()
        latents, pixels = torch.empty(1, 16, 3, height // 8, width // 8), torch.empty(1, 3, frames, height, width)
        decode = peak_tensor_bytes(lambda: codec.decode(latents))
        encode = peak_tensor_bytes(lambda: codec.encode(pixels))
    expected = estimates._codec_bytes(height, width, frames, tiled=False)
    assert expected == pytest.approx((encode, decode), rel=0.1)
    assert estimates.count_parameters(codec) == estimates.VAE_PARAMETERS


def test_sizes_of_the_published_encoders_are_right():
    with torch.device("meta"):
        text = UMT5EncoderModel(
            UMT5Config(vocab_size=256_384, d_model=4096, d_kv=64, d_ff=10_240, num_layers=24, num_heads=64)
        )
        audio = WhisperEncoder(
            WhisperConfig(
                d_model=1280, encoder_layers=32, encoder_attention_heads=20, encoder_ffn_dim=5120, num_mel_bins=128
            )
        )
    assert estimates.count_parameters(text) == estimates.TEXT_PARAMETERS
    assert estimates.count_parameters(text.get_input_embeddings()) == estimates.TEXT_EMBEDDING_PARAMETERS
    assert estimates.count_parameters(audio) == estimates.AUDIO_PARAMETERS


def test_run_is_estimated_before_it_starts(mini_pipeline: HuMoPipeline):
    assert estimate_run("mini", 128, 128, 49, 16) is None
    assert estimate_run(mini_pipeline, 64, 64, 9, 2) is None
    sentence = estimate_run("17B", *SIZES, 50, memory="24GB")
    assert "50 steps of 3 passes" in sentence and "blocks in turn" in sentence and "an assumed 100 TFLOP/s" in sentence
    assert "at 400 TFLOP/s" in estimate_run("1.7B", *SIZES, 50, tflops=400.0)
    with pytest.raises(ValueError, match="no sizes for '3B'"):
        estimate_run("3B", *SIZES, 50)


def test_pipeline_is_estimated_by_its_own_sizes(wan_pipeline: HuMoPipeline, monkeypatch: pytest.MonkeyPatch):
    sizes = estimates.sizes_of_pipeline(wan_pipeline)
    assert sizes.branches == 3 and sizes.size_multiple == 16
    assert sizes.blocks < sizes.transformer
    monkeypatch.setattr(memory, "SMALL", 0)
    assert "9 frames of 48x32 in 2 steps of 3 passes" in estimate_run(wan_pipeline, 32, 48, 9, 2)


def test_table_has_a_line_for_each_preset_and_model():
    lines = memory.estimate_table(200.0).splitlines()
    assert len(lines) == 2 + 2 * len(PRESETS) + 2
    assert len({line.count("|") for line in lines[:-2]}) == 1
    assert "at 200 TFLOP/s" in lines[-1]
