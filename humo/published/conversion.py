"""From the published files to a folder that `humo.load` reads: `python -m humo convert`.

The transformer is renamed tensor by tensor and written shard by shard, so that no more than one shard is in memory at
a time; of Whisper only the encoder is kept; text encoder, tokenizer and video codec are in diffusers' form already and
are linked, or copied to another disk. Every key has to be known, every tensor there and of the right shape. A
broken-off conversion is resumed: finished shards are kept. `model_index.json` is written last, so that half a
conversion is never taken for a whole one.

Weights are stored in bfloat16, in which the release computes, unless asked otherwise; what the model computes in
float32 (`_keep_in_fp32_modules`) is stored in float32.

Source: HuMo released code (`generate.py::configure_dit_model`) for the two layouts; the procedure is ours.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from huggingface_hub import constants
from safetensors.torch import save_file
from tqdm import tqdm

from humo.files import replaced
from humo.published.keys import infer_transformer_config, match_published_keys, refuse_unknown_keys
from humo.published.parts import check_parts, files_to_link, model_index, read_audio_encoder
from humo.published.shards import (
    SHARD_BYTES,
    StoredTensor,
    check_weights,
    open_pth,
    open_safetensors,
    read_json,
    shards_of_index,
    write_json,
    write_shards,
)
from humo.published.sources import Preset, Sources, download, find_downloaded, find_sources, get_preset, gigabytes
from humo.sampling import make_scheduler
from humo.transformer import HuMoTransformer3DModel

logger = logging.getLogger(__name__)
MOST_EXTRA_PARAMETERS = 20_000_000
"""Parameters beyond the model's that a .pth may hold (ours, see `match_transformer`)."""
EXTRA = "transformer_extra.safetensors"
"""Side file of these."""
RECORD = "conversion.json"
"""What a folder is being converted from; its presence marks the folder as ours."""


def converted_folder(preset: Preset) -> Path:
    """Where `humo.load` keeps the converted model: in the Hugging Face cache (`HF_HOME`), by its revision."""
    return Path(constants.HF_HOME) / "humo" / f"{preset.name}-{preset.repositories[0].revision[:8]}"


def convert(
    preset: Preset,
    sources: Sources,
    out: Path,
    dtype: torch.dtype = torch.bfloat16,
    shard_bytes: int = SHARD_BYTES,
    on_bytes: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Convert the published files of a model into a diffusers folder.

    Args:
        preset: the model.
        sources: where its files are.
        out: the folder to write; a broken-off conversion in it is resumed.
        dtype: in which the transformer is stored, but for the parts that it computes in float32.
        shard_bytes: largest shard.
        on_bytes: told of the bytes done and the bytes in all, after each shard and file.

    Returns:
        `out`, whole.

    Raises:
        ValueError: if a file is missing or damaged, a key or shape is not the model's, the parts do not fit one
            another, the disk is too small, or `out` holds something else.
    """
    # 1. Look into everything before anything is written
    config, tensors, extra = match_transformer(sources.transformer, dtype)
    encoder_config, encoder = read_audio_encoder(sources.whisper)
    check_parts(preset, config, encoder_config, sources)
    index = model_index(preset, sources)
    linked = files_to_link(sources)
    mark = _fingerprint([*_weight_files(sources), *linked])
    record = {"preset": preset.name, "dtype": str(dtype).removeprefix("torch."), "source": mark}
    _check_out(out, record)
    total = sum(t.nbytes for t in (*tensors.values(), *encoder.values())) + sum(f.stat().st_size for f in linked)
    _check_disk(out, total, linked)

    # 2. From here on the folder is a half conversion, until its index is back
    out.mkdir(parents=True, exist_ok=True)
    (out / "model_index.json").unlink(missing_ok=True)
    write_json(out / RECORD, record)
    done = 0

    def tell(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        on_bytes(done, total)

    # 3. The transformer and what it left over
    write_shards(tensors, out / "transformer", "diffusion_pytorch_model", mark, shard_bytes, tell)
    with torch.device("meta"):
        HuMoTransformer3DModel(**config).save_config(out / "transformer")
    if extra:
        with replaced(out / EXTRA) as temporary:
            save_file({name: tensor.read().clone() for name, tensor in extra.items()}, temporary)

    # 4. The parts around it
    write_shards(encoder, out / "audio_encoder", "model", mark, shard_bytes, tell)
    encoder_config.save_pretrained(out / "audio_encoder")
    make_scheduler().save_pretrained(out / "scheduler")
    _copy(sources.whisper / "preprocessor_config.json", out / "feature_extractor")
    for file in linked:
        _link_or_copy(file, out / file.parent.name)
        tell(file.stat().st_size)
    write_json(out / "model_index.json", index)
    return out


def match_transformer(
    file: Path, dtype: torch.dtype
) -> tuple[dict[str, Any], dict[str, StoredTensor], dict[str, StoredTensor]]:
    """Pair a published transformer with ours, strictly.

    Keys that the model has no place for are refused. One allowance is made, for a .pth: the released ema.pth is larger
    than the released class by what 17.6 million parameters take. Should it hold more tensors (a mask predictor's,
    perhaps), they are reported by name and shape and kept in a side file. (A third party who listed its keys counts
    the class's 1,193, so the allowance may never be needed.)

    Args:
        file: a .pth, or an index of safetensors shards.
        dtype: in which the tensors are to be stored, but for the parts that the model computes in float32.

    Returns:
        The transformer's config; its tensors by our name, not yet read; the extra ones by published name.

    Raises:
        ValueError: if the file is damaged, or a key is missing, unknown or of the wrong shape.
    """
    is_pth = file.suffix == ".pth"
    published = open_pth(file) if is_pth else open_safetensors(file)
    config = infer_transformer_config(published)
    with torch.device("meta"):
        expected = HuMoTransformer3DModel(**config).state_dict()
    pairs, unknown = match_published_keys(published, expected)
    extra = {name: published[name] for name in unknown}
    if not is_pth or sum(torch.Size(tensor.shape).numel() for tensor in extra.values()) > MOST_EXTRA_PARAMETERS:
        refuse_unknown_keys(unknown)
    if extra:
        listed = ", ".join(f"{name} {tensor.shape}" for name, tensor in extra.items())
        logger.warning("%s holds %d tensors beyond the model, kept in %s: %s", file.name, len(extra), EXTRA, listed)
    tensors = {name: published[pairs[name]].to(_stored_dtype(name, dtype)) for name in expected}
    return config, tensors, extra


def convert_with_bar(preset: Preset, sources: Sources, out: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """`convert` with a progress bar on the error stream."""
    with tqdm(unit="B", unit_scale=True, desc=f"converting {preset.name}", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return convert(preset, sources, out, dtype, on_bytes=show)


def convert_command(
    preset: Annotated[str, typer.Option(help="1.7B or 17B.")],
    source: Annotated[Path | None, typer.Option(help="The published weights/ folder; default: the Hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: where humo.load finds it.")] = None,
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"], typer.Option(help="In which the transformer is stored.")
    ] = "bfloat16",
) -> None:
    """Convert the published weights into a folder that humo.load and `generate --preset` read."""
    model = get_preset(preset)
    sources = find_sources(model, source) if source else find_downloaded(model) or download(model)
    folder = convert_with_bar(model, sources, out or converted_folder(model), getattr(torch, dtype))
    typer.echo(f"{folder} is whole: humo.load({preset if out is None else str(out)!r})")


def _stored_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """float32 for what `from_pretrained` loads in float32 (it compares whole parts of a name), else `dtype`."""
    is_kept = not set(HuMoTransformer3DModel._keep_in_fp32_modules).isdisjoint(name.split("."))
    return torch.float32 if is_kept else dtype


def _weight_files(sources: Sources) -> list[Path]:
    """The files whose tensors are written anew."""
    transformer = sources.transformer
    shards = [transformer] if transformer.suffix == ".pth" else shards_of_index(transformer)
    return [*shards, *check_weights(sources.whisper)]


def _fingerprint(files: list[Path]) -> str:
    """A mark of the files' names, lengths, first and last mebibyte: enough to tell one download from another."""
    mark, block = hashlib.sha256(), 1 << 20
    for file in files:
        size = file.stat().st_size
        mark.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            mark.update(opened.read(block))
            opened.seek(max(0, size - block))
            mark.update(opened.read(block))
    return mark.hexdigest()[:16]


def _check_out(out: Path, record: dict[str, str]) -> None:
    """The folder to write is new, empty, or a conversion that may go on."""
    if out.is_file():
        raise ValueError(f"{out.name} is a file: give a folder.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / RECORD).is_file():
        raise ValueError(f"{out.name} holds other files: give a new or an empty folder.")
    if (out / "model_index.json").is_file() and (was := read_json(out / RECORD)) != record:
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


def _link_or_copy(file: Path, folder: Path) -> None:
    """Give `file` a second name in `folder`, which takes no room; on another disk, copy it."""
    folder.mkdir(exist_ok=True)
    file, target = file.resolve(), folder / file.name
    if target.exists() and _identity(target) == _identity(file):
        return
    temporary = target.with_name(f"{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
        os.replace(temporary, target)
    except OSError:  # another disk, or one that knows no links
        with replaced(target) as copied:
            shutil.copyfile(file, copied)
        os.utime(target, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with replaced(folder / file.name) as temporary:
        shutil.copyfile(file, temporary)


def _identity(file: Path) -> tuple[int, int]:
    """Length and time, which a copy shares."""
    return file.stat().st_size, file.stat().st_mtime_ns
