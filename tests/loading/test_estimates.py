"""What a video is expected to take, before anything is loaded: the figures agree with what is counted.

Run: python -m pytest tests/loading/test_estimates.py
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny
import torch
import weight_files
from diffusers import AutoencoderKLWan
from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter
from live_tensors import peak_tensor_bytes
from project import ROOT
from transformers import UMT5Config, UMT5EncoderModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from humo.benchmarks.instruments import count_flops
from humo.benchmarks.wan import wan_of
from humo.checkpoints import load_transformer_file
from humo.loading import estimates, memory
from humo.loading.estimate_table import estimate_table
from humo.loading.estimates import Call, estimate
from humo.loading.file_table import BITS, MEMORY, file_table
from humo.loading.memory import estimate_run
from humo.loading.memory_presets import PRESETS, Plan
from humo.loading.published.presets import ENCODERS
from humo.pipeline import HuMoPipeline
from humo.sampling import StepState
from humo.training.transformer.model import add_detail_head

SIZES = (480, 832, 97)


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
    wan = wan_of(model)
    without = count_flops(lambda: wan(*inputs[:3]))
    assert estimates.sound_flops(config, frames, tokens) == counted - without


def test_operations_of_the_detail_head_are_those_that_pytorch_counts():
    plain = tiny.transformer(latent_std=tiny.LATENT_STD, estimate_gate=True)
    grown = add_detail_head(plain, 2)
    frames, height, width = 3, 8, 6
    inputs = (
        torch.randn(1, grown.config.in_channels, frames, height, width),
        torch.full((1,), 500.0),
        torch.randn(1, 12, grown.config.text_dim),
        torch.randn(1, frames, grown.config.audio_window, grown.config.audio_bands, grown.config.audio_channels),
    )
    added = count_flops(lambda: grown(*inputs)) - count_flops(lambda: plain(*inputs))
    assert estimates.detail_flops(grown.config, frames * height * width // 4) == added > 0
    assert estimates.detail_flops(plain.config, 36) == 0


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
    assert estimates.count_parameters(codec) == ENCODERS["vae"]


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
    assert estimates.count_parameters(text) == ENCODERS["text_encoder"]
    assert estimates.count_parameters(text.get_input_embeddings()) == estimates.TEXT_EMBEDDING_PARAMETERS
    assert estimates.count_parameters(audio) == ENCODERS["audio_encoder"]


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
    assert sizes.guidance["rule"] == "published_17b" and sizes.size_multiple == 16
    assert sizes.blocks < sizes.transformer
    monkeypatch.setattr(memory, "SMALL", 0)
    assert "9 frames of 48x32 in 2 steps of 3 passes" in estimate_run(wan_pipeline, 32, 48, 9, 2)


@pytest.mark.parametrize(
    ("model", "inputs", "passes"),
    [
        ("17B", {}, 3),
        ("17B", {"num_images": 3}, 3),
        ("17B", {"has_audio": False}, 2),
        ("17B", {"num_images": 0}, 3),
        ("17B", {"num_images": 0, "has_audio": False}, 2),
        ("17B", {"guidance": {"rule": "paper"}}, 4),
        ("17B", {"guidance": {"rule": "constant", "text": 1.0, "image": 1.0, "audio": 3.0}}, 2),
        ("1.7B", {}, 3),  # its scales of text and sound are equal, so the branch of text alone has no weight
        ("1.7B", {"guidance": {}}, 3),
        ("1.7B", {"guidance": {"rule": "published_1_7b", "text": 5.0}}, 4),
        ("1.7B", {"num_images": 0}, 2),
        ("1.7B", {"num_images": 0, "has_audio": False}, 2),
    ],
)
def test_passes_are_those_of_the_mode_and_the_rule(model: str, inputs: dict, passes: int):
    assert f"in 50 steps of {passes} passes:" in estimate_run(model, *SIZES, 50, **inputs)


def test_passes_are_those_that_the_pipeline_makes(wan_pipeline: HuMoPipeline):
    passes: list[int] = []
    picture, voice = tiny.picture(), tiny.voice(0.36)
    for image, audio in ((None, None), (picture, None), (None, voice), (picture, voice)):
        states: list[StepState] = []
        wan_pipeline("a woman", image=image, audio=audio, seed=1, on_step=states.append)
        passes.append(len(states[-1].weights))
    own = estimates.sizes_of_pipeline(wan_pipeline).guidance
    modes = [(False, False), (True, False), (False, True), (True, True)]
    assert passes == [estimates.count_branches(own, *mode) for mode in modes]


def test_every_picture_is_a_latent_frame_more():
    sizes = estimates.sizes_of_preset("17B")
    none, one, three = (estimate(sizes, *SIZES, Plan(), Call(num_images=count)) for count in (0, 1, 3))
    frame = 30 * 52
    assert none.tokens == one.tokens == 26 * frame and three.tokens == 28 * frame
    assert three.flops > one.flops and three.activations > one.activations


def test_processes_share_the_passes_and_nothing_else():
    sizes, plan = estimates.sizes_of_preset("17B"), PRESETS["24GB"]["17B"]
    one, four = (estimate(sizes, *SIZES, plan, Call(num_processes=count)) for count in (1, 4))
    assert four.seconds(50) == pytest.approx(one.seconds(50) / 4)
    assert four.activations == pytest.approx(one.activations / 4, rel=1e-4)
    assert (four.weights, four.encode, four.decode, four.host) == (one.weights, one.encode, one.decode, 4 * one.host)
    told = estimate_run("17B", *SIZES, 50, num_processes=4)
    assert "shared by 4 GPUs: up to" in told and "GB on each (" in told and told.endswith("TFLOP/s each.")


def test_plans_with_blocks_in_turn_keep_nothing_of_text_and_sound():
    sizes = estimates.sizes_of_preset("17B")
    whole, turns, blocks = (estimate(sizes, *SIZES, PRESETS[memory]["17B"]) for memory in ("80GB", "48GB", "24GB"))
    assert whole.kept == turns.kept == (2 * 512 + 2 * 26 * 16) * 2 * 2 * 40 * 5120 and blocks.kept == 0
    assert whole.denoise == whole.weights + whole.activations + whole.kept + estimates.RESERVE


def test_table_has_a_line_for_each_preset_and_model():
    lines = estimate_table(200.0).splitlines()
    assert len(lines) == 2 + sum(map(len, PRESETS.values())) + 2
    assert len({line.count("|") for line in lines[:-2]}) == 1
    assert "at 200 TFLOP/s" in lines[-1]


def test_a_quantised_pipeline_is_counted_as_it_is_stored(tmp_path: Path):
    pipe = tiny.pipeline("17B")
    model = weight_files.transformer()
    tensors = weight_files.published_state_dict(model)
    weight_files.write_gguf(tmp_path / "model.gguf", tensors, weight_files.mixed("Q4_0"))
    pipe.register_modules(transformer=load_transformer_file(tmp_path / "model.gguf", dtype=torch.bfloat16))
    sizes = estimates.sizes_of_pipeline(pipe)
    assert sizes.transformer == estimates.count_parameters(model) and sizes.text_bytes == 2
    stored = sum(parameter.nbytes for parameter in pipe.transformer.blocks.parameters())
    assert sizes.block_bytes * sizes.blocks == pytest.approx(stored) and 4.5 / 8 < sizes.block_bytes < 0.7


@pytest.mark.parametrize(("kind", "most"), [("Q8_0", 4), ("Q4_K", 10), ("Q5_0", 10), ("Q3_K", 10)])
def test_widening_takes_what_is_counted(kind: str, most: int):
    values = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    layer = GGUFLinear(512, 512, compute_dtype=torch.bfloat16)
    data = torch.from_numpy(weight_files.in_blocks(values, kind).copy())
    layer.weight = GGUFParameter(data, quant_type=gguf.GGMLQuantizationType[kind])
    with torch.no_grad():
        alive = peak_tensor_bytes(lambda: layer(torch.zeros(1, 512, dtype=torch.bfloat16)))
    assert most / 2 <= alive / values.size < most + 0.1, "beside inputs and outputs"
    assert most in estimates.WIDENING_BYTES


def test_the_readme_has_the_table_of_files():
    table = file_table()
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:-2]]
    assert len(rows) == 2 * len(BITS) and all(len(row) == 3 + len(MEMORY) for row in rows)
    assert {row[3] for row in rows if row[:2] == ["17B", "bf16"]} == {"–"}
