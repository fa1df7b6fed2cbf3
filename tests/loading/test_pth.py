"""Files of torch.save in all its formats: read whole, or refused with the true reason; nothing in them is executed.

Run: python -m pytest tests/loading/test_pth.py
"""

from __future__ import annotations

import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import psutil
import pytest
import torch

from humo.loading.published.shards import open_pth

DAMAGED = "HuMo/ema.pth is truncated, damaged or no PyTorch file: fetch it again."


class Malice:
    """Would write a file if it were executed."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "HuMo").mkdir()
    return tmp_path / "HuMo" / "ema.pth"


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """Of several dtypes, one of them a view."""
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    return {"a.weight": rows, "a.bias": rows[1], "b.weight": torch.ones(5).half(), "c": torch.tensor(2.0).bfloat16()}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"ema": {f"module.{k}": s[k] for k in s}, "step": 3}])
def test_every_format_of_torch_save_is_read(is_zip: bool, protocol: int, wrap, file: Path, tensors: dict) -> None:
    torch.save(wrap(tensors), file, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    opened = open_pth(file)
    assert opened.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert opened[name].dtype == tensor.dtype and opened[name].shape == tuple(tensor.shape)
        assert torch.equal(opened[name].read(), tensor)


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_would_have_to_be_executed_is_not_opened(is_zip: bool, file: Path, tensors: dict, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    torch.save({**tensors, "x": Malice(harm)}, file, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(ValueError, match=r"^HuMo/ema.pth holds more than tensors and was not opened any further"):
        open_pth(file)
    torch.save(tensors, file, pickle_protocol=4, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(
        ValueError, match=r"^HuMo/ema.pth was saved with pickle protocol 4, which .* with torch.save\.$"
    ):
        open_pth(file)
    assert not harm.exists()


def test_other_formats_are_named(file: Path) -> None:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as packed:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            packed.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match=r"^HuMo/ema.pth is in the format of before PyTorch 0\.1\.10, which "):
        open_pth(file)
    with zipfile.ZipFile(file, "w") as packed:  # as torch.jit.save writes it
        for name in ("ema/data.pkl", "ema/constants.pkl", "ema/code/__torch__.py"):
            packed.writestr(name, b"")
    with pytest.raises(
        ValueError, match=r"^HuMo/ema.pth is a TorchScript program, which PyTorch does not read without"
    ):
        open_pth(file)
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=DAMAGED):
        open_pth(file)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_cut_anywhere_is_called_damaged(is_zip: bool, file: Path, tensors: dict) -> None:
    torch.save(tensors, file, _use_new_zipfile_serialization=is_zip)
    whole = file.read_bytes()
    for length in {*range(0, len(whole), 23), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError) as refusal:
            open_pth(file)
        assert str(refusal.value) == DAMAGED, length


def test_a_changed_byte_is_one_sentence(file: Path, tensors: dict) -> None:
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    whole, dice, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(200):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole))] = dice.randrange(256)
        file.write_bytes(changed)
        try:
            open_pth(file)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("HuMo/ema.pth ") or "'" in str(error)
    assert refused > 50


def test_an_older_file_larger_than_the_memory_is_refused(
    file: Path, tensors: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    memory = psutil.virtual_memory()._replace(available=10)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(ValueError, match=r"of before PyTorch 1\.6, which is read whole: it has 0\.0 GB but 0\.0 GB"):
        open_pth(file)
    torch.save(tensors, file)
    assert open_pth(file).keys() == tensors.keys(), "that of today stays on the disk"
