"""A transformer in one file: GGUF of every kind, float8 with and without scales, 16 and 32 bits; and their faults.

Each file is written tiny by the public packages, and a pass is held against the float32 model of the numbers in it.
Run: python -m pytest tests/loading/test_transformer_files.py
"""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import weight_files as files
from diffusers.models.model_loading_utils import load_gguf_checkpoint
from diffusers.quantizers.gguf.utils import GGUFLinear
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from humo.checkpoints import load_published_transformer, load_transformer_file
from humo.layers.float8 import Float8Linear, is_quantised
from humo.layers.loras import read_lora

FLOAT16, BFLOAT16 = 3e-3, 2e-2
"""Most that a pass may be off: diffusers dequantises through float16; the second where it is computed in bfloat16."""
KINDS = {"Q8_0": 0.02, "Q5_0": 0.12, "Q5_1": 0.12, "Q4_0": 0.2, "Q4_1": 0.2}
"""Kinds that the package writes, and most that a pass may be off from the model that was written."""
K_KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


@pytest.fixture(scope="module")
def whole() -> dict[str, Tensor]:
    """The tiny model's tensors under the published names."""
    return files.published_state_dict(files.transformer())


def wanted(held: dict[str, Tensor]) -> Tensor:
    """What the float32 model of the numbers in a file makes."""
    return files.velocity(load_published_transformer(held))


def query(model: nn.Module) -> nn.Module:
    """A layer that stays quantised."""
    return model.blocks[0].attn1.to_q


@pytest.mark.parametrize("kind", [*KINDS, *K_KINDS])
def test_a_gguf_is_computed_as_its_numbers_are(kind: str, whole: dict[str, Tensor], tmp_path: Path) -> None:
    held = files.write_gguf(tmp_path / "model.gguf", whole, files.mixed(kind))
    model = load_transformer_file(tmp_path / "model.gguf", dtype=torch.float32)
    assert isinstance(query(model), GGUFLinear) and query(model).weight.quant_type.name == kind
    assert files.error(files.velocity(model), wanted(held)) < FLOAT16
    if kind in KINDS:
        assert 1e-3 < files.error(files.velocity(model), wanted(whole)) < KINDS[kind]
    narrow = load_transformer_file(tmp_path / "model.gguf", dtype=torch.bfloat16)
    assert narrow.dtype == torch.bfloat16 and query(narrow).bias.dtype == torch.bfloat16
    assert narrow.scale_shift_table.dtype == narrow.blocks[0].norm2.weight.dtype == torch.float32
    assert files.error(files.velocity(narrow, torch.bfloat16), wanted(held)) < BFLOAT16


@pytest.mark.parametrize("other", ["BF16", "F16", "F32"])
def test_biases_norms_and_kernels_of_any_float_are_numbers(
    other: str, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "model.gguf"
    held = files.write_gguf(file, whole, files.mixed("Q8_0", other, other))
    model = load_transformer_file(file, dtype=torch.float32)
    assert files.error(files.velocity(model), wanted(held)) < FLOAT16
    if other == "BF16":  # the trap: as diffusers reads them they are bytes, twice as many as there are numbers
        bias = load_gguf_checkpoint(file)["blocks.0.self_attn.q.bias"]
        assert bias.dtype == torch.uint8 and bias.shape == (2 * query(model).out_features,)


def test_matrices_of_many_kinds_lie_side_by_side(whole: dict[str, Tensor], tmp_path: Path) -> None:
    kinds = ["Q4_K", "Q6_K", "BF16", "F16", "Q5_0", "F32", "Q8_0"]
    order = {name: kinds[index % len(kinds)] for index, name in enumerate(n for n in whole if whole[n].ndim == 2)}
    held = files.write_gguf(tmp_path / "model.gguf", whole, lambda name, tensor: order.get(name, "BF16"))
    model = load_transformer_file(tmp_path / "model.gguf", dtype=torch.float32)
    assert files.error(files.velocity(model), wanted(held)) < FLOAT16
    layers = {type(module) for module in model.blocks.modules() if isinstance(module, nn.Linear)}
    assert layers == {nn.Linear, GGUFLinear}


def test_what_no_linear_layer_holds_is_dequantised(whole: dict[str, Tensor], tmp_path: Path) -> None:
    flat = {"patch_embedding.weight": (256, 16)}
    held = files.write_gguf(
        tmp_path / "model.gguf",
        whole,
        lambda name, tensor: "Q8_0" if tensor.shape[-1] % 32 == 0 and name != "time_embedding.0.bias" else "F32",
        shapes=flat,
    )
    model = load_transformer_file(tmp_path / "model.gguf", dtype=torch.float32)
    assert model.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32, "computed in float32"
    assert model.blocks[0].scale_shift_table.dtype == query(model).bias.dtype == torch.float32
    assert files.error(files.velocity(model), wanted(held)) < FLOAT16


@pytest.mark.parametrize("way", ["whole", "told", "flat", "merged", "beside"])
def test_a_kernel_of_five_dimensions_comes_in_any_shape(way: str, whole: dict[str, Tensor], tmp_path: Path) -> None:
    name = "patch_embedding.weight"
    shape = tuple(whole[name].shape)
    shapes = {"flat": {name: (256, 16)}, "told": {name: (64, 64)}, "merged": {name: (1024, 1, 2, 2)}}.get(way, {})
    written = {key: tensor for key, tensor in whole.items() if key != name or way != "beside"}
    fields = {name: shape} if way == "told" else {}
    held = files.write_gguf(tmp_path / "model.gguf", written, files.mixed("Q8_0"), shapes=shapes, fields=fields)
    if way == "beside":
        with pytest.raises(ValueError, match="model.gguf: The state dict lacks 'patch_embedding.weight'"):
            load_transformer_file(tmp_path / "model.gguf")
        save_file({name: whole[name]}, tmp_path / "fix_5d_tensors_wan.safetensors")
    model = load_transformer_file(tmp_path / "model.gguf", dtype=torch.float32)
    torch.testing.assert_close(model.patch_embedding.weight, whole[name], rtol=0, atol=0)
    assert files.error(files.velocity(model), wanted({**held, name: whole[name]})) < FLOAT16


def test_a_tensor_of_other_dimensions_is_refused(whole: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({**whole, "text_embedding.0.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"'text_embedding.0.weight' has the shape \(3,\) but 2 dimensions are wanted"):
        load_transformer_file(tmp_path / "model.safetensors")


def test_a_kernel_that_does_not_fit_is_refused(whole: dict[str, Tensor], tmp_path: Path) -> None:
    cut = {**whole, "patch_embedding.weight": whole["patch_embedding.weight"][:, :, 0, 0].clone()}
    save_file(cut, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="has 2 input channels for 4 of the latents, which is neither"):
        load_transformer_file(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"suffix": "weight_scale", "prefix": "model.diffusion_model."},
        {"rows": True, "prefix": "diffusion_model."},
        {"suffix": None},
        {"suffix": None, "other": torch.float16},
        {"other": torch.float32},
    ],
    ids=str,
)
def test_float8_is_computed_as_its_numbers_are(form: dict, whole: dict[str, Tensor], tmp_path: Path) -> None:
    held = files.write_float8(tmp_path / "model.safetensors", whole, **form)
    model = load_transformer_file(tmp_path / "model.safetensors", dtype=torch.float32)
    assert isinstance(query(model), Float8Linear) and query(model).weight.nbytes == query(model).weight.numel()
    assert files.error(files.velocity(model), wanted(held)) < 1e-6
    assert 1e-3 < files.error(files.velocity(model), wanted(whole)) < 0.1
    narrow = load_transformer_file(tmp_path / "model.safetensors", dtype=torch.bfloat16)
    assert files.error(files.velocity(narrow, torch.bfloat16), wanted(held)) < BFLOAT16


def test_a_weight_beyond_float8_keeps_its_scale(whole: dict[str, Tensor], tmp_path: Path) -> None:
    """Cast to float8, as layer-wise casting does, it would be cut off at 448."""
    name = "blocks.0.ffn.0.weight"
    large = {**whole, name: whole[name] * 20_000}
    held = files.write_float8(tmp_path / "model.safetensors", large)
    layer = load_transformer_file(tmp_path / "model.safetensors", dtype=torch.float32).blocks[0].ffn.net[0].proj
    states = torch.randn(3, 256, generator=torch.Generator().manual_seed(0))
    got, exact = layer(states), states @ held[name].T + held["blocks.0.ffn.0.bias"]
    assert held[name].abs().max() > 448 and files.error(got, exact) < 1e-6
    cut = held[name].to(torch.float8_e4m3fn).float().nan_to_num(448.0)
    assert cut.abs().max() == 448 and files.error(states @ cut.T, exact) > 0.1


def test_float8_stays_as_it_is_whatever_the_model_is_cast_to(whole: dict[str, Tensor], tmp_path: Path) -> None:
    files.write_float8(tmp_path / "model.safetensors", whole)
    stored = load_file(tmp_path / "model.safetensors")["blocks.0.self_attn.q.weight"]
    model = load_transformer_file(tmp_path / "model.safetensors")
    assert torch.equal(query(model).weight.view(torch.float8_e4m3fn).float(), stored.float())
    with pytest.raises(ValueError, match="Casting a quantized model"):
        model.to(torch.float16)
    nn.Module.to(model, torch.float16)
    assert torch.equal(query(model).weight.view(torch.float8_e4m3fn).float(), stored.float())


def test_markers_and_scales_of_inputs_say_nothing_of_the_weights(whole: dict[str, Tensor], tmp_path: Path) -> None:
    told = torch.frombuffer(bytearray(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    more = {"blocks.0.self_attn.q.input_scale": torch.ones(()), "blocks.0.self_attn.q.comfy_quant": told}
    held = files.write_float8(tmp_path / "model.safetensors", whole, "weight_scale", more=more)
    model = load_transformer_file(tmp_path / "model.safetensors", dtype=torch.float32)
    assert files.error(files.velocity(model), wanted(held)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_plain_floats_are_read_under_every_prefix(
    dtype: torch.dtype, prefix: str, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file({prefix + name: tensor.to(dtype) for name, tensor in whole.items()}, tmp_path / "any.name")
    model = load_transformer_file(tmp_path / "any.name", dtype=torch.float32)
    rounded = {name: tensor.to(dtype).float() for name, tensor in whole.items()}
    assert files.error(files.velocity(model), wanted(rounded)) < 1e-6 and not is_quantised(model)


def test_a_pth_and_the_17b_form_are_read(tmp_path: Path) -> None:
    original = files.transformer(in_channels=12)
    torch.save(files.published_state_dict(original), tmp_path / "model.bin")
    model = load_transformer_file(tmp_path / "model.bin", dtype=torch.float32)
    assert model.config.in_channels == 12 and files.error(files.velocity(model), files.velocity(original)) < 1e-6


def test_heads_are_of_128_channels_unless_said(whole: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(whole, tmp_path / "model.safetensors")
    assert load_transformer_file(tmp_path / "model.safetensors").config.num_attention_heads == 2
    assert load_transformer_file(str(tmp_path / "model.safetensors"), 4).config.attention_head_dim == 64


def test_a_quantised_model_bears_a_lora_and_cannot_be_saved(whole: dict[str, Tensor], tmp_path: Path) -> None:
    files.write_gguf(tmp_path / "model.gguf", whole, files.mixed("Q4_0"))
    files.write_float8(tmp_path / "model.safetensors", whole)
    for name in ("model.gguf", "model.safetensors"):
        model = load_transformer_file(tmp_path / name, dtype=torch.float32)
        before = files.velocity(model)
        down, up = torch.randn(2, 256), torch.randn(256, 2)
        lora = {"blocks.0.attn1.to_q.lora_A.weight": down, "blocks.0.attn1.to_q.lora_B.weight": up}
        model.load_lora_adapter(lora, prefix=None)
        assert query(model).lora_A["default_0"].weight.dtype == torch.float32
        assert files.error(files.velocity(model), before) > 0.01
        key = "diffusion_model.blocks.0.self_attn.q"
        found = read_lora({f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, model)
        assert {name.removeprefix("transformer."): value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in lora.items()
        }
        with pytest.raises(ValueError, match="quantised as their file has them, in which no sum is exact"):
            model.fuse_lora()
        model.delete_adapters("default_0")
        with pytest.raises(ValueError, match="keep that file, and put it beside its parts with"):
            model.save_pretrained(tmp_path / "saved")


def test_every_key_has_to_be_known_and_every_tensor_there(whole: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    files.write_gguf(file, {**whole, "blocks.0.more": torch.zeros(4)}, files.mixed("Q8_0"))
    with pytest.raises(ValueError, match=r"model.gguf: 1 key is not one of a published HuMo .*'blocks.0.more'"):
        load_transformer_file(file)
    for lost in ("blocks.1.ffn.2.bias", "blocks.1.audio_cross_attn_wrapper.audio_cross_attn.k.weight"):
        files.write_gguf(file, {key: each for key, each in whole.items() if key != lost}, files.mixed("Q8_0"))
        with pytest.raises(ValueError, match=r"model.gguf: The state dict lacks 1 of the model's tensors, first"):
            load_transformer_file(file)
    files.write_gguf(file, {**whole, "blocks.1.ffn.2.bias": torch.zeros(3)}, files.mixed("Q8_0"))
    with pytest.raises(ValueError, match=r"'blocks.1.ffn.net.2.bias' is \(3,\) but the model wants \(256,\)"):
        load_transformer_file(file)
    wan = {key: tensor for key, tensor in whole.items() if "audio" not in key}
    files.write_gguf(file, wan, files.mixed("Q8_0"))
    with pytest.raises(ValueError, match="lacks 'audio_proj.audio_proj_glob_1.layer.weight'"):
        load_transformer_file(file)


def test_scales_belong_to_their_weights(whole: dict[str, Tensor], tmp_path: Path) -> None:
    file, layer = tmp_path / "model.safetensors", "blocks.0.self_attn.q"
    files.write_float8(file, whole)
    stored = load_file(file)

    def refused(change: dict[str, Tensor | None], match: str) -> None:
        changed = {**stored, **change}
        save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, file)
        with pytest.raises(ValueError, match=match):
            load_transformer_file(file)

    refused({f"{layer}.scale_weight": None}, r"'blocks.0.attn1.to_q.weight' is float8 without a scale")
    refused({f"{layer}.weight": whole[f"{layer}.weight"]}, rf"has a scale for '{layer}.weight', but no such tensor in")
    refused({f"{layer}.scale_weight": torch.ones(7)}, r"The scale of 'blocks.0.self_attn.q.weight' in .* shape \(7,\)")
    refused({f"{layer}.weight": torch.zeros(256, 128, dtype=torch.uint8)}, f"'{layer}.weight' of .* is stored as torch")
    told = torch.frombuffer(bytearray(b'{"format": "nvfp4"}'), dtype=torch.uint8)
    refused({f"{layer}.comfy_quant": told}, rf"stores '{layer}' as nvfp4, which is not read")


def test_what_is_no_file_of_weights_is_refused_in_a_sentence(whole: dict[str, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    written = {"a.gguf": files.mixed("Q8_0")}
    files.write_gguf(folder / "a.gguf", whole, written["a.gguf"])
    save_file(whole, folder / "a.safetensors")
    torch.save(whole, folder / "a.pth")
    for name in ("a.gguf", "a.safetensors", "a.pth"):
        data = (folder / name).read_bytes()
        for share in (0.9, 0.5, 0.01):
            (folder / f"cut-{name}").write_bytes(data[: int(len(data) * share)])
            with pytest.raises(ValueError, match=rf"^models/cut-{name} is truncated,? .*: fetch it again.$"):
                load_transformer_file(folder / f"cut-{name}")
    foreign = {"page.gguf": b"<!DOCTYPE html>", "empty.safetensors": b"", "picture.png": b"\x89PNG\r\n\x1a\n" * 9}
    for name, data in foreign.items():
        (folder / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"models/{name} is neither GGUF nor safetensors nor a PyTorch file"):
            load_transformer_file(folder / name)
    (folder / "lfs.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match="is a pointer of Git LFS and holds no weights: fetch the file itself"):
        load_transformer_file(folder / "lfs.gguf")
    with pytest.raises(ValueError, match="There is no file models/none.gguf"):
        load_transformer_file(folder / "none.gguf")
    writer = gguf.GGUFWriter(folder / "odd.gguf", "wan")
    writer.add_tensor("a", np.zeros((1, 82), np.uint8), raw_dtype=gguf.GGMLQuantizationType.IQ2_S)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="'a' of models/odd.gguf is IQ2_S, which diffusers does not read"):
        load_transformer_file(folder / "odd.gguf")
