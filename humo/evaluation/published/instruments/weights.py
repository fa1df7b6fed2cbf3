"""Weights of the instruments: which files, how large, where from, and whether they are the right ones.

They lie in one folder, chosen by the caller. Nothing is downloaded unless it is asked for, and then the sizes are told
before. A file whose SHA-256 is known is compared with it once; what is read from a pickle is read with
`weights_only=True`, so that it cannot run code.

The standard library fetches them. pooch 1.9 does not do it as well: it compares whole digests only, while one file's
source states eight digits, takes no file:// for a mirror on a disk, and its errors name a pool of connections.
"""

from __future__ import annotations

import hashlib
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from humo.loading.published.sources import gigabytes
from humo.system.digests import digest_file
from humo.system.files import atomic_write

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)
Part = TypeVar("Part")
Network = TypeVar("Network", bound=nn.Module)
Pretrained = TypeVar("Pretrained", bound="PreTrainedModel")
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """One file of an instrument."""

    path: str
    """Within the weights' folder."""
    num_bytes: int
    """Its size; approximate unless `sha256` is known."""
    url: str
    """Where it is published."""
    sha256: str | None = None
    """Or its first digits, where the published name carries them; None where no source states it."""
    licence: str = "see its source"
    """Of the weights, not of our code."""


def hub_files(
    repository: str,
    revision: str,
    folder: str,
    files: dict[str, int],
    licence: str,
    known: dict[str, str] | None = None,
) -> tuple[WeightsFile, ...]:
    """Files of one repository of the Hugging Face Hub at one revision.

    Args:
        repository: owner and name.
        revision: commit.
        folder: their folder within the weights' folder.
        files: name: bytes.
        licence: of the weights.
        known: name: SHA-256, where a source states it.
    """
    base = f"https://huggingface.co/{repository}/resolve/{revision}"
    return tuple(
        WeightsFile(
            path=f"{folder}/{name}",
            num_bytes=size,
            url=f"{base}/{name}",
            sha256=(known or {}).get(name),
            licence=licence,
        )
        for name, size in files.items()
    )


@dataclass
class Weights:
    """A folder of weights, the device on which instruments compute, and the networks that several of them share."""

    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    is_verified: bool = True
    """Whether a file must be the published one; False takes weights of one's own, in the same form."""
    _parts: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, make: Callable[[], Part]) -> Part:
        """A part that is made by the first who asks for it."""
        if name not in self._parts:
            self._parts[name] = make()
        return self._parts[name]

    def release(self) -> None:
        """Forget all parts, so that the memory is free for the next instrument."""
        self._parts.clear()

    def require(self, metric: str, files: Iterable[WeightsFile], packages: Iterable[str] = ()) -> None:
        """See that what a metric needs is here and whole.

        Args:
            metric: its name, for the sentence.
            files: that it reads.
            packages: that it imports.

        Raises:
            ValueError: if something is missing or damaged; which, how large, and how to get it.
        """
        if absent := [name for name in packages if find_spec(name.partition(":")[0]) is None]:
            wanted = " ".join(name.partition(":")[2] or name for name in absent)
            raise ValueError(f"{metric} needs a package that is missing: pip install {wanted}.")
        files = tuple(files)
        if lacking := [file for file in files if not (self.folder / file.path).is_file()]:
            raise ValueError(
                f"{metric} needs {', '.join(describe(lacking))}, missing in the weights' folder "
                f"{self.folder.name}: add --download, or put there what {', '.join(sources(lacking))} holds."
            )
        for file in files:
            self.once(f"checked {file.path}", lambda: self._check(file))  # noqa: B023

    def pretrained(self, model: type[Pretrained], folder: str, **options: Any) -> Pretrained:
        """A model of transformers from a folder of the weights' folder, ready to compute.

        Args:
            model: its class.
            folder: with config.json and the weights.
            options: for `from_pretrained`.

        Raises:
            ValueError: if it cannot be read, or weights of the model are missing in it.
        """
        try:
            load: Any = model.from_pretrained  # with the loading's info it returns a pair
            made, state_dict = load(
                str(self.folder / folder), local_files_only=True, weights_only=True, output_loading_info=True, **options
            )
        except Exception as error:  # transformers raises many kinds on damaged folders
            reason = str(error).partition("\n")[0][:120]
            raise ValueError(f"{folder} cannot be loaded ({reason}): fetch the folder again.") from None
        if lacking := sorted(state_dict["missing_keys"]):
            raise ValueError(f"{folder} lacks {len(lacking)} tensors such as {lacking[0]}: fetch the folder again.")
        return made.to(self.device).eval().requires_grad_(False)

    def state_dict(self, file: WeightsFile) -> dict[str, Tensor]:
        """The tensors of a file: safetensors, or a pickle read with `weights_only=True`.

        Raises:
            ValueError: if it is damaged or holds anything but tensors.
        """
        path = self.folder / file.path
        try:
            if path.suffix == ".safetensors":
                return load_file(path)
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch and safetensors raise many kinds on damaged files
            kind = type(error).__name__
            raise ValueError(f"{path.name} cannot be read as weights ({kind}): fetch it again.") from None
        if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
            raise ValueError(f"{path.name} holds more than named tensors: fetch it from {file.url}.")
        return {name.removeprefix("module."): value for name, value in state_dict.items()}

    def fill(self, network: Network, file: WeightsFile, state_dict: dict[str, Tensor]) -> Network:
        """Load tensors into a network, ready to compute: on the device, in float32, for inference.

        Args:
            network: whose names the tensors bear.
            file: where they are from, for the sentence.
            state_dict: tensors by name.

        Raises:
            ValueError: if a tensor is missing, left over, or of another shape.
        """
        state_dict = {name: value.float() for name, value in state_dict.items()}
        wanted = network.state_dict()
        # Counters that batch norm keeps for training are left out of many files, and mean nothing here.
        state_dict = {name: value for name, value in state_dict.items() if not name.endswith("num_batches_tracked")}
        wanted = {name: value for name, value in wanted.items() if not name.endswith("num_batches_tracked")}
        wrong = sorted(wanted.keys() ^ state_dict.keys())
        wrong += sorted(
            name for name in wanted.keys() & state_dict.keys() if wanted[name].shape != state_dict[name].shape
        )
        if wrong:
            raise ValueError(
                f"{Path(file.path).name} does not fit {type(network).__name__}: {len(wrong)} tensors such as "
                f"{wrong[0]} differ; take the file from {file.url}."
            )
        network.load_state_dict(state_dict, strict=False)
        return network.to(self.device).eval().requires_grad_(False)

    def _check(self, file: WeightsFile) -> None:
        if file.sha256 is None or not self.is_verified:
            return
        path = self.folder / file.path
        note = path.with_name(path.name + ".checked.json")
        stamp = [path.stat().st_size, path.stat().st_mtime_ns, file.sha256]
        if note.is_file() and note.read_text(encoding="utf-8") == json.dumps(stamp):
            return
        if not (found := digest_file(path)).startswith(file.sha256):
            raise ValueError(
                f"{path.name} has SHA-256 {found[:12]}..., not {file.sha256[:12]}...: fetch it from {file.url}."
            )
        try:
            note.write_text(json.dumps(stamp), encoding="utf-8")
        except OSError:  # a folder that may only be read is checked every time
            logger.info("The check of %s cannot be noted beside it.", path.name)


def describe(files: Iterable[WeightsFile]) -> list[str]:
    """Names and sizes in words, a folder's files as one."""
    sizes: dict[str, int] = {}
    for file in files:
        folder, slash, name = file.path.rpartition("/")
        sizes[f"{folder}/" if slash else name] = sizes.get(f"{folder}/" if slash else name, 0) + file.num_bytes
    return [f"{name} ({gigabytes(size)})" for name, size in sizes.items()]


def fetch(files: Iterable[WeightsFile], folder: Path) -> None:
    """Download what is missing; sizes are told before, and a file appears whole and checked or not at all.

    Args:
        files: wanted ones.
        folder: of the weights; made if needed.

    Raises:
        ValueError: if a source cannot be reached or gives something else.
    """
    missing = {file.path: file for file in files if not (folder / file.path).is_file()}
    if not missing:
        return
    total = sum(file.num_bytes for file in missing.values())
    named = ", ".join(describe(missing.values()))
    logger.warning("Downloading %s of weights into %s: %s.", gigabytes(total), folder.name, named)
    for file in missing.values():
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as part:
            _download(file, part)


def _download(file: WeightsFile, part: Path) -> None:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(file.url, timeout=60) as answer, part.open("wb") as out:
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(
            f"{_name(file)} cannot be fetched ({reason}): connect to the network, or bring it from {file.url}."
        ) from None
    if file.sha256 is not None and not digest.hexdigest().startswith(file.sha256):
        raise ValueError(f"{file.url} gave another file than the known one: bring {_name(file)} from elsewhere.")


def _name(file: WeightsFile) -> str:
    return f"{file.path} ({gigabytes(file.num_bytes)})"


def sources(files: Iterable[WeightsFile]) -> list[str]:
    """The files' addresses; of a whole repository at one revision its page."""
    return list(
        dict.fromkeys(
            file.url.replace("/resolve/", "/tree/").rpartition("/")[0] if "/" in file.path else file.url
            for file in files
        )
    )
