"""One GPU of any size: diffusers' mechanisms give the same video, and the presets fit by the estimates.

The mechanisms run on the CPU here, from the CPU to the CPU: that shows that our classes work under them, not what they
save. Run: python -m pytest tests/loading/test_memory.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tiny
import torch
from peft import LoraConfig

import humo
from humo.guidance import constant
from humo.loading import estimates, memory
from humo.loading.memory import PRESETS, Plan, apply_plan, estimate, plan_for, plan_of
from humo.loading.memory_presets import QUANTISED
from humo.pipeline import HuMoPipeline
from humo.requests.prompt_cache import PromptCache
from humo.sampling import StepState

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


def watch_moves(pipe: HuMoPipeline, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where each component of a pipeline was last sent, kept up to date.

    On the CPU both places are the CPU, but diffusers calls the one to compute on "cpu:0" and the one to rest on "cpu".
    """
    names = {id(component): name for name, component in pipe.components.items()}
    places: dict[str, str] = {}
    move = torch.nn.Module.to

    def to(module: torch.nn.Module, *args: object, **keywords: object) -> torch.nn.Module:
        for place in (*args, *keywords.values()):
            if id(module) in names and str(place).startswith("cpu"):
                places[names[id(module)]] = str(place)
        return move(module, *args, **keywords)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    return places


def test_model_offload_denoises_with_the_transformer_alone(monkeypatch: pytest.MonkeyPatch):
    pipe = apply_plan(tiny.pipeline("mini"), "cpu", Plan(model_offload=True, cache_prompts=True))
    places, seen = watch_moves(pipe, monkeypatch), []
    pipe.transformer.register_forward_hook(lambda *_: seen.append(dict(places)))
    for _ in range(2):  # the second time the prompts come from the cache, and no text encoder runs
        seen.clear()
        make_video(pipe)
        assert {name for name, place in seen[0].items() if place == "cpu:0"} == {"transformer"}
        assert set(places.values()) == {"cpu"}, "at the end nothing is left"


@pytest.mark.parametrize("error", [humo.StopGeneration, ValueError])
def test_model_offload_is_undone_when_a_call_ends_early(error: type[Exception], monkeypatch: pytest.MonkeyPatch):
    def stop(state: StepState) -> None:
        assert places["transformer"] == "cpu:0"
        raise error

    pipe = apply_plan(tiny.pipeline("mini"), "cpu", Plan(model_offload=True))
    places = watch_moves(pipe, monkeypatch)
    with pytest.raises(error):
        pipe(**REQUEST, audio=tiny.voice(0.36), on_step=stop)
    assert set(places.values()) == {"cpu"}


def test_attention_backends_agree(mini_pipeline: HuMoPipeline):
    expected = make_video(mini_pipeline)
    mini_pipeline.transformer.set_attention_backend("_native_math")
    got = make_video(mini_pipeline)
    mini_pipeline.transformer.set_attention_backend("native")
    assert np.abs(got - expected).max() <= 1


def test_weights_are_pinned_where_the_host_has_the_room(monkeypatch: pytest.MonkeyPatch):
    layer = torch.nn.Linear(24, 20, dtype=torch.bfloat16)  # 960 and 40 bytes
    pinned = 1024 + 64
    assert memory.has_room_to_pin(layer, 2 * pinned) and not memory.has_room_to_pin(layer, 2 * pinned - 1)
    assert memory.has_room_to_pin(layer, 8 * pinned, 4) and not memory.has_room_to_pin(layer, 8 * pinned - 1, 4)
    for available, saves in ((10**9, False), (1000, True)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda available=available: SimpleNamespace(available=available))
        pipe = apply_plan(tiny.pipeline("17B"), "cpu", Plan(offload_blocks=True))
        hook = pipe.transformer.blocks[0]._diffusers_hook.get_hook("group_offloading")
        assert hook.config.low_cpu_mem_usage is saves


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


@pytest.mark.parametrize("weight", [0.5, [0.5], {"transformer": 0.5}])
def test_an_adapter_of_the_transformers_own_is_switched_too(weight: object):
    pipe = tiny.pipeline("mini")
    pipe.transformer.add_adapter(LoraConfig(target_modules=["to_q"]), "own")
    pipe.set_adapters("own", weight)
    assert pipe.active_loras() == [{"name": "own", "weight": 0.5}]


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
    assert list(PRESETS) == ["6GB", "8GB", "10GB", "12GB", "16GB", "24GB", "48GB", "80GB"]
    assert plan_for("24GB", 17 * 10**9).offload_blocks
    assert plan_for("24GB", 17 * 10**8).model_offload
    assert plan_for("8GB", 10**7) == plan_for(None, 17 * 10**9) == Plan(), "mini needs nothing"
    with pytest.raises(ValueError, match="no memory preset '9GB': give 6GB, 8GB"):
        plan_for("9GB", 17 * 10**9)
    with pytest.raises(ValueError, match="memory='6GB' is too little for the 17B in 16 bits: give a quantised file"):
        plan_for("6GB", 17 * 10**9)


@pytest.mark.parametrize(("preset", "model"), [(preset, model) for preset in PRESETS for model in PRESETS[preset]])
def test_presets_fit_by_the_estimates(preset: str, model: str):
    sizes = estimates.sizes_of_preset(model)
    figures = estimate(sizes, *SIZES, PRESETS[preset][model])
    assert figures.peak <= int(preset.removesuffix("GB")) * 10**9
    whole = estimate(sizes, *SIZES, Plan())
    assert figures.peak <= whole.peak and figures.flops == whole.flops
    assert plan_of(preset, sizes) == PRESETS[preset][model]


@pytest.mark.parametrize("bits", [8, 4.5, 3.4375])
@pytest.mark.parametrize("model", ["1.7B", "17B"])
def test_a_quantised_model_gets_the_cheapest_plan_that_fits(model: str, bits: float):
    wide = estimates.sizes_of_preset(model)
    narrow = replace(wide, block_bytes=bits / 8)
    for preset in PRESETS:
        plan, room = plan_of(preset, narrow), int(preset.removesuffix("GB")) * 10**9
        assert not plan.layerwise_casting, "it rests in few bits already"
        fitting = [each for each in QUANTISED if estimate(narrow, *SIZES, each).peak <= room]
        assert plan == (fitting[0] if fitting else QUANTISED[-1])
    saved = estimate(wide, *SIZES, Plan()).weights - estimate(narrow, *SIZES, Plan()).weights
    assert saved == pytest.approx((2 - bits / 8) * wide.blocks)
    assert plan_of("48GB", narrow) == Plan() and plan_of(None, narrow) == Plan()


def test_place_keeps_a_small_model_whole(mini_pipeline: HuMoPipeline):
    assert memory.place(mini_pipeline, "cpu", "8GB") is mini_pipeline
    assert mini_pipeline.device.type == "cpu" and mini_pipeline.prompt_cache is None


def test_place_refuses_in_a_sentence(mini_pipeline: HuMoPipeline, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="no memory preset '9GB'"):
        memory.place(mini_pipeline, "cpu", "9GB")
    monkeypatch.setattr(memory, "SMALL", 0)  # so that the tiny one counts as the 1.7B
    with pytest.raises(ValueError, match="memory='8GB' is about a GPU but the device is the CPU"):
        memory.place(mini_pipeline, "cpu", "8GB")
    gpu = torch.device("cuda")
    with pytest.raises(ValueError, match="more than this GPU's 16 GB: give a smaller preset"):
        memory.check_memory_preset("24GB", gpu, 10**9, total=16 * 10**9)
    memory.check_memory_preset("24GB", gpu, 10**9, total=int(23.6e9))
    sizes = replace(estimates.sizes_of_pipeline(mini_pipeline), transformer=10**9)
    with pytest.raises(ValueError, match="The weights take 0 GB but this GPU has 0 GB: a GPU of 6GB or more is needed"):
        memory._check_room(mini_pipeline, sizes, 1000)


@pytest.mark.parametrize(("total", "told"), [(25.3e9, "24GB"), (34e9, None)])
def test_a_model_that_fits_where_a_video_would_not_is_told(
    total: float, told: str | None, caplog: pytest.LogCaptureFixture
):
    pipe, sizes = tiny.pipeline("17B"), estimates.sizes_of_preset("1.7B")  # light, but counted as the published one
    pipe.register_to_config(default_height=480, default_width=832, default_num_frames=97)
    memory._check_room(pipe, sizes, int(total))
    expected = f"{estimate(sizes, *SIZES, Plan()).peak / 1e9:.1f} GB"
    found = [record.getMessage() for record in caplog.records if record.name == memory.__name__]
    if told is None:
        assert not found
    else:
        (sentence,) = found
        assert f"97 frames of 832x480 are expected to take up to {expected} but this GPU has 25.3 GB" in sentence
        assert sentence.endswith(f'give memory="{told}".')


def test_the_remedy_is_a_preset_for_this_gpu_and_this_model():
    small, large = (estimates.sizes_of_preset(model) for model in ("1.7B", "17B"))
    remedies = [memory._remedy(sizes, int(total)) for sizes in (small, large) for total in (6.2e9, 16.9e9)]
    least = "a GPU of 8GB or more is needed"
    assert remedies == ['give memory="6GB"', 'give memory="16GB"', least, 'give memory="16GB"']
