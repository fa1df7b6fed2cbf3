"""The published layout, tiny: converted, loaded, run, saved and loaded again to the bit; and its faults by message."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from pathlib import Path

import layout
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

import humo
from humo.__main__ import main
from humo.checkpoints import load_published_transformer
from humo.loading.published.conversion import convert
from humo.loading.published.matching import EXTRA
from humo.loading.published.parts import NEGATIVE_PROMPT
from humo.loading.published.presets import get_preset
from humo.loading.published.sources import find_sources
from humo.pipeline import HuMoPipeline

PRESETS, SHARD = ["1.7B", "17B"], 200_000


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published layout of both forms."""
    return {preset: layout.write(tmp_path_factory.mktemp(preset), preset) for preset in PRESETS}


@pytest.fixture(scope="module")
def converted(originals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both converted in float32."""
    root = tmp_path_factory.mktemp("converted")
    return {preset: run(preset, weights, root / f"HuMo-{preset}") for preset, weights in originals.items()}


@pytest.fixture
def weights(originals: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies of the published layout, to be damaged."""
    return {name: Path(shutil.copytree(folder, tmp_path / name / "weights")) for name, folder in originals.items()}


def run(preset: str, weights: Path, out: Path, dtype: torch.dtype = torch.float32, **options) -> Path:
    """Convert from a folder."""
    model = get_preset(preset)
    return convert(model, find_sources(model, weights), out, dtype, **{"shard_bytes": SHARD, **options})


def times(folder: Path) -> dict[str, int]:
    """When each weight file was written."""
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for f in sorted(folder.rglob("*.safetensors"))}


@pytest.mark.parametrize("preset", PRESETS)
def test_converted_runs_like_the_parts_it_was_made_of(
    preset: str, originals: dict[str, Path], converted: dict[str, Path]
) -> None:
    pipeline = humo.load(converted[preset], device="cpu", dtype=torch.float32)
    frames = layout.film(pipeline)
    torch.manual_seed(7)
    parts = dict(text_encoder=tiny.text_encoder(), vae=tiny.wan_vae(), tokenizer=tiny.tokenizer())
    encoder = tiny.audio_encoder()
    encoder.load_state_dict(layout.whisper().model.encoder.state_dict())
    direct = HuMoPipeline(
        **parts,
        transformer=load_published_transformer(layout.published_state_dict(preset)),
        audio_encoder=encoder,
        feature_extractor=tiny.feature_extractor(),
        scheduler=pipeline.scheduler,
        default_guidance=pipeline.config.default_guidance,
        black_level=pipeline.config.black_level,
    )
    assert frames.std() > 1
    layout.assert_alike(frames, layout.film(direct))


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_and_loaded_again_it_is_the_same_to_the_bit(
    preset: str, converted: dict[str, Path], tmp_path: Path
) -> None:
    first = humo.load(converted[preset], device="cpu", dtype=torch.float32)
    first.save_pretrained(tmp_path / "again")
    again = humo.load(tmp_path / "again", "cpu", torch.float32)
    for name in ("transformer", "vae", "text_encoder", "audio_encoder"):
        ours, theirs = (getattr(each, name).state_dict() for each in (first, again))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours), name
    layout.assert_alike(layout.film(first), layout.film(again))
    ours, theirs = (json.loads((f / "model_index.json").read_text()) for f in (converted[preset], tmp_path / "again"))
    assert ours == {key: value for key, value in theirs.items() if key != "_name_or_path"}
    configs = [json.loads((f / "transformer/config.json").read_text()) for f in (converted[preset], tmp_path / "again")]
    assert configs[0] == {key: value for key, value in configs[1].items() if key != "_name_or_path"}


def test_the_published_settings_are_kept(converted: dict[str, Path]) -> None:
    small, large = (json.loads((converted[preset] / "model_index.json").read_text()) for preset in PRESETS)
    for index in (small, large):
        assert [index[f"default_{name}"] for name in ("height", "width", "num_frames")] == [480, 832, 97]
        assert index["default_num_inference_steps"] == 50
        assert index["default_negative_prompt"] == NEGATIVE_PROMPT
    assert small["default_guidance"] == {"rule": "published_1_7b", "text": 7.5, "audio": 7.5, "image": 4.0}
    assert large["default_guidance"] == {"rule": "published_17b", "text": 5.0, "audio": 5.5, "switch": 980.0}
    assert large["black_level"] == 0
    scheduler = json.loads((converted["17B"] / "scheduler/scheduler_config.json").read_text())
    assert scheduler["flow_shift"] == 5.0


def test_stored_in_bfloat16_it_is_what_loading_in_bfloat16_makes(
    originals: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    small = humo.load(run("1.7B", originals["1.7B"], tmp_path / "out", torch.bfloat16), "cpu", torch.bfloat16)
    whole = humo.load(converted["1.7B"], "cpu", torch.bfloat16)
    for name, tensor in whole.transformer.state_dict().items():
        torch.testing.assert_close(small.transformer.state_dict()[name], tensor, rtol=0, atol=0)
    assert {tensor.dtype for tensor in small.transformer.state_dict().values()} == {torch.bfloat16, torch.float32}


def test_only_whispers_encoder_is_kept(originals: dict[str, Path], converted: dict[str, Path]) -> None:
    whole = load_file(originals["1.7B"] / "whisper-large-v3" / "model.safetensors")
    kept = load_file(converted["1.7B"] / "audio_encoder" / "model.safetensors")
    assert {f"model.encoder.{name}" for name in kept} == {name for name in whole if ".encoder." in name}


def test_shards_are_named_as_diffusers_does_and_stay_below_their_size(converted: dict[str, Path]) -> None:
    folder = converted["17B"] / "transformer"
    files = sorted(folder.glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"diffusion_pytorch_model-{number:05d}-of-{len(files):05d}.safetensors" for number in range(1, len(files) + 1)
    ]
    largest = max(tensor.nbytes for file in files for tensor in load_file(file).values())
    assert len(files) > 5 and all(file.stat().st_size < max(SHARD, largest) + 20_000 for file in files)


def test_a_broken_off_conversion_goes_on_where_it_stopped(
    originals: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("17B", originals["17B"], tmp_path / "out", on_bytes=stop)
    before = times(tmp_path / "out")
    assert before and not (tmp_path / "out/model_index.json").exists()
    assert not list((tmp_path / "out").rglob("*.part"))
    with pytest.raises(ValueError, match="The conversion in out is not finished"):
        humo.load(tmp_path / "out")
    seen = []
    run("17B", originals["17B"], tmp_path / "out", on_bytes=lambda *progress: seen.append(progress))
    after = times(tmp_path / "out")
    assert before.items() <= after.items() and len(after) > len(before)
    assert seen[-1][0] == seen[-1][1]
    whole = layout.film(humo.load(converted["17B"], "cpu", torch.float32))
    layout.assert_alike(layout.film(humo.load(tmp_path / "out", "cpu", torch.float32)), whole)


def test_finished_shards_are_verified(originals: dict[str, Path], tmp_path: Path) -> None:
    out = run("1.7B", originals["1.7B"], tmp_path / "out")
    before = times(out)
    cut = out / "transformer" / "diffusion_pytorch_model-00002-of-00011.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    run("1.7B", originals["1.7B"], out)
    changed = {name for name, time in times(out).items() if time != before[name]}
    assert changed == {"transformer/diffusion_pytorch_model-00002-of-00011.safetensors"}
    humo.load(out, device="cpu")


def test_shards_of_another_source_or_dtype_are_written_anew(
    originals: dict[str, Path], weights: dict[str, Path], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("1.7B", originals["1.7B"], tmp_path / "out", on_bytes=stop)
    other = {name: tensor + 1 for name, tensor in layout.published_state_dict("1.7B").items()}
    torch.save(other, weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    pipeline = humo.load(run("1.7B", weights["1.7B"], tmp_path / "out"), "cpu", torch.float32)
    wanted = load_published_transformer(other).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in pipeline.transformer.state_dict().items())
    with pytest.raises(ValueError, match="out holds a finished conversion of 1.7B in float32"):
        run("1.7B", weights["1.7B"], tmp_path / "out", torch.bfloat16)
    humo.load(tmp_path / "out", device="cpu")


def test_a_folder_with_other_files_is_left_alone(originals: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files: give a new or an empty folder"):
        run("1.7B", originals["1.7B"], tmp_path)
    with pytest.raises(ValueError, match=r"notes.txt is a file: give a folder"):
        run("1.7B", originals["1.7B"], tmp_path / "notes.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("wrap", [lambda s: {"ema": s, "step": 3}, lambda s: {f"module.model.{k}": s[k] for k in s}])
def test_wrapped_checkpoints_are_unwrapped(wrap, weights: dict[str, Path], tmp_path: Path) -> None:
    torch.save(wrap(layout.published_state_dict("1.7B")), weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    run("1.7B", weights["1.7B"], tmp_path / "out")


def test_views_and_wider_floats_are_taken(weights: dict[str, Path], converted: dict[str, Path], tmp_path: Path) -> None:
    tensors = layout.published_state_dict("1.7B")
    flat = torch.cat([tensor.flatten() for tensor in tensors.values()]).double()
    pieces = flat.split([tensor.numel() for tensor in tensors.values()])
    views = {name: piece.view_as(tensors[name]) for name, piece in zip(tensors, pieces, strict=True)}
    torch.save(views, weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    out = run("1.7B", weights["1.7B"], tmp_path / "out")
    for file in (out / "transformer").glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            assert torch.equal(tensor, load_file(converted["1.7B"] / "transformer" / file.name)[name])


def test_extra_tensors_of_ema_are_kept_aside_and_told(
    weights: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"mask_predictor.0.weight": torch.randn(3, 128), "mask_head.bias": torch.randn(3)}
    torch.save({**layout.published_state_dict("1.7B"), **extra}, weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    with caplog.at_level(logging.WARNING):
        out = run("1.7B", weights["1.7B"], tmp_path / "out")
    assert "mask_predictor.0.weight (3, 128), mask_head.bias (3,)" in caplog.text
    kept = load_file(out / EXTRA)
    assert all(torch.equal(kept[name], tensor) for name, tensor in extra.items()) and len(kept) == 2
    assert humo.load(out, device="cpu").focus_head is None
    many = {**extra, "head2.weight": torch.zeros(4001, 5000, dtype=torch.float16)}
    torch.save({**layout.published_state_dict("1.7B"), **many}, weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    with pytest.raises(ValueError, match=r"^3 keys are not one of a published HuMo transformer \('mask_predictor"):
        run("1.7B", weights["1.7B"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


class Malice:
    """Would write a file if it were executed."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_pth_is_never_executed(weights: dict[str, Path], tmp_path: Path) -> None:
    file = weights["1.7B"] / layout.CHECKPOINT["1.7B"]
    harm = tmp_path / "harm"
    for content in ({"a": torch.zeros(2), "b": Malice(harm)}, Malice(harm)):
        torch.save(content, file)
        with pytest.raises(ValueError, match=r"^HuMo-1.7B/ema.pth holds more than tensors .*published file\.$"):
            run("1.7B", weights["1.7B"], tmp_path / "out")
    file.write_bytes(pickle.dumps(Malice(harm)))
    with pytest.raises(ValueError, match="ema.pth is truncated, damaged or no PyTorch file"):
        run("1.7B", weights["1.7B"], tmp_path / "out")
    assert not harm.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.zeros(2)], "holds a list but a dictionary of tensors is wanted"),
        ({"optimizer": {"a": 1}, "step": 2}, "holds a dictionary of 'optimizer', 'step' but a dictionary of tensors"),
        ({}, "holds a dictionary of nothing"),
        ({"patch_embedding.weight": torch.zeros(2, dtype=torch.int8)}, "is int8 but 16 to 64 bit floats are wanted"),
        ({"weight": torch.zeros(2)}, "The state dict lacks 'patch_embedding.weight'"),
    ],
)
def test_a_pth_that_is_no_transformer_is_one_sentence(
    content, words: str, weights: dict[str, Path], tmp_path: Path
) -> None:
    torch.save(content, weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    with pytest.raises(ValueError, match=words):
        run("1.7B", weights["1.7B"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def spoil(tensors: dict[str, torch.Tensor], fault: str) -> dict[str, torch.Tensor]:
    """A state dict with a fault."""
    key = "blocks.1.ffn.2.bias"
    change = {
        "missing": {},
        "shape": {key: torch.zeros(3)},
        "dtype": {key: tensors[key].to(torch.float8_e4m3fn)},
        "unknown": {**tensors, "blocks.1.img_emb.weight": torch.zeros(2)},
    }[fault]
    return {**{name: tensor for name, tensor in tensors.items() if name != key}, **change}


FAULTS = {
    "missing": "lacks 1 of the model's tensors, first 'blocks.1.ffn.net.2.bias'",
    "shape": r"The tensor 'blocks.1.ffn.net.2.bias' is \(3,\) but the model wants \(128,\)",
    "dtype": "is (float8_e4m3fn|F8_E4M3) but 16 to 64 bit floats are wanted",
    "unknown": r"^1 key is not one of a published HuMo transformer \('blocks.1.img_emb.weight'\)",
}


@pytest.mark.parametrize(
    ("preset", "fault"), [*(("17B", fault) for fault in FAULTS), *(("1.7B", fault) for fault in list(FAULTS)[:3])]
)
def test_faults_of_the_transformer_are_one_sentence(
    preset: str, fault: str, weights: dict[str, Path], tmp_path: Path
) -> None:
    tensors, file = spoil(layout.published_state_dict(preset), fault), weights[preset] / layout.CHECKPOINT[preset]
    if preset == "1.7B":
        torch.save(tensors, file)
    else:
        layout.write_index(file.parent, "humo", tensors)
    with pytest.raises(ValueError, match=FAULTS[fault]):
        run(preset, weights[preset], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def cut(file: Path) -> None:
    """Leave a half-downloaded file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("preset", "file", "words"),
    [
        ("1.7B", "HuMo/HuMo-1.7B/ema.pth", "HuMo-1.7B/ema.pth is truncated"),
        ("17B", "HuMo/HuMo-17B/humo-00002-of-00003.safetensors", "HuMo-17B/humo-00002-of-.* is truncated"),
        ("17B", "HuMo/HuMo-17B/humo.safetensors.index.json", "humo.safetensors.index.json is damaged"),
        ("17B", "whisper-large-v3/model.safetensors", "whisper-large-v3/model.safetensors is truncated"),
        ("17B", "whisper-large-v3/config.json", "whisper-large-v3/config.json is damaged"),
        ("17B", "whisper-large-v3/preprocessor_config.json", "preprocessor_config.json is damaged"),
        ("17B", "Wan2.1-T2V-1.3B-Diffusers/vae/diffusion_pytorch_model.safetensors", "vae/.* is truncated"),
        (
            "17B",
            "Wan2.1-T2V-1.3B-Diffusers/text_encoder/model-00002-of-00006.safetensors",
            "text_encoder/model-0.*cated",
        ),
        ("17B", "Wan2.1-T2V-1.3B-Diffusers/text_encoder/config.json", "text_encoder/config.json is damaged"),
        ("17B", "Wan2.1-T2V-1.3B-Diffusers/tokenizer/tokenizer.json", "tokenizer is damaged"),
    ],
)
def test_half_downloaded_files_are_one_sentence(
    preset: str, file: str, words: str, weights: dict[str, Path], tmp_path: Path
) -> None:
    cut(weights[preset] / file)
    with pytest.raises(ValueError, match=f"{words}.*fetch it again"):
        run(preset, weights[preset], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shard_without_a_tensor_of_the_index_is_told(weights: dict[str, Path], tmp_path: Path) -> None:
    file = weights["17B"] / "HuMo/HuMo-17B/humo-00001-of-00003.safetensors"
    tensors = load_file(file)
    lost = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, file)
    with pytest.raises(ValueError, match=f"humo-00001-of-00003.safetensors lacks the tensor '{lost}'"):
        run("17B", weights["17B"], tmp_path / "out")


def test_an_index_cannot_reach_outside_its_folder(weights: dict[str, Path], tmp_path: Path) -> None:
    index = weights["17B"] / layout.CHECKPOINT["17B"]
    index.write_text(json.dumps({"weight_map": {"a": "../../../elsewhere.safetensors"}}))
    with pytest.raises(ValueError, match="names '../../../elsewhere.safetensors', which is not a file beside it"):
        run("17B", weights["17B"], tmp_path / "out")


def test_parts_that_do_not_fit_are_told(weights: dict[str, Path], tmp_path: Path) -> None:
    folder = weights["17B"]
    torch.save(layout.published_state_dict("17B"), weights["1.7B"] / layout.CHECKPOINT["1.7B"])
    with pytest.raises(ValueError, match="has 12 input channels but the 1.7B form has 4: give the other preset"):
        run("1.7B", weights["1.7B"], tmp_path / "out")
    config = folder / "Wan2.1-T2V-1.3B-Diffusers/vae/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "z_dim": 16}))
    with pytest.raises(ValueError, match="The video codec has 16 channels but the transformer takes 4"):
        run("17B", folder, tmp_path / "out")


def test_parts_that_lack_a_tensor_are_told(weights: dict[str, Path], tmp_path: Path) -> None:
    wan = weights["17B"] / "Wan2.1-T2V-1.3B-Diffusers"
    for part, name in (("vae", "decoder.conv_in.bias"), ("text_encoder", "encoder.final_layer_norm.weight")):
        for file in (wan / part).glob("*.safetensors"):
            kept = {key: tensor for key, tensor in load_file(file).items() if key != name}
            save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks the tensor 'encoder.final_layer_norm.weight'"):
        run("17B", weights["17B"], tmp_path / "out")
    shutil.rmtree(wan / "text_encoder")
    tiny.text_encoder().save_pretrained(wan / "text_encoder")
    with pytest.raises(ValueError, match="vae lacks the tensor 'decoder.conv_in.bias': fetch it again"):
        run("17B", weights["17B"], tmp_path / "out")


def test_the_command(originals: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = f"convert --preset 1.7B --source {originals['1.7B']} --out {tmp_path / 'small'}"
    assert main(arguments.split()) == 0
    shown = capsys.readouterr()
    assert "small is whole: humo.load('" in shown.out and "converting 1.7B: 100%" in shown.err
    assert humo.load(tmp_path / "small", device="cpu").transformer.config.num_layers == 2
    assert main(f"convert --preset 17B --source {originals['1.7B']} --out {tmp_path / 'large'}".split()) == 2
    assert "weights lacks HuMo/HuMo-17B/humo.safetensors.index.json" in capsys.readouterr().err
    assert main(["convert", "--preset", "2B", "--source", str(tmp_path)]) == 2
    assert "There is no published model '2B': give '1.7B' or '17B'." in capsys.readouterr().err
