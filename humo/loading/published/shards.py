"""Weights in files: looked into without reading them, and written shard by shard.

What bears its final name is whole (`humo.system.files`). A finished shard is recognised by its own header: names,
shapes, dtypes, length and the mark of its source.

Source of the layout: safetensors' header and diffusers' naming of shards; the procedure is ours.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from humo.loading.published.pth import can_be_mapped
from humo.system.files import atomic_write, read_object, write_json

SHARD_BYTES = 2_000_000_000
"""Largest shard that is written: what a conversion holds in memory."""
AGAIN = "fetch it again"
_WRAPPERS = ("ema", "state_dict", "model", "module")
_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "module.", "model.", "_orig_mod.")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is still in its file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    """What `read` returns."""
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def to(self, dtype: torch.dtype) -> StoredTensor:
        """The same tensor, cast when it is read."""
        return self if dtype == self.dtype else StoredTensor(self.shape, dtype, lambda: self.read().to(dtype))


def place_of(file: Path) -> str:
    """The last two parts of a path, for sentences."""
    return f"{file.parent.name}/{file.name}"


def read_json(path: Path, remedy: str = AGAIN) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        remedy: what the sentence says to do.

    Raises:
        ValueError: if the file is missing or no JSON object.
    """
    if not path.is_file():
        raise ValueError(f"{place_of(path)} is missing: {remedy}.")
    value = read_object(path)
    if value is None:
        raise ValueError(f"{place_of(path)} is damaged: {remedy}.")
    return value


def shards_of_index(index: Path, remedy: str = AGAIN) -> list[Path]:
    """The shards that an index names, sorted.

    Raises:
        ValueError: if the index is missing, damaged, or names a file outside its own folder.
    """
    weight_map = read_json(index, remedy).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{place_of(index)} is damaged: {remedy}.")
    names = sorted(set(map(str, weight_map.values())))
    if foreign := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{place_of(index)} names {foreign[0]!r}, which is not a file beside it: {remedy}.")
    return [index.parent / name for name in names]


def open_safetensors(
    file: Path, remedy: str = AGAIN, also: Mapping[str, torch.dtype] = MappingProxyType({})
) -> dict[str, StoredTensor]:
    """Look into a safetensors file, or into all shards of an index (`*.index.json`).

    Args:
        file: the file or the index.
        remedy: what the sentences say to do.
        also: dtypes that are allowed besides 16 to 64 bit floats, by safetensors' names.

    Returns:
        The tensors by name.

    Raises:
        ValueError: if a file is missing or truncated, holds a dtype that is not allowed, or other tensors than the
            index says.
    """
    if not file.name.endswith(".index.json"):
        return _open_one(file, remedy, also)
    tensors: dict[str, StoredTensor] = {}
    for shard in shards_of_index(file, remedy):
        tensors |= _open_one(shard, remedy, also)
    weight_map = read_json(file, remedy)["weight_map"]
    if absent := sorted(weight_map.keys() - tensors.keys()):
        raise ValueError(
            f"{weight_map[absent[0]]} lacks the tensor {absent[0]!r} that {file.name} places there: {remedy}."
        )
    return tensors


def open_pth(file: Path) -> dict[str, StoredTensor]:
    """Look into a file that `torch.save` wrote; nothing in it is executed, and its tensors stay on the disk.

    A file in the format of before torch 1.6 cannot be mapped: its tensors are read into memory, all at once.
    The tensors may lie one level deep, under "ema", "state_dict", "model" or "module".

    Args:
        file: the .pth file.

    Returns:
        The tensors by name, without the prefixes that all of them share.

    Raises:
        ValueError: if the file is missing, truncated, cannot be read without executing it, or holds anything but a
            dictionary of floating tensors.

    Source: the released 1.7B file is read with `torch.load(mmap=True)` by the released code, as a plain state dict;
    the wrappings and the older format are ours, in case it changes.
    """
    if not file.is_file():
        raise ValueError(f"{place_of(file)} is missing: {AGAIN}.")
    is_mapped = can_be_mapped(file, place_of(file), AGAIN)
    try:
        with warnings.catch_warnings(action="ignore"):  # of a pickle protocol that it then reads
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{place_of(file)} holds more than tensors and was not opened any further: give the published file."
        ) from None
    except Exception:  # a damaged pickle goes wrong in any way
        raise ValueError(f"{place_of(file)} is truncated, damaged or no PyTorch file: {AGAIN}.") from None
    tensors = strip_prefixes(_unwrap(content, file))
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES.values():
            raise ValueError(
                f"The tensor {name!r} of {place_of(file)} is {_dtype_name(tensor.dtype)} but 16 to 64 bit floats are "
                "wanted: give the published file."
            )
    return {name: StoredTensor(tuple(t.shape), t.dtype, t.detach) for name, t in tensors.items()}


def strip_prefixes(tensors: dict[str, Any]) -> dict[str, Any]:
    """Take off what all names begin with, as modules' wrappers and ComfyUI add it: `model.diffusion_model.`."""
    while prefix := next((p for p in _PREFIXES if tensors and all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def check_weights(folder: Path, remedy: str = AGAIN) -> list[Path]:
    """Every weight file of a folder is there and as long as its own header says.

    Args:
        folder: of one component, in diffusers' or transformers' layout.
        remedy: what the sentences say to do.

    Returns:
        The weight files, sorted.

    Raises:
        ValueError: if a file is missing or truncated.
    """
    indices = list(folder.glob("*.safetensors.index.json"))
    shards = {shard for index in indices for shard in shards_of_index(index, remedy)}
    files = sorted(shards or folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder.name} has no weights (*.safetensors): {remedy}.")
    for file in files:
        with _opened(file, remedy):
            pass
    return files


def write_shards(
    tensors: Mapping[str, StoredTensor],
    folder: Path,
    stem: str,
    source: str,
    max_bytes: int = SHARD_BYTES,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> None:
    """Write tensors as safetensors shards with an index, keeping those that a broken-off run finished.

    Args:
        tensors: by name, in the order in which they are written.
        folder: where to; it is made.
        stem: beginning of the names, "diffusion_pytorch_model" or "model".
        source: mark of where the tensors come from; a shard with another mark is written anew.
        max_bytes: largest shard; one tensor alone may be larger.
        on_bytes: told of the bytes done after each shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(tensors, max_bytes)
    weight_map: dict[str, str] = {}
    for number, names in enumerate(plan, start=1):
        part = f"-{number:05d}-of-{len(plan):05d}" if len(plan) > 1 else ""
        file = folder / f"{stem}{part}.safetensors"
        shard = {name: tensors[name] for name in names}
        if not is_finished(file, shard, source):
            with atomic_write(file) as temporary:
                loaded = {name: _own(tensor.read()) for name, tensor in shard.items()}
                save_file(loaded, temporary, metadata={"format": "pt", "source": source})
                del loaded
        weight_map |= dict.fromkeys(names, file.name)
        on_bytes(sum(tensor.nbytes for tensor in shard.values()))
    index = folder / f"{stem}.safetensors.index.json"
    wanted = {*weight_map.values(), index.name} if len(plan) > 1 else set(weight_map.values())
    for stale in {*folder.glob(f"{stem}*.safetensors"), *folder.glob(f"{stem}*.safetensors.index.json")}:
        if stale.name not in wanted:
            stale.unlink()
    if len(plan) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        write_json(index, {"metadata": {"total_size": total}, "weight_map": weight_map}, sort_keys=True)


def is_finished(file: Path, shard: Mapping[str, StoredTensor], source: str) -> bool:
    """Whether a shard is whole and what is to be written, by its header."""
    if not file.is_file():
        return False
    try:
        with safe_open(file, framework="pt") as opened:
            if (opened.metadata() or {}).get("source") != source or set(opened.keys()) != set(shard):
                return False
            slices = {name: opened.get_slice(name) for name in shard}
            return all(
                (tuple(s.get_shape()), _DTYPES.get(s.get_dtype())) == (shard[name].shape, shard[name].dtype)
                for name, s in slices.items()
            )
    except (SafetensorError, OSError):
        return False


def _plan(tensors: Mapping[str, StoredTensor], max_bytes: int) -> list[list[str]]:
    """Names of each shard, filled in order."""
    plan: list[list[str]] = []
    filled = 0
    for name, tensor in tensors.items():
        if not plan or filled + tensor.nbytes > max_bytes:
            plan.append([])
            filled = 0
        plan[-1].append(name)
        filled += tensor.nbytes
    return plan


@contextmanager
def _opened(file: Path, remedy: str) -> Iterator[Any]:
    """An open safetensors file; one sentence if it is none."""
    if not file.is_file():
        raise ValueError(f"{place_of(file)} is missing: {remedy}.")
    try:
        opened = safe_open(file, framework="pt")
    except (SafetensorError, OSError):
        raise ValueError(f"{place_of(file)} is truncated or damaged: {remedy}.") from None
    with opened:
        yield opened


def _open_one(file: Path, remedy: str, also: Mapping[str, torch.dtype]) -> dict[str, StoredTensor]:
    tensors, dtypes = {}, {**_DTYPES, **also}
    with _opened(file, remedy) as opened:
        for name in opened.keys():  # noqa: SIM118 (not a mapping)
            stored = opened.get_slice(name)
            if stored.get_dtype() not in dtypes:
                raise ValueError(
                    f"The tensor {name!r} of {place_of(file)} is {stored.get_dtype()} but 16 to 64 bit floats are "
                    "wanted: give the published file."
                )
            shape = tuple(stored.get_shape())
            tensors[name] = StoredTensor(shape, dtypes[stored.get_dtype()], _reader(file, name))
    return tensors


def _reader(file: Path, name: str) -> Callable[[], Tensor]:
    def read() -> Tensor:
        with safe_open(file, framework="pt") as opened:
            return opened.get_tensor(name)

    return read


def _unwrap(content: Any, file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in what a .pth held."""
    if isinstance(content, dict):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), content)
        if inner and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in inner.items()):
            return inner
        held = "a dictionary of " + (", ".join(map(repr, list(content)[:5])) or "nothing")
    else:
        held = f"a {type(content).__name__}"
    raise ValueError(
        f"{place_of(file)} holds {held} but a dictionary of tensors is wanted, plain or under 'ema': "
        "give the published file."
    )


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _own(tensor: Tensor) -> Tensor:
    """A copy in memory of its own: tensors of a .pth may be views of one storage, which safetensors refuses."""
    return tensor.clone(memory_format=torch.contiguous_format)
