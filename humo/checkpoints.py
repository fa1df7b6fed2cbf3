"""Loading: presets, folders, and the start of training from Wan's weights.

A folder is what `HuMoPipeline.save_pretrained` or `python -m humo convert` writes (diffusers' layout, safetensors). It
is checked file by file before anything is built, so that a missing or truncated file is one clear sentence. The
published presets are converted once for each dtype that needs files of its own, into the Hugging Face cache
(`humo.loading.published.conversion`). Transformer, text encoder and codec may be files of one's own, quantised or not
(`humo.loading.single_file`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import WanTransformer3DModel

from humo.assets import MINI
from humo.focus import FaceMaskPredictor
from humo.layers.autoencoder import HuMoVideoCodec  # imported here, so that diffusers loads it where one is saved
from humo.layers.step_caches import read_cache, use_cache
from humo.loading.devices import check_asked, read_device
from humo.loading.fast_form import make_fast
from humo.loading.folders import (
    FETCH_AGAIN,
    bytes_of,
    bytes_of_folder,
    check_folder,
    check_memory,
    parts_in_float32,
    transformer_file,
    values_of_folder,
)
from humo.loading.loras import Loras, add_loras, read_loras
from humo.loading.memory import default_dtype as default_dtype
from humo.loading.memory import place, stays_in_float32
from humo.loading.published.keys import infer_transformer_config, input_channels, load_published_transformer
from humo.loading.published.preparing import prepare
from humo.loading.published.presets import PRESETS, without_parts
from humo.loading.single_file.given import check_parts_fit, form_of_file, given_files, load_files
from humo.loading.single_file.parts import load_transformer_file
from humo.pipeline import HuMoPipeline
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
    "load_transformer_file",
]

SMALL = 2**28
"""Bytes of a model's weights in float32 up to which it is small: its encoders take no time worth a rounding."""
_LOADING = threading.Lock()
"""diffusers and transformers set PyTorch's default dtype while they load, for all threads of the process: two that did
so at once would leave it wrong."""
_ALIGNMENT = 64
"""Bytes."""


def load(
    preset_or_folder: str | Path = "mini",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    memory: str | None = None,
    fast: bool = False,
    cache: str | None = None,
    lora: Loras | None = None,
    compile: bool = False,
    transformer: str | Path | None = None,
    text_encoder: str | Path | None = None,
    vae: str | Path | None = None,
) -> HuMoPipeline:
    """Load a pipeline.

    The first call with "1.7B" or "17B" downloads the published files and converts them; their size is told before.

    Args:
        preset_or_folder: "mini", "1.7B", "17B", a folder that `HuMoPipeline.save_pretrained` or
            `python -m humo convert` wrote, or a file as `transformer` takes it, whose form says which of the published
            models it is of.
        device: where to compute; default a GPU if there is one, else the CPU.
        dtype: of all weights but the audio encoder's and the published video codec's, which stay float32 as in the
            release; default bfloat16 on a GPU and on a CPU that multiplies it in hardware (AMX, avx512_bf16), where a
            small model's text encoder stays float32 too, for it takes no time; else float16 on a GPU (untried, see
            `humo.loading.memory.default_dtype`) and float32 on a CPU.
        memory: the GPU's size, to which the pipeline is fitted: "6GB", "8GB", "10GB", "12GB", "16GB", "24GB", "48GB" or
            "80GB" (`humo.loading.memory`); None keeps all of it on the device, and a warning tells if the model fits
            there but a video by it would not.
        fast: the distilled form, one pass a step and few steps (`humo.loading.fast_form`); mini has one.
        cache: "first_block" or "taylor", which leave out most of the network at steps that change little
            (`humo.layers.step_caches`); None computes all of it.
        lora: added before the memory is saved, as `HuMoPipeline.load_lora_weights` takes it (`humo.layers.loras`); or
            several, each alone or as a pair with its weight, as in [("face.safetensors", 0.8), "steps.safetensors"].
        compile: compute the transformer as compiled code (`humo.loading.compiling`): a small model's on a CPU takes a
            minute once and is kept in the user's cache, other models' are compiled at the first pass.
        transformer: a file (GGUF, float8, 16 or 32 bits, `humo.loading.single_file`) in place of the model's own;
            what is quantised in it stays so.
        text_encoder: the same in place of umT5.
        vae: the same in place of the video codec; it is computed in float32.

    Returns:
        The pipeline, ready to be called.

    Raises:
        ValueError: if the preset or folder is unknown, there is no such device, a file of it is missing or truncated,
            the published files are neither here nor to be had, the memory is too small, there is no such cache or no
            fast form, the LoRA does not fit, a small model is to be compiled with a cache or a LoRA, or a file is not
            what it is given as.
    """
    device = read_device(device)
    if cache is not None:
        read_cache(cache)
    loras = read_loras(lora)
    is_asked, dtype = dtype is not None, dtype or default_dtype(device)
    files = given_files(preset_or_folder, transformer=transformer, text_encoder=text_encoder, vae=vae)
    name = _model_of(preset_or_folder, files)
    check_asked(name, files, device, dtype, memory, fast)  # before gigabytes are downloaded
    folder = _find(name, files, device, dtype)
    if "transformer" not in files and (own := transformer_file(folder)):
        files["transformer"] = own
    check_folder(folder, files)
    num_values = values_of_folder(folder, files)
    num_bytes = bytes_of(num_values, folder, dtype) + sum(file.stat().st_size for file in files.values())
    check_memory(folder.name, num_bytes, device if memory is None else None)
    is_small = device.type == "cpu" and not files and sum(num_values.values()) * torch.float32.itemsize <= SMALL
    is_narrowed = not is_asked and is_small
    dtypes = dict.fromkeys(parts_in_float32(folder), torch.float32)
    with _LOADING:
        parts = load_files(files, dtype)
        pipeline = HuMoPipeline.from_pretrained(
            str(folder),
            dtype={**dtypes, "default": torch.float32 if is_narrowed else dtype},
            local_files_only=True,
            **parts,
        )
    if files:
        check_parts_fit(pipeline)
    if is_narrowed:
        for part in (pipeline.transformer, pipeline.vae, pipeline.focus_head):
            _narrow(part, dtype)
    for name, component in pipeline.components.items():
        if isinstance(component, torch.nn.Module) and any(p.is_meta for p in component.parameters()):
            raise ValueError(f"The weights of {name} in {folder.name} are incomplete: {FETCH_AGAIN}.")
    if fast:
        pipeline = make_fast(pipeline, folder)
    add_loras(pipeline, loras)
    use_cache(pipeline.transformer, cache)
    if device.type == "cpu":
        _align(pipeline)
        if isinstance(pipeline.vae, HuMoVideoCodec):
            pipeline.vae.decoder.use_channels_last()
    place(pipeline, device, memory)
    if compile:
        from humo.loading.compiling import use_compiled  # what is compiled, and so its tools, few ask for

        use_compiled(pipeline, is_small)
    return pipeline


def _narrow(model: torch.nn.Module | None, dtype: torch.dtype) -> None:
    """Bring a model's weights to a dtype, but for those that it keeps in float32."""
    if isinstance(model, HuMoTransformer3DModel | HuMoVideoCodec | FaceMaskPredictor):
        for name, parameter in model.named_parameters():
            if not stays_in_float32(model, name):
                parameter.data = parameter.data.to(dtype)


def _model_of(model: str | Path, files: Mapping[str, Path]) -> str:
    """The model that is asked for: its name or folder, of a transformer's file that of what belongs around it."""
    name = str(model)
    if "transformer" in files and (Path(name).is_file() or name == "mini"):
        return form_of_file(files["transformer"])
    return name


def _find(name: str, files: Mapping[str, Path], device: torch.device, dtype: torch.dtype) -> Path:
    """The folder of a model, or of what belongs around files that are given."""
    if name in PRESETS:
        return prepare(without_parts(PRESETS[name], files.keys()), device, dtype)
    folder = MINI if name == "mini" else Path(name)
    if not folder.is_dir():
        raise ValueError(
            f"There is no model {name!r}: give 'mini', '1.7B', '17B' or a folder that save_pretrained wrote, or the "
            "file of a transformer."
        )
    return folder


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
    if further := input_channels(config)[form] - latent_channels:
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
