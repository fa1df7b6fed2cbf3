"""A pipeline's folder, before anything is built of it: is it whole, and does it fit into the memory?

A folder is what `HuMoPipeline.save_pretrained` or `python -m humo convert` writes: diffusers' layout in safetensors. A
quantised transformer, which that layout does not know, lies in it as the file that it came in, `transformer.gguf` or
`transformer.safetensors`. All of this is ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from humo.layers.autoencoder import HuMoVideoCodec
from humo.loading.published.shards import check_weights, read_json
from humo.loading.published.sources import gigabytes
from humo.system.processes import local_processes

FETCH_AGAIN = "fetch the folder again"
FULL_PRECISION = ("vae", "audio_encoder")
"""Parts of the published models that stay float32."""
_WEIGHTED = ("text_encoder", "audio_encoder", "transformer", "vae", "focus_head")


def transformer_file(folder: Path) -> Path | None:
    """The quantised transformer of a folder, in the file that it came in; None if it has the usual one."""
    return next(iter(sorted(file for file in folder.glob("transformer.*") if file.is_file())), None)


def check_folder(folder: Path, given: Collection[str] = ()) -> None:
    """Refuse a folder that is not a whole pipeline.

    Args:
        folder: as `HuMoPipeline.save_pretrained` writes it.
        given: parts that it need not have, for they lie in files of their own.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    if not (folder / "model_index.json").is_file() and (folder / "conversion.json").is_file():
        raise ValueError(f"The conversion in {folder.name} is not finished: run `python -m humo convert` once more.")
    index = read_json(folder / "model_index.json", FETCH_AGAIN)
    for name, value in index.items():
        is_component = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        if name in given or (name == "transformer" and transformer_file(folder)):
            continue
        if is_component and not (folder / name).is_dir():
            raise ValueError(f"{folder.name} lacks its part {name}: {FETCH_AGAIN}.")
        if is_component and name in _WEIGHTED:
            read_json(folder / name / "config.json", FETCH_AGAIN)
            check_weights(folder / name, FETCH_AGAIN)


def check_memory(
    name: str,
    num_bytes: int,
    device: torch.device | None = None,
    free: int | None = None,
    num_processes: int | None = None,
) -> None:
    """Refuse a model that does not fit into the memory.

    Args:
        name: of the model, for the sentence.
        num_bytes: of its weights as they are loaded.
        device: the GPU that is to hold all of it; None or a CPU asks for the computer's memory alone.
        free: bytes of memory that are free; default those that the computer tells.
        num_processes: processes of this computer that load it at once, each with weights of its own; default those
            that torchrun started (LOCAL_WORLD_SIZE), or 1.

    Raises:
        ValueError: if the computer's memory, through which the weights pass, or the GPU's is too small.
    """
    free = psutil.virtual_memory().available if free is None else free
    num_processes = local_processes() if num_processes is None else num_processes
    if num_bytes * num_processes > free:
        several = f" in each of {num_processes} processes" if num_processes > 1 else ""
        remedy = f"{'start fewer processes, ' if several else ''}close other programs, choose a smaller model"
        raise ValueError(
            f"{name} takes {gigabytes(num_bytes)} of memory to load{several} but {gigabytes(free)} are free: {remedy}, "
            "or give dtype=torch.bfloat16 if you did not."
        )
    if device is not None and device.type == "cuda" and num_bytes > (free := torch.cuda.mem_get_info(device)[0]):
        raise ValueError(
            f"{name} takes {gigabytes(num_bytes)} of the GPU's memory but {gigabytes(free)} are free: "
            'give memory="24GB" or the size that your GPU has.'
        )


def bytes_of_folder(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of a folder's weights once they are loaded, from the files' headers.

    Args:
        folder: a whole pipeline.
        dtype: as `load` takes it.

    Returns:
        Bytes; the few layers that the transformer keeps in float32 are counted as the others.
    """
    quantised = transformer_file(folder)
    return bytes_of(values_of_folder(folder), folder, dtype) + (quantised.stat().st_size if quantised else 0)


def bytes_of(num_values: Mapping[str, int], folder: Path, dtype: torch.dtype) -> int:
    """Bytes of `values_of_folder` once they are loaded."""
    full = parts_in_float32(folder)
    return sum(count * (torch.float32 if part in full else dtype).itemsize for part, count in num_values.items())


def values_of_folder(folder: Path, given: Collection[str] = ()) -> dict[str, int]:
    """Numbers in the weights of each part that is there and not given, such as "vae", from the files' headers."""
    num_values = dict[str, int]()
    for part in (each for each in _WEIGHTED if (folder / each).is_dir() and each not in given):
        num_values[part] = 0
        for file in check_weights(folder / part):
            with safe_open(file, framework="pt") as opened:
                shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118 (no mapping)
            num_values[part] += sum(torch.Size(shape).numel() for shape in shapes)
    return num_values


def parts_in_float32(folder: Path) -> tuple[str, ...]:
    """Parts that are loaded in float32 whatever dtype is asked for; our own codec knows what of it has to be."""
    _, codec = read_json(folder / "model_index.json", FETCH_AGAIN).get("vae", ("", ""))
    return ("audio_encoder",) if codec == HuMoVideoCodec.__name__ else FULL_PRECISION
