"""Loading: presets, folders, and the start of training from Wan's weights.

A folder is what `HuMoPipeline.save_pretrained` or `python -m humo convert` writes (diffusers' layout, safetensors). It
is checked file by file before anything is built, so that a missing or truncated file is one clear sentence. The
published presets are converted once for each dtype that needs files of its own, into the Hugging Face cache
(`humo.loading.published.conversion`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from diffusers import WanTransformer3DModel
from safetensors import safe_open
from torch import Tensor

from humo.focus import FaceMaskPredictor
from humo.layers.autoencoder import HuMoVideoCodec  # imported here, so that diffusers loads it where one is saved
from humo.layers.loras import check_lora
from humo.layers.step_caches import read_cache, use_cache
from humo.loading.fast_form import make_fast
from humo.loading.memory import default_dtype as default_dtype
from humo.loading.memory import place, plan_for, stays_in_float32
from humo.loading.published.keys import infer_transformer_config, load_published_transformer
from humo.loading.published.shards import check_weights, read_json
from humo.loading.published.sources import PRESETS, Preset, check_download, download, find_downloaded, gigabytes
from humo.pipeline import HuMoPipeline
from humo.references import MASK_CHANNELS
from humo.transformer import HuMoTransformer3DModel

__all__ = [
    "MINI",
    "bytes_of_folder",
    "check_folder",
    "check_memory",
    "from_wan",
    "infer_transformer_config",
    "load",
    "load_published_transformer",
]

MINI = Path(__file__).resolve().parent.parent / "assets" / "humo-mini"
"""Folder of the bundled model."""
_WEIGHTED = ("text_encoder", "audio_encoder", "transformer", "vae", "focus_head")
_FULL_PRECISION = ("vae", "audio_encoder")
"""Parts of the published models that stay float32."""
SMALL = 2**28
"""Bytes of a model's weights in float32 up to which it is small: its encoders take no time worth a rounding."""
_LOADING = threading.Lock()
"""diffusers and transformers set PyTorch's default dtype while they load, for all threads of the process: two that did
so at once would leave it wrong."""
_ALIGNMENT = 64
"""Bytes."""
_FETCH_AGAIN = "fetch the folder again"


def load(
    preset_or_folder: str | Path = "mini",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    memory: str | None = None,
    fast: bool = False,
    cache: str | None = None,
    lora: str | Path | Mapping[str, Tensor] | None = None,
    compile: bool = False,
) -> HuMoPipeline:
    """Load a pipeline.

    The first call with "1.7B" or "17B" downloads the published files and converts them; their size is told before.

    Args:
        preset_or_folder: "mini", "1.7B", "17B", or a folder that `HuMoPipeline.save_pretrained` or
            `python -m humo convert` wrote.
        device: where to compute; default a GPU if there is one, else the CPU.
        dtype: of all weights but the audio encoder's and the published video codec's, which stay float32 as in the
            release; default bfloat16 on a GPU and on a CPU that multiplies it in hardware (AMX, avx512_bf16), where a
            small model's text encoder stays float32 too, for it takes no time; else float32.
        memory: the GPU's size, to which the pipeline is fitted: "8GB", "12GB", "16GB", "24GB", "48GB" or "80GB"
            (`humo.loading.memory`); None keeps all of it on the device.
        fast: the distilled form, one pass a step and few steps (`humo.loading.fast_form`); mini has one.
        cache: "first_block" or "taylor", which leave out most of the network at steps that change little
            (`humo.layers.step_caches`); None computes all of it.
        lora: added before the memory is saved, as `HuMoPipeline.load_lora_weights` takes it (`humo.layers.loras`).
        compile: compute the transformer as compiled code (`humo.loading.compiling`): a small model's on a CPU takes a
            minute once and is kept in the user's cache, other models' are compiled at the first pass.

    Returns:
        The pipeline, ready to be called.

    Raises:
        ValueError: if the preset or folder is unknown, a file of it is missing or truncated, the published files are
            neither here nor to be had, the memory is too small, there is no such cache or no fast form, the LoRA
            does not fit, or a small model is to be compiled with a cache or a LoRA.
    """
    if memory is not None:
        plan_for(memory, 0)  # an unknown size is refused before gigabytes are loaded
    if cache is not None:
        read_cache(cache)
    if lora is not None:
        check_lora(lora)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    is_asked, dtype = dtype is not None, dtype or default_dtype(device)
    name = str(preset_or_folder)
    folder = _prepare(PRESETS[name], device, dtype) if name in PRESETS else _resolve(name)
    check_folder(folder)
    num_values = _values_of_folder(folder)
    check_memory(folder.name, _bytes_of(num_values, folder, dtype), device if memory is None else None)
    is_small = device.type == "cpu" and sum(num_values.values()) * torch.float32.itemsize <= SMALL
    is_narrowed = not is_asked and is_small
    dtypes = dict.fromkeys(_parts_in_float32(folder), torch.float32)
    with _LOADING:
        pipeline = HuMoPipeline.from_pretrained(
            str(folder), dtype={**dtypes, "default": torch.float32 if is_narrowed else dtype}, local_files_only=True
        )
    if is_narrowed:
        for part in (pipeline.transformer, pipeline.vae, pipeline.focus_head):
            _narrow(part, dtype)
    for name, component in pipeline.components.items():
        if isinstance(component, torch.nn.Module) and any(p.is_meta for p in component.parameters()):
            raise ValueError(f"The weights of {name} in {folder.name} are incomplete: {_FETCH_AGAIN}.")
    if fast:
        pipeline = make_fast(pipeline, folder)
    if lora is not None:
        pipeline.load_lora_weights(lora)
    use_cache(pipeline.transformer, cache)
    if device.type == "cpu":
        _align(pipeline)
        if isinstance(pipeline.vae, HuMoVideoCodec):
            pipeline.vae.decoder.use_channels_last()
    pipeline = pipeline.to(device) if memory is None else place(pipeline, device, memory)
    if compile:
        from humo.loading.compiling import use_compiled  # what is compiled, and so its tools, few ask for

        use_compiled(pipeline, is_small)
    return pipeline


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a whole pipeline.

    Args:
        folder: as `HuMoPipeline.save_pretrained` writes it.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    if not (folder / "model_index.json").is_file() and (folder / "conversion.json").is_file():
        raise ValueError(f"The conversion in {folder.name} is not finished: run `python -m humo convert` once more.")
    index = read_json(folder / "model_index.json", _FETCH_AGAIN)
    for name, value in index.items():
        is_component = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        if is_component and not (folder / name).is_dir():
            raise ValueError(f"{folder.name} lacks its part {name}: {_FETCH_AGAIN}.")
        if is_component and name in _WEIGHTED:
            read_json(folder / name / "config.json", _FETCH_AGAIN)
            check_weights(folder / name, _FETCH_AGAIN)


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
    if num_processes is None:
        num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
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
    return _bytes_of(_values_of_folder(folder), folder, dtype)


def _bytes_of(num_values: Mapping[str, int], folder: Path, dtype: torch.dtype) -> int:
    full = _parts_in_float32(folder)
    return sum(count * (torch.float32 if part in full else dtype).itemsize for part, count in num_values.items())


def _values_of_folder(folder: Path) -> dict[str, int]:
    """Numbers in the weights of each part that is there, such as "vae", from the files' headers."""
    num_values = dict[str, int]()
    for part in (each for each in _WEIGHTED if (folder / each).is_dir()):
        num_values[part] = 0
        for file in check_weights(folder / part):
            with safe_open(file, framework="pt") as opened:
                shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118 (no mapping)
            num_values[part] += sum(torch.Size(shape).numel() for shape in shapes)
    return num_values


def _narrow(model: torch.nn.Module | None, dtype: torch.dtype) -> None:
    """Bring a model's weights to a dtype, but for those that it keeps in float32."""
    if isinstance(model, HuMoTransformer3DModel | HuMoVideoCodec | FaceMaskPredictor):
        for name, parameter in model.named_parameters():
            if not stays_in_float32(model, name):
                parameter.data = parameter.data.to(dtype)


def _parts_in_float32(folder: Path) -> tuple[str, ...]:
    """Parts that are loaded in float32 whatever dtype is asked for; our own codec knows what of it has to be."""
    _, codec = read_json(folder / "model_index.json", _FETCH_AGAIN).get("vae", ("", ""))
    return ("audio_encoder",) if codec == HuMoVideoCodec.__name__ else _FULL_PRECISION


def _resolve(name: str) -> Path:
    folder = MINI if name == "mini" else Path(name)
    if not folder.is_dir():
        raise ValueError(
            f"There is no model {name!r}: give 'mini', '1.7B', '17B' or a folder that save_pretrained wrote."
        )
    return folder


def _prepare(preset: Preset, device: torch.device, dtype: torch.dtype) -> Path:
    """The converted folder of a published model; downloaded and converted if it is not there.

    Several processes may come here at once: one downloads and converts, and the others wait for it.
    """
    from humo.loading.published.conversion import convert_with_bar, converted_folder, find_converted, stored_dtype

    lack = _lack_of_gpu(preset, device)
    if folder := find_converted(preset, dtype):
        _refuse(lack)
        return folder
    lack = lack or _lack_of_memory(preset, dtype)
    sources = find_downloaded(preset)
    if sources is None and lack:  # both mistakes in one sentence
        try:
            check_download(preset)
        except ValueError as error:
            raise ValueError(f"{error}".rstrip(".") + f"; besides, {lack}") from None
    _refuse(lack)
    sources = sources or download(preset)
    folder = converted_folder(preset, stored_dtype(sources.transformer, dtype))
    return convert_with_bar(preset, sources, folder, dtype, verify=False)


def _lack_of_gpu(preset: Preset, device: torch.device) -> str:
    """That a model which needs a GPU has none, in a sentence; empty if it has."""
    if not preset.is_cpu_hopeless or device.type != "cpu":
        return ""
    given = "the CPU is asked for" if torch.cuda.is_available() else "none is here"
    return f"the {preset.name} model needs a GPU and {given}: load '1.7B' or 'mini'."


def _lack_of_memory(preset: Preset, dtype: torch.dtype) -> str:
    """That the memory cannot hold a model, in a sentence; empty if it can."""
    dtypes = dict.fromkeys(_FULL_PRECISION, torch.float32)
    num_bytes = sum(count * dtypes.get(part, dtype).itemsize for part, count in preset.num_parameters.items())
    try:
        check_memory(preset.name, num_bytes)
    except ValueError as error:
        return str(error)
    return ""


def _refuse(sentence: str) -> None:
    if sentence:
        raise ValueError(sentence[0].upper() + sentence[1:])


def _align(pipeline: HuMoPipeline) -> None:
    """Bring weights that lie askew in a mapped file to even addresses, where the CPU computes with them.

    Its kernels sum in another order where an address is no multiple of a vector's length, so that the same
    weights in other files would give videos that differ in the last bit.
    """
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            for tensor in (*component.parameters(), *component.buffers()):
                if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
                    tensor.data = tensor.data.clone()


def from_wan(wan: WanTransformer3DModel, form: Literal["1.7B", "17B"] = "1.7B", **audio: Any) -> HuMoTransformer3DModel:
    """Start HuMo's training from Wan: the video and text weights are Wan's, the audio attention adds nothing
    yet.

    Args:
        wan: a text-to-video Wan2.1 transformer.
        form: of the input: "1.7B", where references take the place of the last latents, or "17B", where mask and
            condition latents are further channels (`humo.references.assemble_input`), not yet looked at.
        **audio: the audio arguments of `HuMoTransformer3DModel`, where they differ from the published ones.

    Returns:
        A transformer whose velocity equals Wan's at step 0, whatever the sound and the further channels hold.

    Raises:
        ValueError: if the form is another, or the model has parts that HuMo has not, such as Wan's own picture
            embedder or condition channels.

    Source: HuMo sec. 3.2 trains from Wan2.1; zero-initialised outputs and channels are our choice, the paper names
    none.
    """
    if form not in ("1.7B", "17B"):
        raise ValueError(f"There is no form {form!r}: give '1.7B' or '17B'.")
    latent_channels = wan.config["out_channels"]
    if wan.config["in_channels"] != latent_channels:
        raise ValueError(
            f"The Wan model has {wan.config['in_channels']} input channels for {latent_channels} of the latents: "
            "give a text-to-video Wan2.1."
        )
    shared = "patch_size num_attention_heads attention_head_dim in_channels out_channels text_dim freq_dim"
    shared += " ffn_dim num_layers cross_attn_norm eps rope_max_seq_len"
    config = {name: wan.config[name] for name in shared.split()}
    weights = wan.state_dict()
    if form == "17B":
        further = MASK_CHANNELS + latent_channels
        config["in_channels"] += further
        kernel = weights["patch_embedding.weight"]  # (dim, in_channels, 1, 2, 2), the noisy latents first
        weights["patch_embedding.weight"] = torch.nn.functional.pad(kernel, (0, 0) * 3 + (0, further))
    transformer = HuMoTransformer3DModel(**config, **audio)
    missing, unexpected = transformer.load_state_dict(weights, strict=False)
    foreign = unexpected + [key for key in missing if "audio" not in key]
    if foreign:
        raise ValueError(f"The Wan model does not fit HuMo at {foreign[0]!r}: give a text-to-video Wan2.1.")
    for block in transformer.blocks:
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].weight)
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].bias)
    return transformer
