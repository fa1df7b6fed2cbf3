"""Parts of a pipeline from files of one's own: text encoder and codec, and what is loaded and converted around a file.

Run: python -m pytest tests/loading/test_part_files.py
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import huggingface_hub
import layout
import numpy as np
import pytest
import tiny
import torch
import weight_files as files
from diffusers import AutoencoderKLWan
from diffusers.quantizers.gguf.utils import GGUFLinear
from safetensors.torch import save_file
from torch import Tensor, nn

import humo
from humo.__main__ import main
from humo.checkpoints import bytes_of_folder, check_folder
from humo.layers.float8 import Float8Linear, is_quantised
from humo.loading.folders import values_of_folder
from humo.loading.memory import Plan, apply_plan
from humo.loading.published.conversion import convert, convert_file, converted_folder
from humo.loading.published.presets import PRESETS, get_preset, without_parts
from humo.loading.published.sources import find_sources
from humo.loading.single_file.names import codec_name, text_encoder_name
from humo.loading.single_file.parts import load_codec_file, load_text_encoder_file, load_transformer_file
from humo.pipeline import HuMoPipeline

PRESET = replace(get_preset("1.7B"), num_parameters={"transformer": 1_000_000})
IDS = torch.tensor([[3, 5, 7, 1]])


def states(encoder: nn.Module) -> Tensor:
    """What a text encoder makes of four tokens, float32."""
    with torch.no_grad():
        return encoder(input_ids=IDS, attention_mask=torch.ones_like(IDS)).last_hidden_state.float()


def encoder_of(held: dict[str, Tensor]) -> nn.Module:
    """The float32 encoder of the numbers in a file."""
    model = files.text_encoder()
    tensors = {text_encoder_name(key): value for key, value in held.items()}
    model.load_state_dict({**tensors, "encoder.embed_tokens.weight": tensors["shared.weight"]})
    return model


def text_kind(kind: str):
    """Matrices of one kind, but norms and the relative positions of float32, as published files have them."""
    return lambda name, tensor: "F32" if tensor.ndim == 1 or tensor.shape[1] < 256 else kind


@pytest.mark.parametrize("naming", ["transformers", "wan", "llama.cpp"])
@pytest.mark.parametrize("form", ["scaled", "float8", "bfloat16", "Q4_K", "Q8_0"])
def test_a_text_encoder_is_read_in_every_naming(naming: str, form: str, tmp_path: Path) -> None:
    whole, file = files.text_state_dict(files.text_encoder(), naming), tmp_path / "umt5.any"
    assert (naming == "transformers") == ("shared.weight" in whole) and len(whole) == 22
    if form == "bfloat16":
        held = {name: tensor.bfloat16() for name, tensor in whole.items()}
        torch.save(held, file) if naming == "wan" else save_file(held, file)
    elif form in ("scaled", "float8"):
        tokenizer = {"spiece_model": torch.zeros(9, dtype=torch.uint8)}  # as ComfyUI's file has it
        held = files.write_float8(file, whole, "scale_weight" if form == "scaled" else None, more=tokenizer)
    else:
        held = files.write_gguf(file, whole, text_kind(form), "t5encoder")
    model = load_text_encoder_file(file, torch.float32)
    expected = states(encoder_of({name: tensor.float() for name, tensor in held.items()}))
    assert files.error(states(model), expected) < 3e-3
    assert model.shared.weight.data_ptr() == model.encoder.embed_tokens.weight.data_ptr()
    kept = {"bfloat16": nn.Linear, "scaled": Float8Linear, "float8": Float8Linear}.get(form, GGUFLinear)
    assert type(model.encoder.block[1].layer[1].DenseReluDense.wo) is kept
    narrow = load_text_encoder_file(file, torch.bfloat16)
    assert narrow.dtype == torch.bfloat16 and files.error(states(narrow), expected) < 0.05
    half = load_text_encoder_file(file, torch.float16)
    assert half.dtype == torch.float16 and files.error(states(half), expected) < 0.01
    if kept is nn.Linear:
        assert half.encoder.block[1].layer[1].DenseReluDense.wo.weight.dtype == torch.float32, "it overflows"


def test_a_text_encoder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    whole, file = files.text_state_dict(files.text_encoder(), "wan"), tmp_path / "umt5.safetensors"
    save_file({**whole, "head.weight": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match=r"umt5.safetensors: 1 key is not one of umT5's encoder \('head.weight'\)"):
        load_text_encoder_file(file)
    save_file({name: tensor for name, tensor in whole.items() if name != "norm.weight"}, file)
    with pytest.raises(ValueError, match="lacks 1 of the model's tensors, first 'encoder.final_layer_norm.weight'"):
        load_text_encoder_file(file)
    save_file({"text_model.embeddings.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(ValueError, match="umt5.safetensors is no encoder of umT5: give umt5-xxl's"):
        load_text_encoder_file(file)


def original_codec(vae: AutoencoderKLWan) -> dict[str, Tensor]:
    """A codec's tensors under Wan's original names: all that there can be, turned round."""
    layers = [f"residual.{i}" for i in (0, 2, 3, 6)]
    layers += ["shortcut", "resample.1", "time_conv", "to_qkv", "proj", "norm"]
    leaves = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias", "gamma")]
    places = [f"encoder.downsamples.{i}" for i in range(12)] + [f"decoder.upsamples.{i}" for i in range(16)]
    places += [f"{side}.middle.{i}" for side in ("encoder", "decoder") for i in range(3)]
    keys = [f"{place}.{leaf}" for place, leaf in product(places, leaves)]
    ends = ["conv1", "conv2", *(f"{side}.{name}" for side in ("encoder", "decoder") for name in ("conv1", "head.2"))]
    keys += [f"{end}.{part}" for end in ends for part in ("weight", "bias")]
    keys += ["encoder.head.0.gamma", "decoder.head.0.gamma"]
    tensors, names = vae.state_dict(), {codec_name(key): key for key in keys}
    return {names[name]: tensor.clone() for name, tensor in tensors.items()}


def test_a_codec_is_read_in_the_original_and_in_diffusers_names(tmp_path: Path) -> None:
    torch.manual_seed(3)
    vae = AutoencoderKLWan(base_dim=4).eval()
    pictures = torch.randn(1, 3, 5, 32, 32)
    with torch.no_grad():
        expected = vae.encode(pictures).latent_dist.mode()
    torch.save(original_codec(vae), tmp_path / "Wan2.1_VAE.pth")
    save_file(original_codec(vae), tmp_path / "wan_2.1_vae.safetensors")
    save_file(vae.state_dict(), tmp_path / "diffusers.safetensors")
    for file in tmp_path.iterdir():
        loaded = load_codec_file(file)
        with torch.no_grad():
            torch.testing.assert_close(loaded.encode(pictures).latent_dist.mode(), expected)
        assert loaded.config.latents_mean == vae.config.latents_mean and loaded.dtype == torch.float32


def test_another_codec_is_refused(tmp_path: Path) -> None:
    vae, file = AutoencoderKLWan(base_dim=4), tmp_path / "vae.safetensors"
    save_file(AutoencoderKLWan(base_dim=4, z_dim=48).state_dict(), file)
    with pytest.raises(ValueError, match="vae.safetensors is a codec of 48 channels but HuMo's has 16: give Wan2.1's"):
        load_codec_file(file)
    save_file({name: tensor for name, tensor in original_codec(vae).items() if name != "encoder.head.2.bias"}, file)
    with pytest.raises(ValueError, match="lacks 1 of the model's tensors, first 'encoder.conv_out.bias'"):
        load_codec_file(file)
    save_file({**original_codec(vae), "decoder.upsamples.x.residual.0.gamma": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="1 key is not one of Wan2.1's video codec"):
        load_codec_file(file)
    save_file({"quant_conv.weight": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="is no video codec of Wan2.1: give Wan2.1_VAE.pth"):
        load_codec_file(file)


# --- a pipeline around a file


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published layout of both forms, in float32."""
    return {preset: layout.write(tmp_path_factory.mktemp(preset), preset) for preset in ("1.7B", "17B")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face home on a computer without a network."""
    monkeypatch.setitem(PRESETS, "1.7B", PRESET)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path / "home"


def fill_cache(home: Path, weights: Path, but: str) -> None:
    """Let the Hub's cache hold the published files, but for one repository."""
    for repository in (each for each in PRESET.repositories if each.folder != but):
        snapshots = home / "hub" / f"models--{repository.name.replace('/', '--')}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / repository.revision).symlink_to(weights / repository.folder)


def write(file: Path, preset: str = "1.7B", kind: str = "Q8_0") -> dict[str, Tensor]:
    """A GGUF of the layout's transformer; rows that are too short for blocks are F16. The numbers that it holds."""
    tensors = layout.published_state_dict(preset)
    return files.write_gguf(
        file, tensors, lambda _, each: kind if each.ndim == 2 and each.shape[1] % 32 == 0 else "F16"
    )


def whole(preset: str, weights: Path, out: Path) -> Path:
    """The usual conversion, in float32."""
    return convert(get_preset(preset), find_sources(get_preset(preset), weights), out, torch.float32)


@pytest.mark.parametrize("preset", ["1.7B", "17B"])
def test_a_folder_takes_the_transformer_of_a_file(preset: str, originals: dict[str, Path], tmp_path: Path) -> None:
    folder, file = whole(preset, originals[preset], tmp_path / "folder"), tmp_path / "model.gguf"
    held = write(file, preset)
    expected = humo.load(folder, "cpu", torch.float32)
    names = {name: humo.layers.published_names.our_name(name) for name in held}
    expected.transformer.load_state_dict({names[name]: tensor for name, tensor in held.items()})
    pipeline = humo.load(folder, "cpu", torch.float32, transformer=file)
    assert is_quantised(pipeline.transformer) and not is_quantised(expected.transformer)
    frames = layout.film(pipeline).astype(int)
    assert frames.std() > 1 and np.abs(frames - layout.film(expected)).max() <= 2


def test_a_file_alone_finds_the_parts_around_it(home: Path, originals: dict[str, Path], tmp_path: Path) -> None:
    write(tmp_path / "humo.gguf")
    with pytest.raises(ValueError, match=r"^A 1.7B transformer from a file needs parts around it .* bring Wan2.1-T2V"):
        humo.load(tmp_path / "humo.gguf", device="cpu")
    fill_cache(home, originals["1.7B"], but="HuMo")
    pipeline = humo.load(str(tmp_path / "humo.gguf"), device="cpu", dtype=torch.float32)
    assert [folder.name for folder in (home / "humo").iterdir()] == ["1.7B-3a4a1610-without-transformer"]
    assert not (home / "humo" / "1.7B-3a4a1610-without-transformer" / "transformer").exists()
    assert is_quantised(pipeline.transformer) and layout.film(pipeline).std() > 1
    again = humo.load(transformer=tmp_path / "humo.gguf", device="cpu", dtype=torch.float32)
    layout.assert_alike(layout.film(again), layout.film(pipeline))


def test_a_converted_preset_serves_as_the_parts_around_a_file(
    home: Path, originals: dict[str, Path], tmp_path: Path
) -> None:
    whole("1.7B", originals["1.7B"], converted_folder(PRESET, torch.float32))
    write(tmp_path / "humo.gguf")
    assert is_quantised(humo.load(tmp_path / "humo.gguf", "cpu", torch.bfloat16).transformer)
    assert len(list((home / "humo").iterdir())) == 1


def test_files_of_text_encoder_and_codec_need_not_be_downloaded(
    home: Path, originals: dict[str, Path], tmp_path: Path
) -> None:
    weights = Path(shutil.copytree(originals["1.7B"], tmp_path / "weights"))
    for part in ("text_encoder", "vae"):
        shutil.rmtree(weights / "Wan2.1-T2V-1.3B-Diffusers" / part)
    fill_cache(home, weights, but="HuMo")
    torch.manual_seed(7)
    text_file, transformer = tmp_path / "umt5.safetensors", tmp_path / "humo.gguf"
    encoder = tiny.text_encoder()
    files.write_float8(text_file, files.text_state_dict(encoder))
    write(transformer)
    with pytest.raises(ValueError, match="bring Wan2.1-T2V-1.3B-Diffusers/vae/"):
        humo.load(transformer, device="cpu", text_encoder=text_file)
    vae = AutoencoderKLWan(base_dim=4)  # whose 16 channels do not fit the tiny transformer
    save_file(vae.state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match="The video codec has 16 channels but the transformer takes 4"):
        humo.load(transformer, device="cpu", text_encoder=text_file, vae=tmp_path / "vae.safetensors")
    folder = home / "humo" / "1.7B-3a4a1610-without-text_encoder-transformer-vae"
    assert sorted(each.name for each in folder.iterdir() if each.is_dir()) == [
        "audio_encoder", "feature_extractor", "scheduler", "tokenizer",
    ]  # fmt: skip


def test_a_whole_pipeline_takes_a_text_encoder_of_a_file(originals: dict[str, Path], tmp_path: Path) -> None:
    folder, file = whole("1.7B", originals["1.7B"], tmp_path / "folder"), tmp_path / "umt5.safetensors"
    torch.manual_seed(7)
    save_file(files.text_state_dict(tiny.text_encoder(), "wan"), file)
    expected = layout.film(humo.load(folder, "cpu", torch.float32))
    layout.assert_alike(layout.film(humo.load(folder, "cpu", torch.float32, text_encoder=file)), expected)
    save_file(files.text_state_dict(files.text_encoder()), file)
    with pytest.raises(ValueError, match="The text encoder has 256 channels but the transformer takes 16"):
        humo.load(folder, "cpu", text_encoder=file)


@pytest.mark.parametrize("form", ["gguf", "float8"])
def test_memory_is_saved_without_a_change(form: str, originals: dict[str, Path], tmp_path: Path) -> None:
    folder, file = whole("17B", originals["17B"], tmp_path / "folder"), tmp_path / "humo.file"
    encoder, text_file = tiny.text_encoder(), tmp_path / "umt5.safetensors"
    files.write_float8(text_file, files.text_state_dict(encoder))
    if form == "gguf":
        write(file, "17B", "Q4_0")
    else:
        files.write_float8(file, layout.published_state_dict("17B"))

    def fresh() -> HuMoPipeline:
        return humo.load(folder, "cpu", torch.float32, transformer=file, text_encoder=text_file)

    expected = layout.film(fresh())
    for plan in (
        Plan(layerwise_casting=True),  # of a file that rests in few bits already nothing is cast, no bias either
        Plan(model_offload=True),
        Plan(offload_encoders=True, offload_blocks=True, tile_vae=True),
    ):
        pipeline = apply_plan(fresh(), "cpu", plan)
        for _ in range(2):
            layout.assert_alike(layout.film(pipeline), expected)
        assert is_quantised(pipeline.transformer) and is_quantised(pipeline.text_encoder)


@pytest.mark.parametrize("form", ["gguf", "float8", "bfloat16"])
def test_convert_puts_the_parts_around_a_file(
    form: str, home: Path, originals: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "humo.file", tmp_path / "out"
    tensors = layout.published_state_dict("1.7B")
    if form == "gguf":
        write(file)
    elif form == "float8":
        files.write_float8(file, tensors)
    else:
        save_file({f"diffusion_model.{name}": tensor.bfloat16() for name, tensor in tensors.items()}, file)
    command = ["convert", "--transformer", str(file), "--source", str(originals["1.7B"])]
    assert main([*command, "--out", str(out)]) == 0
    assert f"humo.load({str(out)!r})" in capsys.readouterr().out
    pipeline = humo.load(out, "cpu", torch.float32)
    direct = humo.load(whole("1.7B", originals["1.7B"], tmp_path / "whole"), "cpu", torch.float32, transformer=file)
    layout.assert_alike(layout.film(pipeline), layout.film(direct))
    assert is_quantised(pipeline.transformer) == (form != "bfloat16")
    if form != "bfloat16":
        assert (out / "transformer.file").samefile(file), "a second name, which takes no room"
        check_folder(out)
        without = values_of_folder(out)
        assert bytes_of_folder(out, torch.float32) == 4 * sum(without.values()) + file.stat().st_size
    assert main([*command, "--out", str(out)]) == 0, "the same once more"
    assert main(command) == 2 and "say where with --out FOLDER" in capsys.readouterr().err
    assert main([*command, "--out", str(out), "--preset", "17B"]) == 2
    assert "is of the 1.7B form: leave --preset out" in capsys.readouterr().err
    assert main(["convert"]) == 2 and "give --preset 1.7B, --preset 17B or --transformer" in capsys.readouterr().err


KERNEL = "patch_embedding.weight"


def _write_plain(file: Path, form: str) -> None:
    """The layout's transformer in 16 and 32 bits, in a file of a form in which people have one."""
    tensors = layout.published_state_dict("1.7B")
    shapes = {KERNEL: (128, 4, 2, 2)} if "folded" in form else {}
    if "beside" in form:
        save_file({KERNEL: tensors.pop(KERNEL)}, file.with_name("fix_5d_tensors_wan.safetensors"))
    if "GGUF" in form:
        files.write_gguf(file, tensors, files.mixed("BF16", "F32", "F16"), shapes=shapes)
        return
    named = {
        f"model.diffusion_model.{name}": each.reshape(shapes.get(name, each.shape)) for name, each in tensors.items()
    }
    (torch.save if form == "PyTorch" else save_file)(named, file)


@pytest.mark.parametrize(
    "form", ["GGUF", "GGUF, folded kernel", "GGUF, kernel beside", "PyTorch", "safetensors, folded kernel"]
)
def test_convert_reads_every_file_of_plain_numbers_that_load_reads(
    form: str, originals: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / ("humo.pth" if form == "PyTorch" else "humo.file")
    _write_plain(file, form)
    out = convert_file(file, None, originals["1.7B"], tmp_path / "out", torch.float32)
    converted, direct = (
        humo.load(out, "cpu", torch.float32).transformer,
        load_transformer_file(file, dtype=torch.float32),
    )
    ours, theirs = converted.state_dict(), direct.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_kernel_beside_a_quantised_file_goes_with_it(originals: dict[str, Path], tmp_path: Path) -> None:
    tensors, file = layout.published_state_dict("1.7B"), tmp_path / "humo.gguf"
    kernel = tensors.pop(KERNEL)
    save_file({KERNEL: kernel}, tmp_path / "fix_5d_tensors_wan.safetensors")
    files.write_gguf(file, tensors, lambda _, each: "Q8_0" if each.ndim == 2 and each.shape[1] % 32 == 0 else "F16")
    out = convert_file(file, None, originals["1.7B"], tmp_path / "out", torch.float32)
    transformer = humo.load(out, "cpu", torch.float32).transformer
    assert is_quantised(transformer) and torch.equal(transformer.patch_embedding.weight, kernel)


def test_what_is_given_is_checked(originals: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "humo.gguf"
    write(file, "17B")
    with pytest.raises(ValueError, match="Two transformers are given"):
        humo.load(file, "cpu", transformer=file)
    with pytest.raises(ValueError, match="There is no file 'none.safetensors' for vae"):
        humo.load("mini", "cpu", vae="none.safetensors")
    with pytest.raises(ValueError, match="17B model needs a GPU"):
        humo.load(file, "cpu")
    small = whole("1.7B", originals["1.7B"], tmp_path / "folder")
    with pytest.raises(ValueError, match="is of the 17B form but the parts around it are set up for the other"):
        humo.load(small, "cpu", transformer=file)
    assert without_parts(PRESETS["17B"], ()) is PRESETS["17B"]
    assert without_parts(PRESETS["17B"], {"transformer", "text_encoder"}).num_bytes < 4e9
