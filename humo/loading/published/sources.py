"""Where the published weights are: which files of which repository at which revision, and how they come here.

A folder in the layout in which the released README has them downloaded is a source as well:

    weights/HuMo/HuMo-1.7B/ema.pth
    weights/HuMo/HuMo-17B/humo.safetensors.index.json and its shards
    weights/Wan2.1-T2V-1.3B-Diffusers/{text_encoder,tokenizer,vae}
    weights/whisper-large-v3/{config.json,preprocessor_config.json,model.safetensors}

The text encoder and the video codec are taken in the diffusers form that Wan-AI publishes beside the original one.
"""

from __future__ import annotations

import logging
import shutil
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import DryRunError, HfHubHTTPError, HTTPError

from humo.loading.published.presets import OTHER_TOKENIZER_FILES, Preset, Repository
from humo.loading.published.shards import shards_of_index
from humo.system.files import exclusive_lock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The published files of one model on this computer."""

    transformer: Path | None
    """The .pth, the index or one safetensors file; None if a file of its own is loaded in its place."""
    wan: Path
    """Folder with text_encoder, tokenizer and vae."""
    whisper: Path
    """Folder with config.json, preprocessor_config.json and the weights."""
    quantised: Path | None = None
    """A quantised transformer, which is put into the folder as it is."""
    given: frozenset[str] = frozenset()
    """Parts that are not taken from here, such as "text_encoder", for they lie in files of their own."""


def find_sources(preset: Preset, folder: Path) -> Sources:
    """Find the published files in a folder that has the published layout.

    Args:
        preset: the model.
        folder: `weights` above.

    Returns:
        Where its files are.

    Raises:
        ValueError: if one is missing; the sentence lists what is, and how large it is.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder.name!r}: give the one that holds {_layout(preset)}.")
    places = [folder / repository.folder for repository in preset.repositories]
    lacking = _describe_lacking(preset, places)
    if lacking:
        hint = ""
        if (folder / "Wan2.1-T2V-1.3B").is_dir() and not places[1].is_dir():
            hint = f" (Wan2.1-T2V-1.3B holds the original form; {preset.repositories[1].name} is wanted)"
        raise ValueError(f"{folder.name} lacks {lacking}{hint}: download them there from {_repositories(preset)}.")
    return _sources(preset, places)


def find_downloaded(preset: Preset, cache: Path | None = None) -> Sources | None:
    """Find the published files in the Hub's cache.

    Args:
        preset: the model.
        cache: the Hub's cache folder; default its own.

    Returns:
        Where its files are; None if one is missing.
    """
    places = [_snapshot(repository, cache) for repository in preset.repositories]
    return None if _describe_lacking(preset, places) else _sources(preset, places)


def check_download(preset: Preset, cache: Path | None = None, endpoint: str | None = None) -> int:
    """Ask the Hub how much is still to be downloaded, and see whether the disk can hold it.

    Args:
        preset: the model.
        cache: the Hub's cache folder; default its own.
        endpoint: address of the Hub; default its own.

    Returns:
        Bytes.

    Raises:
        ValueError: if the Hub cannot be reached, with the files and their sizes, or the disk is too small.
    """
    num_bytes, answer = 0, "" if _is_reachable(endpoint) else "cannot be reached"
    try:
        for repository in _wanted(preset) if not answer else ():
            files = _snapshot_download(repository, cache, endpoint, dry_run=True)
            num_bytes += sum(file.file_size or 0 for file in files if file.will_download)
    except DryRunError:
        answer = "cannot be reached"
    except HfHubHTTPError:
        answer = "refuses"
    except (HTTPError, OSError):  # the Hub's client lets its HTTP library's errors through, which are no OSErrors
        answer = "does not answer as it should"
    if answer:
        places = [_snapshot(repository, cache) for repository in preset.repositories]
        lacking, whence = _describe_lacking(preset, places), _repositories(preset)
        if preset.given:
            raise ValueError(
                f"A {preset.name} transformer from a file needs parts around it that are not on this computer, and the "
                f"Hugging Face Hub {answer}: bring {lacking} from {whence}, and put them together with `python -m humo "
                "convert --transformer FILE --source FOLDER --out FOLDER`."
            )
        raise ValueError(
            f"The published model {preset.name!r} is not on this computer and the Hugging Face Hub {answer}: "
            f"bring {lacking} from {whence}, and convert them with "
            f"`python -m humo convert --preset {preset.name} --source FOLDER`."
        )
    folder = next(path for path in (_cache(cache), *_cache(cache).parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ValueError(
            f"The download needs {gigabytes(num_bytes)} on the disk but {gigabytes(free)} are free: "
            "make room or set HF_HOME to a larger disk."
        )
    return num_bytes


def download(preset: Preset, cache: Path | None = None, endpoint: str | None = None) -> Sources:
    """Download the published files from the Hub; a broken-off download is resumed, and of several processes that
    want the same files one downloads them while the others wait.

    Args:
        preset: the model.
        cache: the Hub's cache folder; default its own.
        endpoint: address of the Hub; default its own.

    Returns:
        Where the files are.

    Raises:
        ValueError: if the Hub cannot be reached or the disk is too small.
    """
    lock = _cache(cache) / ".locks" / f"humo-{preset.name}.lock"
    with exclusive_lock(lock, f"Another process is downloading the published {preset.name}: waiting for it."):
        return find_downloaded(preset, cache) or _download(preset, cache, endpoint)


def _download(preset: Preset, cache: Path | None, endpoint: str | None) -> Sources:
    num_bytes = check_download(preset, cache, endpoint)
    logger.warning(
        "Downloading the published %s: %s from %s.", preset.name, gigabytes(num_bytes), _repositories(preset)
    )
    try:
        for repository in _wanted(preset):
            _snapshot_download(repository, cache, endpoint)
    except (HTTPError, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"The download broke off ({reason}): start it again, what is here is kept.") from error
    places = [_snapshot(repository, cache) for repository in preset.repositories]
    if lacking := _describe_lacking(preset, places):
        raise ValueError(f"After the download {lacking} are still missing: the repositories have changed, tell us.")
    return _sources(preset, places)


def gigabytes(num_bytes: float) -> str:
    """A size in words, decimal as disks are sold and the Hub counts: "7.0 GB", "340 kB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            value = num_bytes / size
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{num_bytes:.0f} bytes"


def _snapshot_download(repository: Repository, cache: Path | None, endpoint: str | None, dry_run: bool = False) -> Any:
    return huggingface_hub.snapshot_download(
        repository.name,
        revision=repository.revision,
        allow_patterns=[*repository.files, *repository.patterns],
        cache_dir=cache,
        endpoint=endpoint,
        dry_run=dry_run,
    )


def _is_reachable(endpoint: str | None) -> bool:
    """Whether anything answers at the Hub's address; its own client would try for half a minute."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(endpoint or huggingface_hub.constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the Hub's client may know other certificates
    except OSError:
        return False
    return True


def _sources(preset: Preset, places: list[Path]) -> Sources:
    transformer = None if "transformer" in preset.given else places[0] / preset.transformer
    return Sources(transformer=transformer, wan=places[1], whisper=places[2], given=preset.given)


def _cache(cache: Path | None) -> Path:
    return Path(huggingface_hub.constants.HF_HUB_CACHE if cache is None else cache)


def _snapshot(repository: Repository, cache: Path | None) -> Path:
    """Where the Hub's cache keeps the revision (its documented layout)."""
    return _cache(cache) / f"models--{repository.name.replace('/', '--')}" / "snapshots" / repository.revision


def _lacking(repository: Repository, place: Path) -> dict[str, int]:
    """Missing files with their bytes, 0 if unknown.

    The weights beside an index that is there are those that it names, for a text encoder may be cut into other shards
    than the published ones, or lie in one file. A tokenizer that has its tokenizer.json needs none of its other forms.
    """
    wanted, lacking = dict(repository.files), {}
    if (place / "tokenizer" / "tokenizer.json").is_file():
        wanted = {path: size for path, size in wanted.items() if path not in OTHER_TOKENIZER_FILES}
    for index in [path for path in wanted if path.endswith(".index.json")]:
        folder, _, name = index.rpartition("/")
        stem = f"{folder}/{name.split('.')[0]}"
        has_index, is_single = (place / index).is_file(), (place / f"{stem}.safetensors").is_file()
        if has_index or (is_single and not repository.rest):
            wanted = {path: size for path, size in wanted.items() if not path.startswith(stem)}
        if has_index:
            named = [f"{folder}/{shard.name}" for shard in shards_of_index(place / index)]
            wanted |= {path: repository.files.get(path, 0) for path in named}
        elif repository.rest:
            lacking[f"{stem}*.safetensors"] = repository.rest
    return {path: size for path, size in wanted.items() if not (place / path).is_file()} | lacking


def _describe_lacking(preset: Preset, places: list[Path]) -> str:
    """All missing files with their sizes and the total; empty if there is none."""
    groups: dict[str, int] = {}
    for repository, place in zip(preset.repositories, places, strict=True):
        for path, size in _lacking(repository, place).items():
            is_grouped = path.split("/")[0] in ("text_encoder", "tokenizer", "vae")
            name = f"{repository.folder}/{path.split('/')[0] + '/' if is_grouped else path}"
            groups[name] = groups.get(name, 0) + size
    if not groups:
        return ""
    listed = ", ".join(f"{name} ({gigabytes(size)})" if size else name for name, size in groups.items())
    return listed + (f", {gigabytes(sum(groups.values()))} in all" if len(groups) > 1 else "")


def _layout(preset: Preset) -> str:
    humo, wan, whisper = (repository.folder for repository in preset.repositories)
    first = f"{humo}/{preset.transformer}, " if preset.transformer else ""
    return f"{first}{wan}/ and {whisper}/"


def _wanted(preset: Preset) -> list[Repository]:
    return [repository for repository in preset.repositories if repository.files]


def _repositories(preset: Preset) -> str:
    return ", ".join(repository.name for repository in _wanted(preset))
