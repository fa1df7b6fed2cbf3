"""What a .pth is, before torch opens it: its format by its first bytes, and whether it can be read unexecuted.

torch.save has written three formats: a tar until PyTorch 0.1.10, a row of pickles followed by the numbers until 1.6,
and a zip since, whose tensors can stay on the disk. `torch.load(weights_only=True)` reads the last two, pickled by
protocol 2 or 3. All of this file is ours.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path

import psutil

_ZIP = b"PK\x03\x04"
_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
"""The number with which the row of pickles begins, as it lies in the file."""
_NEAR = 32
"""Bytes within which it stands."""
_TAR = b"ustar"
_TAR_AT = 257
_NUM_PICKLES = 5
"""Magic number, protocol, system, the object, the keys of its storages."""
_NEWEST_PROTOCOL = 3
_SAVE = "load it where it came from and save its state_dict() with torch.save"


def is_pth(file: Path) -> bool:
    """Whether a file is one that `torch.save` wrote in one of the two formats that are read, by its first bytes."""
    with file.open("rb") as opened:
        head = opened.read(_NEAR)
    return head.startswith(_ZIP) or _MAGIC in head


def can_be_mapped(file: Path, name: str, remedy: str) -> bool:
    """Whether a .pth is a zip, whose tensors can stay on the disk, or in the format before it.

    Args:
        file: the .pth file.
        name: of the file, for the sentences.
        remedy: what they say to do if the file is damaged.

    Raises:
        ValueError: if it is in neither format, would have to be executed, or is larger than the memory into which it
            has to be read.
    """
    with file.open("rb") as opened:
        head = opened.read(512)
    if head.startswith(_ZIP):
        _check_protocol(_first_of_zip(file, name), name)
        return True
    if head[_TAR_AT:].startswith(_TAR):
        raise _unsafe(name, "is in the format of before PyTorch 0.1.10")
    if _MAGIC not in head[:_NEAR] or _is_cut(file):
        raise ValueError(f"{name} is truncated, damaged or no PyTorch file: {remedy}.")
    _check_protocol(head, name)
    size, free = file.stat().st_size, psutil.virtual_memory().available
    if size > free:
        raise ValueError(
            f"{name} is in the format of before PyTorch 1.6, which is read whole: it has {size / 1e9:.1f} GB but "
            f"{free / 1e9:.1f} GB of memory are free: close other programs, or {_SAVE}."
        )
    return False


def _first_of_zip(file: Path, name: str) -> bytes:
    """First bytes of the pickle in the zip; none if it is damaged, which torch finds."""
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.namelist()
            if any(member.endswith("/constants.pkl") for member in members):
                raise _unsafe(name, "is a TorchScript program")
            with packed.open(next(member for member in members if member.endswith("/data.pkl"))) as pickled:
                return pickled.read(2)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, StopIteration):
        return b""


def _check_protocol(head: bytes, name: str) -> None:
    if head[:1] == pickle.PROTO and head[1] > _NEWEST_PROTOCOL:
        raise _unsafe(name, f"was saved with pickle protocol {head[1]}")


def _unsafe(name: str, what: str) -> ValueError:
    return ValueError(f"{name} {what}, which PyTorch does not read without executing what is in it: {_SAVE}.")


def _is_cut(file: Path) -> bool:
    """Whether the row of pickles ends early or is damaged; they are looked through, not executed."""
    with file.open("rb") as opened:
        try:
            for _ in range(_NUM_PICKLES):
                for _ in pickletools.genops(opened):
                    pass
        except Exception:  # a damaged pickle goes wrong in any way
            return True
    return False
