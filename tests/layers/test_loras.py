"""LoRAs of every naming: the loaded effect equals W + scale * up @ down and b + diff_b by hand; the rest is told.

Run: python -m pytest tests/layers/test_loras.py
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import layout
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import humo
from humo.layers.loras import read_lora
from humo.layers.published_names import our_name
from humo.loading.memory import apply_plan
from humo.loading.memory_presets import PRESETS, Plan
from humo.pipeline import HuMoPipeline
from humo.transformer import HuMoTransformer3DModel

RANK, ALPHA = 3, 1.5
OURS = {our_name(key): key for key in layout.published_state_dict("17B")}
"""Published key by ours."""
Change = dict[str, tuple[Tensor, Tensor, float, Tensor | None]]
"""Down, up, scale and bias by the name of a layer."""


def make_pipe() -> HuMoPipeline:
    """A tiny pipeline like the 17B, always the same."""
    return tiny.pipeline("17B")


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv3d)}


def velocity(model: HuMoTransformer3DModel) -> Tensor:
    """What the network says of some inputs."""
    dice = torch.Generator().manual_seed(3)
    config = model.config

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=dice).to(model.dtype)

    audio = draw(1, 3, config.audio_window, config.audio_bands, config.audio_channels)
    with torch.no_grad():
        given = draw(1, config.in_channels, 3, 4, 4), torch.tensor([500.0]), draw(1, 5, config.text_dim), audio
        return model(*given).sample


def draw_change(names: list[str], biases: tuple[str, ...] = (), scale: float = 1.0) -> Change:
    """A random change of some layers; the ranks differ."""
    layers, dice, change = layers_of(make_pipe().transformer), torch.Generator().manual_seed(1), {}
    for number, name in enumerate(names):
        rows, columns = layers[name].weight.flatten(1).shape
        rank = RANK + number % 2
        down = torch.randn(rank, columns, generator=dice) / columns**0.5
        up = 0.3 * torch.randn(rows, rank, generator=dice)
        bias = 0.3 * torch.randn(rows, generator=dice) if name in biases else None
        change[name] = down, up, scale, bias
    return change


def by_hand(change: Change) -> Tensor:
    """The velocity with every change added to the weights themselves."""
    model = make_pipe().transformer
    layers = layers_of(model)
    with torch.no_grad():
        for name, (down, up, scale, bias) in change.items():
            layers[name].weight += (scale * up @ down).view_as(layers[name].weight)
            if bias is not None:
                layers[name].bias += bias
    return velocity(model)


def loaded(lora: dict[str, Tensor] | Path) -> Tensor:
    """The velocity with a LoRA loaded; nothing is left on the meta device."""
    pipe = make_pipe()
    pipe.load_lora_weights(lora)
    assert not any(parameter.is_meta for parameter in pipe.transformer.parameters())
    return velocity(pipe.transformer)


def check_same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)
    assert (velocity(make_pipe().transformer) - expected).abs().mean() > 0.01, "the change is felt at all"


def published(name: str) -> str:
    """Wan's or the release's own name of a layer."""
    return OURS[f"{name}.weight"].removesuffix(".weight")


NAMINGS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "diffusers": (lambda name: f"transformer.{name}", "lora_A.weight", "lora_B.weight"),
    "diffusers, bare": (lambda name: name, "lora_A.weight", "lora_B.weight"),
    "diffusers, older": (lambda name: f"transformer.{name}", "lora.down.weight", "lora.up.weight"),
    "peft": (lambda name: f"base_model.model.{name}", "lora_A.default.weight", "lora_B.default.weight"),
    "Wan": (lambda name: f"diffusion_model.{published(name)}", "lora_A.weight", "lora_B.weight"),
    "Wan, down and up": (lambda name: f"diffusion_model.{published(name)}", "lora_down.weight", "lora_up.weight"),
    "Wan, bare": (published, "lora_down.weight", "lora_up.weight"),
    "Wan, nested": (lambda name: f"model.diffusion_model.{published(name)}", "lora_A.weight", "lora_B.weight"),
    "underscores": (
        lambda name: f"lora_unet_{published(name).replace('.', '_')}",
        "lora_down.weight",
        "lora_up.weight",
    ),
}
"""Prefix and name of a layer, and the names of its matrices."""


def written(change: Change, naming: str, with_alpha: bool = False, flat: bool = True) -> dict[str, Tensor]:
    """A LoRA in some naming."""
    named, down_name, up_name = NAMINGS[naming]
    layers, lora = layers_of(make_pipe().transformer), {}
    for name, (down, up, scale, bias) in change.items():
        kernel = layers[name].weight.shape[2:]
        if kernel and not flat:
            down, up = down.unflatten(1, (-1, *kernel)), up[..., None, None, None]
        lora |= {f"{named(name)}.{down_name}": down, f"{named(name)}.{up_name}": up}
        if with_alpha:
            lora[f"{named(name)}.alpha"] = torch.tensor(scale * len(down))
        if bias is not None:
            lora[f"{named(name)}.diff_b"] = bias
    return lora


EVERY = list(layers_of(make_pipe().transformer))


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("with_alpha", [False, True])
def test_every_layer_in_every_naming_is_added_exactly(naming: str, with_alpha: bool) -> None:
    change = draw_change(EVERY, biases=tuple(EVERY[::3]), scale=ALPHA if with_alpha else 1.0)
    lora = written(change, naming, with_alpha, flat=with_alpha)
    check_same(loaded(lora), by_hand(change))


@pytest.mark.parametrize(
    "names",
    [
        ["blocks.0.attn1.to_q", "blocks.1.ffn.net.0.proj"],
        ["condition_embedder.time_embedder.linear_1", "condition_embedder.time_embedder.linear_2"],
        ["condition_embedder.text_embedder.linear_1", "blocks.0.attn2.to_k"],
        ["condition_embedder.time_proj"],
        ["patch_embedding", "proj_out"],
    ],
    ids=lambda names: names[0],
)
def test_biases_of_some_layers_and_alphas_of_embeddings(names: list[str]) -> None:
    change = draw_change(names, biases=(names[0],), scale=ALPHA)
    check_same(loaded(written(change, "Wan, down and up", with_alpha=True)), by_hand(change))


def test_a_bias_alone_is_added() -> None:
    name = "blocks.1.attn1.to_v"
    change = draw_change(["blocks.0.attn1.to_q", name], biases=(name,))
    lora = written(change, "Wan")
    lora = {key: value for key, value in lora.items() if "blocks.1" not in key or key.endswith("diff_b")}
    down, up, scale, bias = change[name]
    check_same(loaded(lora), by_hand({**change, name: (down, torch.zeros_like(up), scale, bias)}))


@pytest.mark.parametrize("name", ["blocks.0.ffn.net.0.proj", "blocks.0.ffn.net.2", "proj_out", "patch_embedding"])
@pytest.mark.parametrize("with_pair", [False, True])
def test_a_whole_change_of_a_weight_is_added(name: str, with_pair: bool) -> None:
    change = draw_change([name], biases=(name,), scale=ALPHA)
    down, up, _, bias = change[name]
    lora = written(change, "Wan, down and up", with_alpha=True) if with_pair else {}
    diff = 0.1 * torch.randn(
        layers_of(make_pipe().transformer)[name].weight.shape, generator=torch.Generator().manual_seed(5)
    )
    key = f"diffusion_model.{published(name)}"
    lora |= {f"{key}.diff": diff, f"{key}.diff_b": bias}
    whole = diff.flatten(1) + (ALPHA * up @ down if with_pair else 0)
    check_same(loaded(lora), by_hand({name: (torch.eye(whole.shape[1]), whole, 1.0, bias)}))


def test_a_patch_embedding_of_the_noise_alone_leaves_further_channels() -> None:
    down, up, scale, _ = draw_change(["patch_embedding"])["patch_embedding"]
    noise = down[:, : 4 * 4]  # 4 channels of 2 x 2
    shaped = noise.view(-1, 4, 1, 2, 2)
    expected = by_hand({"patch_embedding": (torch.cat([noise, torch.zeros(len(down), 8 * 4)], 1), up, scale, None)})
    for given in (noise, shaped):
        lora = {"patch_embedding.lora_down.weight": given, "patch_embedding.lora_up.weight": up}
        check_same(loaded(lora), expected)


def test_a_dictionary_may_be_given_twice() -> None:
    change = draw_change(EVERY, biases=tuple(EVERY[::3]), scale=ALPHA)
    lora = written(change, "Wan, down and up", with_alpha=True)
    before = {key: value.clone() for key, value in lora.items()}
    check_same(loaded(lora), by_hand(change))
    assert all(torch.equal(lora[key], value) for key, value in before.items()) and lora.keys() == before.keys()
    pipe = make_pipe()
    pipe.load_lora_weights(lora)
    with pytest.warns(UserWarning, match="multiple adapters"):
        pipe.load_lora_weights(lora)
    check_same(velocity(pipe.transformer), by_hand(change))  # the first is switched off, as diffusers has it
    pipe.unload_lora_weights()
    torch.testing.assert_close(velocity(pipe.transformer), velocity(make_pipe().transformer), rtol=0, atol=0)


def test_a_model_of_16_bits_keeps_its_dtypes() -> None:
    change = draw_change(EVERY, biases=tuple(EVERY[::3]), scale=ALPHA)
    pipe = make_pipe()
    pipe.transformer.to(torch.bfloat16)
    pipe.load_lora_weights(written(change, "Wan, down and up", with_alpha=True))
    assert {parameter.dtype for parameter in pipe.transformer.parameters()} == {torch.bfloat16}
    expected = by_hand(change)
    difference = (velocity(pipe.transformer).float() - expected).abs().mean()
    assert difference < 0.1 * expected.abs().mean()


# --- files


def test_files_are_read_as_dictionaries_are(tmp_path: Path) -> None:
    change = draw_change(EVERY[:8], biases=(EVERY[1],), scale=ALPHA)
    lora = written(change, "Wan, down and up", with_alpha=True)
    save_file(lora, tmp_path / "lora.safetensors")
    torch.save(lora, tmp_path / "lora.pt")
    for file in (tmp_path / "lora.safetensors", str(tmp_path / "lora.safetensors"), tmp_path / "lora.pt"):
        check_same(loaded(file), by_hand(change))
    pipe = make_pipe()
    pipe.load_lora_weights(tmp_path, weight_name="lora.safetensors", adapter_name="steps")
    check_same(velocity(pipe.transformer), by_hand(change))
    assert list(pipe.transformer.peft_config) == ["steps"]


def test_what_diffusers_saved_keeps_the_scale_of_its_metadata(tmp_path: Path) -> None:
    change = draw_change(["blocks.0.attn1.to_q", "blocks.1.attn1.to_q"], scale=2.0)
    lora = {
        f"{name}.lora_{part}.weight": (value[:RANK] if part == "A" else value[:, :RANK]).contiguous()
        for name, (down, up, _, _) in change.items()
        for part, value in (("A", down), ("B", up))
    }
    config = {"r": RANK, "lora_alpha": 2 * RANK, "target_modules": ["attn1.to_q"]}
    HuMoPipeline.save_lora_weights(tmp_path, transformer_lora_layers=lora, transformer_lora_adapter_metadata=config)
    kept = {name: (down[:RANK], up[:, :RANK], 2.0, None) for name, (down, up, _, _) in change.items()}
    check_same(loaded(tmp_path / "pytorch_lora_weights.safetensors"), by_hand(kept))


@pytest.mark.parametrize("name", ["lora.safetensors", "lora.pt"])
def test_files_that_cannot_be_read_are_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^The LoRA {name} does not exist: give the path of a file\.$"):
        make_pipe().load_lora_weights(tmp_path / name)
    with pytest.raises(ValueError, match=rf"^The LoRA {name} does not exist"):
        humo.load("17B", lora=tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing of a tensor")
    with pytest.raises(ValueError, match=rf"^The LoRA {name} is damaged or no file of tensors"):
        make_pipe().load_lora_weights(str(tmp_path / name))


# --- what is left out, and what is refused


def test_what_is_left_out_is_told(caplog: pytest.LogCaptureFixture) -> None:
    change = draw_change(["blocks.0.attn1.to_q"])
    further = {
        "diffusion_model.blocks.0.norm3.diff": torch.ones(48),
        "diffusion_model.blocks.0.self_attn.norm_q.diff": torch.ones(48),
        "diffusion_model.blocks.0.diff_m": torch.ones(1, 6, 48),
        "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight": torch.ones(3, 48),
        "diffusion_model.blocks.9.self_attn.q.lora_A.weight": torch.ones(3, 48),
        "text_encoder.layers.0.q.lora_A.weight": torch.ones(3, 48),
        "diffusion_model.blocks.1.norm3.diff": torch.zeros(48),
    }
    with caplog.at_level(logging.WARNING, "humo.layers.loras"):
        check_same(loaded({**written(change, "Wan"), **further}), by_hand(change))
    assert len(caplog.records) == 1
    told = caplog.records[0].getMessage()
    assert told.startswith(
        "Left out of the LoRA, for they change a norm, a table, or a layer that this model has not: "
    )
    assert all(key in told for key in list(further)[:5]) and told.endswith(" and 1 more.") and "blocks.1" not in told


def test_zeros_that_are_left_out_warn_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    lora = {**written(draw_change(["blocks.0.attn1.to_q"]), "Wan"), "blocks.0.norm3.diff": torch.zeros(48)}
    with caplog.at_level(logging.INFO, "humo.layers.loras"):
        loaded(lora)
    assert [record.levelno for record in caplog.records if record.name == "humo.layers.loras"] == [logging.INFO]


Q = "blocks.0.self_attn.q"
PAIR = {f"{Q}.lora_A.weight": torch.ones(3, 48), f"{Q}.lora_B.weight": torch.ones(48, 3)}
REFUSED = {
    "empty": ({}, "The LoRA changes no layer of this model: give one that was made for Wan2.1 or HuMo"),
    "foreign": (
        {"lora_unet_down_blocks_0_attentions_0.lora_up.weight": torch.ones(2, 2)},
        r"The LoRA changes no layer of this model \(its first key is 'lora_unet_down",
    ),
    "alpha": ({f"{Q}.alpha": torch.tensor(1.0)}, "The LoRA changes no layer of this model"),
    "half": ({f"{Q}.lora_A.weight": torch.ones(3, 48)}, "has only one of its two matrices for blocks.0.attn1.to_q"),
    "larger": (
        {f"{Q}.lora_A.weight": torch.ones(3, 96), f"{Q}.lora_B.weight": torch.ones(96, 3)},
        "changes blocks.0.attn1.to_q from 96 to 96 channels but this model's goes from 48 to 48: give a LoRA that was",
    ),
    "ranks": (
        {f"{Q}.lora_A.weight": torch.ones(3, 48), f"{Q}.lora_B.weight": torch.ones(48, 4)},
        "two matrices for blocks.0.attn1.to_q have the ranks 3 and 4",
    ),
    "bias": ({**PAIR, f"{Q}.diff_b": torch.ones(47)}, r"bias of blocks.0.attn1.to_q is \(47,\) but \(48,\) is wanted"),
    "vector": ({f"{Q}.diff": torch.ones(48)}, r"matrix for blocks.0.attn1.to_q has the shape \(48,\)"),
    "nan": ({**PAIR, f"{Q}.diff_b": torch.full((48,), np.nan)}, "numbers for blocks.0.attn1.to_q are not finite"),
    "DoRA": ({**PAIR, f"{Q}.dora_scale": torch.ones(48, 1)}, "dora_scale', of DoRA, LoCon, LoHa, LoKr or OFT, which"),
    "LoKr": ({f"{Q}.lokr_w1": torch.ones(2, 2)}, "lokr_w1', of DoRA"),
    "twice": (
        {**PAIR, "transformer.blocks.0.attn1.to_q.lora_A.weight": torch.ones(3, 48)},
        "holds the down of blocks.0.attn1.to_q twice, the second time as 'transformer.blocks",
    ),
    "text": ({**PAIR, "note": "hello"}, "The LoRA holds 'note', a str: give tensors by name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(kind: str) -> None:
    lora, words = REFUSED[kind]
    pipe = make_pipe()
    with pytest.raises(ValueError, match=words) as refusal:
        pipe.load_lora_weights(lora)
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)
    assert layers_of(pipe.transformer).keys() == set(EVERY), "nothing was put into it"


def test_a_layer_is_found_under_an_earlier_lora() -> None:
    pipe = make_pipe()
    pipe.load_lora_weights(PAIR)
    assert read_lora(PAIR, pipe.transformer).keys() == read_lora(PAIR, make_pipe().transformer).keys()


# --- weights in float8, and saving

FLOAT8 = Plan(layerwise_casting=True)


def test_the_plan_of_the_smallest_gpu_rests_in_float8() -> None:
    assert PRESETS["8GB"]["17B"].layerwise_casting


def test_no_lora_is_added_to_float8_and_nothing_of_it_is_saved(tmp_path: Path) -> None:
    pipe = apply_plan(tiny.pipeline("17B"), "cpu", FLOAT8)
    before = pipe("a woman talks", seed=1, num_inference_steps=1).frames
    for add in (pipe.load_lora_weights, pipe.transformer.load_lora_adapter):
        with pytest.raises(ValueError, match=r"rest in float8, to which no LoRA can be added: .* lora="):
            add(PAIR)
    for save in (pipe.save_pretrained, pipe.transformer.save_pretrained):
        with pytest.raises(ValueError, match="rest in float8 and would be saved rounded to it for good: copy the fold"):
            save(tmp_path / "out")
    assert not (tmp_path / "out").exists(), "not even a part of it"
    assert np.array_equal(pipe("a woman talks", seed=1, num_inference_steps=1).frames, before)


def test_a_lora_before_float8_stays_as_it_is(tmp_path: Path) -> None:
    tiny.pipeline("17B").save_pretrained(tmp_path / "tiny")
    save_file(PAIR, tmp_path / "lora.safetensors")
    pipe = apply_plan(humo.load(tmp_path / "tiny", "cpu", lora=tmp_path / "lora.safetensors"), "cpu", FLOAT8)
    query = pipe.transformer.blocks[0].attn1.to_q
    assert query.base_layer.weight.dtype == torch.float8_e4m3fn
    assert torch.equal(query.lora_A["default_0"].weight, PAIR[f"{Q}.lora_A.weight"])
    for change in (pipe.fuse_lora, pipe.unfuse_lora):
        with pytest.raises(ValueError, match="rest in float8, in which no sum is exact: leave the LoRA beside them"):
            change()
    pipe("a woman talks", seed=1, num_inference_steps=1)
    pipe.unload_lora_weights()
    pipe("a woman talks", seed=1, num_inference_steps=1)


def test_a_lora_is_saved_within_the_weights_or_not_at_all(tmp_path: Path) -> None:
    change = draw_change(["blocks.0.attn1.to_q", "blocks.1.ffn.net.2"], biases=("blocks.1.ffn.net.2",))
    pipe = tiny.pipeline("mini")
    pipe.load_lora_weights(written(change, "Wan"))
    expected = pipe("a woman talks", seed=1, num_inference_steps=1).frames
    for is_fused in (False, True):
        if is_fused:
            pipe.fuse_lora()
        with pytest.raises(ValueError, match=r"a LoRA beside its weights, and so saved .* pipe.unload_lora_weights"):
            pipe.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path / "out")
    frames = humo.load(tmp_path / "out", "cpu")("a woman talks", seed=1, num_inference_steps=1).frames
    assert np.abs(frames.astype(int) - expected).max() <= 1
