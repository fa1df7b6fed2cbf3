"""The folders in which converted models are kept: which dtypes need one, who writes it, and what is refused."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import layout
import pytest
import torch
from safetensors.torch import load_file

import humo
from humo.checkpoints import load_published_transformer
from humo.loading.published.conversion import LOCK, convert, converted_folder, find_converted
from humo.loading.published.matching import match_transformer
from humo.loading.published.presets import PRESETS, get_preset
from humo.loading.published.sources import find_sources

PRESET = replace(get_preset("1.7B"), num_parameters={"transformer": 1_000_000})
"""Whose files are tiny, and so is the memory that they take."""
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout of the 1.7B, in float32."""
    return layout.write(tmp_path_factory.mktemp("1.7B"), "1.7B")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face home on a computer without a network."""
    monkeypatch.setitem(PRESETS, "1.7B", PRESET)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def fill_cache(home: Path, weights: Path) -> None:
    """Let the Hub's cache hold the published files."""
    for repository in PRESET.repositories:
        snapshots = home / "hub" / f"models--{repository.name.replace('/', '--')}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / repository.revision).symlink_to(weights / repository.folder)


def folders(home: Path) -> list[str]:
    """Ends of the names of the converted folders."""
    return sorted(folder.name.removeprefix("1.7B-3a4a1610-") for folder in (home / "humo").iterdir())


def assert_rounded_once(transformer: torch.nn.Module, weights: Path, dtype: torch.dtype) -> None:
    """A loaded transformer holds the published values, rounded to its dtype and nothing else."""
    published = torch.load(weights / layout.CHECKPOINT["1.7B"], weights_only=True)
    wanted = load_published_transformer(published).state_dict()
    for name, tensor in transformer.state_dict().items():
        torch.testing.assert_close(tensor, wanted[name].to(tensor.dtype), rtol=0, atol=0)
    assert transformer.patch_embedding.weight.dtype == dtype


@pytest.mark.slow
def test_float32_is_what_was_published_and_bfloat16_takes_no_more_than_it_needs(home: Path, weights: Path) -> None:
    fill_cache(home, weights)
    for dtype in (torch.bfloat16, torch.float32):
        pipeline = humo.load("1.7B", device="cpu", dtype=dtype)
        assert_rounded_once(pipeline.transformer, weights, dtype)
        if dtype == torch.bfloat16:
            assert folders(home) == ["bfloat16"]
            (file,) = (converted_folder(PRESET, dtype) / "transformer").glob("*.safetensors")
            assert load_file(file)["patch_embedding.weight"].dtype == torch.bfloat16
    assert folders(home) == ["bfloat16", "float32"]


@pytest.mark.slow
def test_a_folder_as_it_was_published_serves_every_dtype(home: Path, weights: Path) -> None:
    fill_cache(home, weights)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        assert_rounded_once(humo.load("1.7B", device="cpu", dtype=dtype).transformer, weights, dtype)
    assert folders(home) == ["float32"]


def test_a_model_published_in_16_bits_is_not_widened(home: Path, weights: Path) -> None:
    narrow = Path(shutil.copytree(weights, home / "weights"))
    tensors = {name: tensor.bfloat16() for name, tensor in layout.published_state_dict("1.7B").items()}
    torch.save(tensors, narrow / layout.CHECKPOINT["1.7B"])
    fill_cache(home, narrow)
    for dtype in (torch.float32, torch.float16):
        assert_rounded_once(humo.load("1.7B", device="cpu", dtype=dtype).transformer, narrow, dtype)
    assert folders(home) == ["bfloat16"]


def test_the_command_converts_what_load_will_take(
    home: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from humo.__main__ import main

    usual = humo.checkpoints.default_dtype()
    assert main(["convert", "--preset", "1.7B", "--source", str(weights)]) == 0
    assert "humo.load('1.7B')\n" in capsys.readouterr().out
    assert find_converted(PRESET, usual) == converted_folder(PRESET, usual)
    assert main(["convert", "--preset", "1.7B", "--source", str(weights), "--dtype", "float16"]) == 0
    assert "humo.load('1.7B', dtype=torch.float16)\n" in capsys.readouterr().out
    assert converted_folder(PRESET, torch.float16).is_dir()


class Answer(logging.Handler):
    """Does something as soon as something is told, and notes what."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act, self.told = act, []
        logging.getLogger("humo.system.files").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note and act."""
        self.told.append(record.getMessage())
        self.act()

    def close(self) -> None:
        """Hear no more."""
        logging.getLogger("humo.system.files").removeHandler(self)
        super().close()


def convert_slowly(weights: Path, out: Path, inside, go) -> None:
    """In another process: convert, but stop after the first shard until told to go on."""

    def wait(done: int, total: int) -> None:
        inside.set()
        assert go.wait(300)

    convert(PRESET, find_sources(PRESET, weights), out, torch.float32, 100_000, wait)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["finishes", "is killed"])
def test_the_second_process_waits_for_the_first(end: str, home: Path, weights: Path) -> None:
    fill_cache(home, weights)
    out = converted_folder(PRESET, torch.float32)
    inside, go = SPAWN.Event(), SPAWN.Event()
    other = SPAWN.Process(target=convert_slowly, args=(weights, out, inside, go))
    other.start()
    assert inside.wait(300)
    first = {file: file.stat().st_mtime_ns for file in (out / "transformer").glob("*.safetensors")}
    answer = Answer(go.set if end == "finishes" else other.kill)
    pipeline = humo.load("1.7B", device="cpu", dtype=torch.float32)
    answer.close()
    other.join()
    assert answer.told == [f"Another process is converting into {out.name}: waiting for it."]
    assert_rounded_once(pipeline.transformer, weights, torch.float32)
    assert (other.exitcode == 0) == (end == "finishes")
    assert (len(list((out / "transformer").glob("*.safetensors"))) > 10) == (end == "finishes")  # whose shards they are
    assert (end == "is killed") or all(file.stat().st_mtime_ns == time for file, time in first.items())
    assert not list(out.rglob("*.part")) and not list((out / "transformer").glob(".*"))


def test_the_lock_is_no_foreign_file(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK).touch()  # of a process that was killed at once
    sources = find_sources(PRESET, weights)
    convert(PRESET, sources, out, torch.float32)
    assert (out / LOCK).is_file()
    told = []
    convert(PRESET, sources, out, torch.float32, on_bytes=lambda *progress: told.append(progress))
    assert len(told) > 1, "a finished folder is looked through"
    told.clear()
    convert(PRESET, sources, out, torch.float32, on_bytes=lambda *progress: told.append(progress), verify=False)
    assert len(told) == 1, "but not by load, for another process may be reading it"
    humo.load(out, device="cpu")


@pytest.mark.parametrize("name", ["blocks.1.mask.bias", "patch_embedding.mask", "head.mask", "proj_out.mask"])
def test_extra_tensors_within_the_models_own_parts_are_refused(name: str, tmp_path: Path) -> None:
    tensors = {**layout.published_state_dict("1.7B"), "mask_predictor.bias": torch.zeros(2), name: torch.zeros(3)}
    torch.save(tensors, tmp_path / "ema.pth")
    with pytest.raises(ValueError, match=rf"^1 key is not one of a published HuMo transformer \('{name}'\)"):
        match_transformer(tmp_path / "ema.pth", torch.float32)
