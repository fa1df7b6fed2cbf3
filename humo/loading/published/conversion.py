"""From the published files to a folder that `humo.load` reads: `python -m humo convert`.

The transformer is renamed tensor by tensor and written shard by shard, so that no more than one shard is in memory at
a time; of Whisper only the encoder is kept; text encoder, tokenizer and video codec are in diffusers' form already and
are linked, or copied to another disk. Every key has to be known, every tensor there and of the right shape. A
broken-off conversion is resumed: finished shards are kept. `model_index.json` is written last, so that half a
conversion is never taken for a whole one. Of several processes that convert into one folder, as torchrun's do, one
works and the others wait for it.

The transformer is stored in the dtype in which it is to be loaded, so that weights are rounded once at most: a user
with a GPU, who computes in bfloat16, has half the files that the published float32 of the 1.7B would take, and who
asks for float32 gets what was published, in a folder of its own. Where the published file is no wider than that dtype
it is stored as published, for rounding it twice or widening it gains nothing: one folder then serves every dtype.
What the model computes in float32 (`_keep_in_fp32_modules`) is stored in float32.

Source: HuMo released code (`generate.py::configure_dit_model`) for the two layouts; the procedure is ours.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from tqdm import tqdm

from humo.loading.memory import default_dtype
from humo.loading.published.keys import form_of
from humo.loading.published.matching import EXTRA, Matched, match_transformer, stored_dtype
from humo.loading.published.parts import check_parts, files_to_link, model_index, read_audio_encoder
from humo.loading.published.presets import Preset, get_preset, without_parts
from humo.loading.published.shards import (
    SHARD_BYTES,
    check_weights,
    place_of,
    read_json,
    shards_of_index,
    write_shards,
)
from humo.loading.published.sources import Sources, download, find_downloaded, find_sources, gigabytes
from humo.loading.single_file.parts import files_of_transformer, open_transformer
from humo.sampling import make_scheduler
from humo.system.digests import digest_pieces
from humo.system.files import atomic_write, exclusive_lock, write_json
from humo.transformer import HuMoTransformer3DModel

logger = logging.getLogger(__name__)
RECORD = "conversion.json"
"""What a folder is being converted from; its presence marks the folder as ours."""
LOCK = ".conversion.lock"
"""Held by the process that writes the folder; the empty file stays, for others may be waiting at it."""
INDEX = "model_index.json"
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def converted_folder(preset: Preset, stored: torch.dtype) -> Path:
    """Where `humo.load` keeps a converted model: in the Hugging Face cache (`HF_HOME`), by revision and dtype.

    Of a model of which parts are given in files of their own, the folder is named by these instead.
    """
    kind = "-".join(["without", *sorted(preset.given)]) if preset.given else _name(stored)
    return Path(constants.HF_HOME) / "humo" / f"{preset.name}-{preset.repositories[0].revision[:8]}-{kind}"


def find_converted(preset: Preset, dtype: torch.dtype) -> Path | None:
    """Find a finished conversion that loses nothing when it is loaded in a dtype.

    Args:
        preset: the model.
        dtype: in which it is to be loaded.

    Returns:
        The folder whose weights are stored in that dtype or as they were published; None if there is none.
    """
    whole = replace(preset, given=frozenset())
    for stored in sorted(_DTYPES, key=lambda other: other != dtype):
        folder = converted_folder(whole, stored)
        is_there = (folder / INDEX).is_file()
        serves = "transformer" in preset.given or stored == dtype
        if is_there and (serves or read_json(folder / RECORD).get("published") == _name(stored)):
            return folder
    folder = converted_folder(preset, dtype)
    return folder if preset.given and (folder / INDEX).is_file() else None


def convert(
    preset: Preset,
    sources: Sources,
    out: Path,
    dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
    on_bytes: Callable[[int, int], object] = lambda done, total: None,
    verify: bool = True,
) -> Path:
    """Convert the published files of a model into a diffusers folder.

    Args:
        preset: the model.
        sources: where its files are.
        out: the folder to write; a broken-off conversion in it is resumed.
        dtype: in which the transformer is to be loaded; it is stored in it, or as published where that is no wider,
            but for the parts that it computes in float32.
        shard_bytes: largest shard.
        on_bytes: told of the bytes done and the bytes in all, after each shard and file.
        verify: look through a folder that is finished already, and mend it; otherwise it is left as it is.

    Returns:
        `out`, whole.

    Raises:
        ValueError: if a file is missing or damaged, a key or shape is not the model's, the parts do not fit one
            another, the disk is too small, or `out` holds something else.
    """
    # 1. Look into everything before anything is written
    was_finished = verify and (out / INDEX).is_file()
    matched = _match(sources, dtype)
    tensors, extra = matched.tensors, matched.extra
    encoder_config, encoder = read_audio_encoder(sources.whisper)
    check_parts(preset, matched.config or None, encoder_config, sources)
    index = model_index(preset, sources)
    linked = files_to_link(sources)
    beside = [] if sources.quantised is None else files_of_transformer(sources.quantised)
    mark = digest_pieces(((file.name, file) for file in [*_weight_files(sources), *linked, *beside]), 2, 1 << 20)[:16]
    dtypes = {"dtype": _name(matched.stored), "published": _name(matched.published)}
    record = {"preset": preset.name, **dtypes, "source": mark}
    _check_out(out, record)
    total = sum(t.nbytes for t in (*tensors.values(), *encoder.values()))
    total += sum(file.stat().st_size for file in [*linked, *beside])
    if not out.exists():
        _check_disk(out, total, [*linked, *beside])
    done = 0

    def tell(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        on_bytes(done, total)

    with exclusive_lock(out / LOCK, f"Another process is converting into {out.name}: waiting for it."):
        # 2. Another process may have been here in the meantime; who loads what it finished must not be disturbed
        _check_out(out, record)
        if (out / INDEX).is_file() and not was_finished:
            tell(total)
            return out
        _check_disk(out, total, [*linked, *beside])

        # 3. From here on the folder is a half conversion, until its index is back
        logger.warning("Converting the published %s into %s.", preset.name, out)
        (out / INDEX).unlink(missing_ok=True)
        write_json(out / RECORD, record)

        # 4. The transformer and what it left over
        if tensors:
            write_shards(tensors, out / "transformer", "diffusion_pytorch_model", mark, shard_bytes, tell)
            with torch.device("meta"):
                HuMoTransformer3DModel(**matched.config).save_config(out / "transformer")
        for file in beside:
            name = f"transformer{file.suffix}" if file == sources.quantised else file.name
            _link_or_copy(file, out, name)
            tell(file.stat().st_size)
        if extra:
            with atomic_write(out / EXTRA) as temporary:
                save_file({name: tensor.read().clone() for name, tensor in extra.items()}, temporary)

        # 5. The parts around it
        write_shards(encoder, out / "audio_encoder", "model", mark, shard_bytes, tell)
        encoder_config.save_pretrained(out / "audio_encoder")
        make_scheduler().save_pretrained(out / "scheduler")
        _copy(sources.whisper / "preprocessor_config.json", out / "feature_extractor")
        for file in linked:
            _link_or_copy(file, out / file.parent.name, file.name)
            tell(file.stat().st_size)
        write_json(out / INDEX, index, sort_keys=True)
    return out


def _match(sources: Sources, dtype: torch.dtype) -> Matched:
    """What is known of the transformer; of one that is not written anew its settings at the most."""
    if sources.transformer is not None:
        return match_transformer(sources.transformer, dtype)
    config = {} if sources.quantised is None else open_transformer(sources.quantised)[0]
    return Matched(config=config, tensors={}, extra={}, published=dtype, stored=dtype)


def convert_with_bar(
    preset: Preset, sources: Sources, out: Path, dtype: torch.dtype = torch.bfloat16, verify: bool = True
) -> Path:
    """`convert` with a progress bar on the error stream."""
    with tqdm(unit="B", unit_scale=True, desc=f"converting {preset.name}", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return convert(preset, sources, out, dtype, on_bytes=show, verify=verify)


def convert_preset(
    preset: str, source: Path | None = None, out: Path | None = None, dtype: torch.dtype | None = None
) -> tuple[Path, torch.dtype | None]:
    """Convert a published model from a folder, from what was downloaded, or from the Hub.

    Args:
        preset: "1.7B" or "17B".
        source: folder of the published layout; None for the Hub's cache, or the Hub.
        out: the folder to write; None for where `humo.load` finds it.
        dtype: in which it is to be loaded; None for bfloat16, or without `out` what `humo.load` takes here.

    Returns:
        The folder, and the dtype that `humo.load` has to be given to find it; None for its own.
    """
    model, usual = get_preset(preset), default_dtype() if out is None else torch.bfloat16
    loaded = dtype or usual
    sources = find_sources(model, source) if source else find_downloaded(model) or download(model)
    target = out or converted_folder(model, stored_dtype(sources.transformer, loaded))
    return convert_with_bar(model, sources, target, loaded), None if out or loaded == usual else loaded


def convert_file(
    file: Path, preset: str | None, source: Path | None, out: Path, dtype: torch.dtype = torch.bfloat16
) -> Path:
    """Put the published parts around a transformer from a file: as it is if it is quantised, else written anew.

    Args:
        file: of the transformer.
        preset: its form; None for what the file tells.
        source: as of `convert_preset`.
        out: the folder to write.
        dtype: in which it is to be loaded.

    Raises:
        ValueError: if it is of another form, or as of `convert`.
    """
    config, weights = open_transformer(file)
    form = form_of(config)
    if preset not in (None, form):
        raise ValueError(f"{place_of(file)} is of the {form} form: leave --preset out.")
    model = without_parts(get_preset(form), {"transformer"})
    sources = find_sources(model, source) if source else find_downloaded(model) or download(model)
    is_kept = any(weight.is_quantised for weight in weights.values())
    sources = replace(sources, quantised=file) if is_kept else replace(sources, transformer=file)
    return convert_with_bar(model, sources, out, dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _weight_files(sources: Sources) -> list[Path]:
    """The files whose tensors are written anew."""
    transformer = sources.transformer
    shards = [] if transformer is None else [transformer]
    if transformer is not None and transformer.suffix == ".json":
        shards = shards_of_index(transformer)
    return [*shards, *check_weights(sources.whisper)]


def _check_out(out: Path, record: dict[str, str]) -> None:
    """The folder to write is new, empty, or a conversion that may go on."""
    if out.is_file():
        raise ValueError(f"{out.name} is a file: give a folder.")
    names = {file.name for file in out.iterdir()} if out.is_dir() else set()
    if names <= {LOCK, f"{RECORD}.part"}:  # of a process that begins just now, or was killed then
        return
    if not (out / RECORD).is_file():
        raise ValueError(f"{out.name} holds other files: give a new or an empty folder.")
    if (out / INDEX).is_file() and (was := read_json(out / RECORD)) != record:
        raise ValueError(
            f"{out.name} holds a finished conversion of {was.get('preset')} in {was.get('dtype')} from other files or "
            "in another dtype: give a new folder."
        )


def _check_disk(out: Path, total: int, linked: list[Path]) -> None:
    """The disk can hold what is still to be written; a link takes no room."""
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    there = sum(file.stat().st_size for file in out.rglob("*.safetensors")) if out.is_dir() else 0
    links = sum(file.stat().st_size for file in linked if file.stat().st_dev == parent.stat().st_dev)
    needed, free = total - max(there, links), shutil.disk_usage(parent).free
    if needed > free:
        raise ValueError(
            f"The conversion needs {gigabytes(needed)} on the disk but {gigabytes(free)} are free: make room or give "
            "a folder on a larger disk."
        )


def _link_or_copy(file: Path, folder: Path, name: str) -> None:
    """Give `file` a second name in `folder`, which takes no room; on another disk, copy it."""
    folder.mkdir(exist_ok=True)
    file, target = file.resolve(), folder / name
    if target.exists() and _identity(target) == _identity(file):
        return
    temporary = target.with_name(f"{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
        os.replace(temporary, target)
    except OSError:  # another disk, or one that knows no links
        with atomic_write(target) as copied:
            shutil.copyfile(file, copied)
        os.utime(target, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with atomic_write(folder / file.name) as temporary:
        shutil.copyfile(file, temporary)


def _identity(file: Path) -> tuple[int, int]:
    """Length and time, which a copy shares."""
    return file.stat().st_size, file.stat().st_mtime_ns
