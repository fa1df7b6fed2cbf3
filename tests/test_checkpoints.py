"""Loading: presets, folders with their faults, Wan's weights, the published keys."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import tiny
import torch
from diffusers import WanTransformer3DModel

import humo
from humo.checkpoints import (
    bytes_of_folder,
    check_folder,
    check_memory,
    from_wan,
    infer_transformer_config,
    load_published_transformer,
)
from humo.layers.published_names import our_name
from humo.loading.devices import read_device
from humo.references import assemble_input


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A tiny pipeline as a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny-mini"
    tiny.pipeline("mini").save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["1.7B", "17B"])
def test_the_key_map_is_a_bijection(kind: str) -> None:
    keys = json.loads((published.GOLDEN / f"dit_{kind}.json").read_text())["keys"]
    renamed = [our_name(key) for key in keys]
    assert len(set(renamed)) == len(renamed)
    assert set(renamed) == set(published.model(kind).state_dict())


def test_confusable_keys() -> None:
    wrapper = "blocks.3.audio_cross_attn_wrapper"
    assert our_name(f"{wrapper}.audio_cross_attn.norm_k.weight") == "blocks.3.audio_attn.attn.norm_k.weight"
    assert our_name(f"{wrapper}.audio_cross_attn.o.bias") == "blocks.3.audio_attn.attn.to_out.0.bias"
    assert our_name("blocks.3.cross_attn.k.weight") == "blocks.3.attn2.to_k.weight"
    assert our_name("blocks.3.norm3.bias") == "blocks.3.norm2.bias"
    assert our_name("blocks.3.img_emb.weight") is None


def test_architecture_is_read_off_the_shapes() -> None:
    config = published.model("17B").config
    expected = {"in_channels": 36, "out_channels": 16, "num_layers": 3, "ffn_dim": 160, "text_dim": 64}
    expected |= {"num_attention_heads": 4, "attention_head_dim": 24, "audio_dim": 1536, "audio_tokens": 16}
    assert {name: config[name] for name in expected} == expected
    shapes = {"patch_embedding.weight": (1536, 16, 1, 2, 2), "head.head.weight": (64, 1536)}
    small = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    keys = json.loads((published.GOLDEN / "dit_1.7B.json").read_text())["keys"]
    rest = {name: torch.empty(shape, device="meta") for name, shape in keys.items()}
    assert infer_transformer_config({**rest, **small})["num_attention_heads"] == 12


@pytest.mark.slow
def test_loading_is_strict() -> None:
    whole = published.state_dict("1.7B")
    lacking = {key: value for key, value in whole.items() if key != "blocks.1.ffn.2.bias"}
    with pytest.raises(ValueError, match=r"lacks 1 of the model's tensors, first 'blocks.1.ffn.net.2.bias'"):
        load_published_transformer(lacking, 4)
    with pytest.raises(ValueError, match="but the model wants"):
        load_published_transformer({**whole, "blocks.1.ffn.2.bias": torch.zeros(3)}, 4)
    with pytest.raises(ValueError, match="not one of a published HuMo"):
        load_published_transformer({**whole, "blocks.1.extra": torch.zeros(3)}, 4)
    with pytest.raises(ValueError, match="lacks 'patch_embedding.weight'"):
        load_published_transformer({}, 4)
    with pytest.raises(ValueError, match="not a multiple of 5 heads"):
        load_published_transformer(whole, 5)


def wan(**changes) -> WanTransformer3DModel:
    """Wan2.1 of two blocks."""
    config = dict(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=8,
        out_channels=8,
        text_dim=16,
        freq_dim=16,
        ffn_dim=64,
    )
    return WanTransformer3DModel(**{**config, "num_layers": 2, **changes})


@torch.no_grad()
def test_from_wan_equals_wan_at_step_0() -> None:
    model = wan()
    start = from_wan(model, audio_dim=12, audio_tokens=2, audio_channels=8, audio_hidden_dim=16)
    given = (torch.randn(1, 8, 3, 4, 6), torch.tensor([700.0]), torch.randn(1, 5, 16))
    sample = start(*given, torch.randn(1, 3, 8, 5, 8)).sample
    torch.testing.assert_close(sample, model(*given).sample)


@torch.no_grad()
def test_from_wan_in_the_17b_form_equals_wan_whatever_the_further_channels_hold() -> None:
    model = wan()
    start = from_wan(model, "17B", audio_dim=12, audio_tokens=2, audio_channels=8, audio_hidden_dim=16)
    assert (start.config.in_channels, start.config.out_channels) == (2 * 8 + 4, 8)
    latents, time, text = torch.randn(1, 8, 3, 4, 6), torch.tensor([700.0]), torch.randn(1, 5, 16)
    wanted = model(latents, time, text).sample
    for references, condition in (
        (torch.randn(1, 8, 1, 4, 6), torch.randn(1, 8, 3, 4, 6)),
        (None, torch.ones(8, 1, 1, 1)),
    ):
        given = assemble_input(latents, start.config.in_channels, 1, references, condition)
        sample = start(given, time, text, torch.randn(1, 3, 8, 5, 8)).sample
        torch.testing.assert_close(sample, wanted)
    assert start.patch_embedding.weight.requires_grad and not torch.equal(given[:, 8:], torch.zeros_like(given[:, 8:]))


def test_from_wan_refuses_picture_models() -> None:
    for form in ("1.7B", "17B"):
        with pytest.raises(ValueError, match="text-to-video"):
            from_wan(wan(image_dim=16, added_kv_proj_dim=48), form, audio_dim=12)
        with pytest.raises(ValueError, match="20 input channels for 8 of the latents: give a text-to-video"):
            from_wan(wan(in_channels=20), form, audio_dim=12)
    with pytest.raises(ValueError, match="There is no form '14B': give '1.7B' or '17B'"):
        from_wan(wan(), "14B")


@pytest.mark.slow
def test_a_saved_pipeline_is_loaded(saved: Path) -> None:
    pipeline = humo.load(saved, device="cpu", dtype=torch.bfloat16)
    assert isinstance(pipeline, humo.HuMoPipeline)
    assert isinstance(pipeline.transformer, humo.HuMoTransformer3DModel)
    assert pipeline.transformer.dtype == pipeline.text_encoder.dtype == torch.bfloat16
    assert pipeline.vae.dtype == pipeline.audio_encoder.dtype == torch.float32
    assert pipeline("a man talks", audio=tiny.voice(0.3), image=tiny.picture(), seed=1).frames.shape == (9, 64, 64, 3)


@pytest.mark.parametrize("is_fast", [False, True])
def test_a_cpu_computes_in_bfloat16_where_it_multiplies_it(
    saved: Path, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    pipe, exact = humo.load(saved, device="cpu"), humo.load(saved, device="cpu", dtype=torch.float32)
    chosen = torch.bfloat16 if is_fast else torch.float32
    assert pipe.transformer.dtype == pipe.focus_head.dtype == pipe.vae.decoder.conv_in.weight.dtype == chosen
    assert {pipe.vae.dtype, pipe.audio_encoder.dtype, pipe.text_encoder.dtype} == {torch.float32}
    asked = {"prompt": "a man talks", "audio": tiny.voice(0.3), "image": tiny.picture(), "seed": 1}
    frames, expected = (each(**asked).frames.astype(float) for each in (pipe, exact))
    error = np.square(frames - expected).mean()
    assert error < 255**2 / 10**3.5, "35 dB"
    assert bool(error > 0) is is_fast


def test_loading_in_several_threads_leaves_pytorchs_dtype_as_it_was(saved: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        pipelines = list(pool.map(lambda dtype: humo.load(saved, "cpu", dtype), (torch.bfloat16, None, torch.bfloat16)))
    assert pipelines[0].transformer.dtype == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32


def test_unknown_models_are_refused() -> None:
    with pytest.raises(ValueError, match="no model 'maxi': give 'mini', '1.7B', '17B' or a folder"):
        humo.load("maxi")


def test_an_unknown_memory_size_is_refused_before_loading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="9GB"):
        humo.load(tmp_path, memory="9GB")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"memory": "24GB", "device": "cpu"}, "memory='24GB' is about a GPU but the device is the CPU"),
        ({"memory": "6GB", "device": "cpu"}, "memory='6GB' is too little for the 17B in 16 bits"),
        ({"fast": True, "device": "cpu"}, "17B has no fast form: leave `fast` out"),
        ({"device": "cuda:7"}, "The device is 'cuda:7' but (PyTorch has no GPU here|this computer has)"),
        ({"device": "gpu"}, "There is no device 'gpu': give 'cuda', 'cuda:1' or 'cpu'"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_downloaded(
    asked: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("humo.loading.published.conversion.constants.HF_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=sentence):  # what prepares it would say that it needs a GPU
        humo.load("17B", **asked)


def test_a_folder_without_a_fast_form_is_refused_before_it_is_loaded(copy: Path) -> None:
    (copy / "transformer" / "config.json").unlink()
    with pytest.raises(ValueError, match="copy has no fast form: leave `fast` out"):
        humo.load(copy, fast=True)


def test_the_number_of_a_gpu_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert read_device(None) == torch.device("cuda") and read_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="'cuda:2' but this computer has 2 of them: give 'cuda:0' to 'cuda:1'"):
        read_device("cuda:2")


def test_too_little_memory_is_one_sentence() -> None:
    check_memory("17B", 62_000_000_000, free=64_000_000_000)
    with pytest.raises(ValueError, match=r"^17B takes 62.0 GB of memory to load but 17.0 GB are free: .*\.$"):
        check_memory("17B", 62_000_000_000, free=17_000_000_000)


def test_processes_that_load_at_once_are_counted(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    check_memory("17B", 15_000_000_000, free=64_000_000_000)
    with pytest.raises(
        ValueError, match=r"17.0 GB of memory to load in each of 4 processes but 64.0 GB .*: start fewer"
    ):
        check_memory("17B", 17_000_000_000, free=64_000_000_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(10**9))
    with pytest.raises(ValueError, match="in each of 1000000000 processes"):
        humo.load(saved, device="cpu")


@pytest.mark.slow
def test_the_memory_asked_for_is_that_of_the_loaded_weights(saved: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        parts = humo.load(saved, device="cpu", dtype=dtype).components.values()
        modules = [part for part in parts if isinstance(part, torch.nn.Module)]
        held = sum(t.nbytes for module in modules for t in module.parameters())
        counted = bytes_of_folder(saved, dtype)
        assert held == pytest.approx(counted, rel=0.02 if dtype == torch.float32 else 0.2)


def weights(folder: Path, part: str) -> Path:
    """The one weight file of a part."""
    (file,) = (folder / part).glob("*.safetensors")
    return file


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "audio_encoder", "vae", "focus_head"])
def test_truncated_weights_are_one_sentence(copy: Path, part: str) -> None:
    file = weights(copy, part)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"^{part}/.*safetensors is truncated or damaged: fetch the folder again\.$"):
        humo.load(copy)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="truncated or damaged"):
        humo.load(copy)


def test_missing_files_are_one_sentence(copy: Path) -> None:
    check_folder(copy)
    weights(copy, "transformer").unlink()
    with pytest.raises(ValueError, match="transformer has no weights"):
        humo.load(copy)
    (copy / "transformer" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"transformer/config.json is missing"):
        humo.load(copy)
    shutil.rmtree(copy / "tokenizer")
    shutil.rmtree(copy / "transformer")
    with pytest.raises(ValueError, match="lacks its part tokenizer"):
        humo.load(copy)
    (copy / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="model_index.json is damaged"):
        humo.load(copy)
    (copy / "model_index.json").unlink()
    with pytest.raises(ValueError, match="model_index.json is missing"):
        humo.load(copy)


def test_missing_shards_are_one_sentence(copy: Path) -> None:
    folder = copy / "transformer"
    shutil.rmtree(folder)
    tiny.transformer(latent_std=tiny.LATENT_STD).save_pretrained(folder, max_shard_size="50KB")
    check_folder(copy)
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(ValueError, match=r"transformer/.*00002-of-.*safetensors is missing"):
        humo.load(copy)


def test_incomplete_weights_are_one_sentence(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = weights(copy, "transformer")
    tensors = load_file(file)
    del tensors["proj_out.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="The weights of transformer in copy are incomplete"):
        humo.load(copy)


def test_the_autoencoder_is_found_under_its_name_in_older_folders(saved: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(saved, older)
    index = older / "model_index.json"
    told = json.loads(index.read_text())
    assert told["vae"] == ["humo.layers.autoencoder", "HuMoVideoCodec"]
    index.write_text(json.dumps(told | {"vae": ["humo.codec", "HuMoVideoCodec"]}))
    assert type(humo.load(older).vae).__module__ == "humo.layers.autoencoder"
