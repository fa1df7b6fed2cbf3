"""Loading: presets, folders, Wan's weights, and the published ones.

A folder is what `HuMoPipeline.save_pretrained` writes (diffusers' layout, safetensors). It is checked file
by file before anything is built, so that a missing or truncated file is one clear sentence.

Source of the key names: the released HuMo checkpoints and diffusers' Wan.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

import humo.codec  # noqa: F401 (diffusers loads a saved class only from a module that is imported)
from humo.pipeline import HuMoPipeline
from humo.transformer import HuMoTransformer3DModel

MINI = Path(__file__).resolve().parent.parent / "assets" / "humo-mini"
"""Folder of the bundled model."""
PUBLISHED = ("1.7B", "17B")
PUBLISHED_HEAD_DIM = 128
_WEIGHTED = ("text_encoder", "audio_encoder", "transformer", "vae", "focus_head")


def load(
    preset_or_folder: str | Path = "mini",
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> HuMoPipeline:
    """Load a pipeline.

    Args:
        preset_or_folder: "mini", or a folder that `HuMoPipeline.save_pretrained` wrote.
        device: where to compute; default a GPU if there is one, else the CPU.
        dtype: of all weights but the video codec's, which stay float32; default bfloat16 on a GPU, float32 on
            the CPU.

    Returns:
        The pipeline, ready to be called.

    Raises:
        ValueError: if the preset or folder is unknown, or a file of it is missing or truncated.
    """
    folder = _resolve(str(preset_or_folder))
    check_folder(folder)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    pipeline = HuMoPipeline.from_pretrained(
        str(folder), dtype={"vae": torch.float32, "default": dtype}, local_files_only=True
    )
    for name, component in pipeline.components.items():
        if isinstance(component, torch.nn.Module) and any(p.is_meta for p in component.parameters()):
            raise ValueError(f"The weights of {name} in {folder.name} are incomplete: fetch the folder again.")
    return pipeline.to(device)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not a whole pipeline.

    Args:
        folder: as `HuMoPipeline.save_pretrained` writes it.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    index = _read_json(folder / "model_index.json")
    for name, value in index.items():
        is_component = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        if is_component and not (folder / name).is_dir():
            raise ValueError(f"{folder.name} lacks its part {name}: fetch the folder again.")
        if is_component and name in _WEIGHTED:
            _read_json(folder / name / "config.json")
            _check_weights(folder / name)


def _resolve(name: str) -> Path:
    if name in PUBLISHED:
        raise ValueError(
            f"The published weights {name!r} come as a converted folder: convert them and load that folder."
        )
    folder = MINI if name == "mini" else Path(name)
    if not folder.is_dir():
        raise ValueError(
            f"There is no model {name!r}: give 'mini', '1.7B', '17B' or a folder that save_pretrained wrote."
        )
    return folder


def _read_json(path: Path) -> dict[str, Any]:
    place = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise ValueError(f"{place} is missing: fetch the folder again.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{place} is damaged: fetch the folder again.") from None


def _check_weights(folder: Path) -> None:
    """Every weight file is there and as long as its own header says."""
    indices = list(folder.glob("*.safetensors.index.json"))
    shards = {folder / name for index in indices for name in _read_json(index)["weight_map"].values()}
    files = sorted(shards or folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder.name} has no weights (*.safetensors): fetch the folder again.")
    for file in files:
        place = f"{file.parent.name}/{file.name}"
        if not file.is_file():
            raise ValueError(f"{place} is missing: fetch the folder again.")
        try:
            with safe_open(file, framework="pt"):
                pass
        except SafetensorError:
            raise ValueError(f"{place} is truncated or damaged: fetch the folder again.") from None


def from_wan(wan: WanTransformer3DModel, **audio: Any) -> HuMoTransformer3DModel:
    """Start HuMo's training from Wan: the video and text weights are Wan's, the audio attention adds nothing
    yet.

    Args:
        wan: a text-to-video Wan2.1 transformer.
        **audio: the audio arguments of `HuMoTransformer3DModel`, where they differ from the published ones.

    Returns:
        A transformer whose velocity equals Wan's at step 0, whatever the sound.

    Raises:
        ValueError: if the model has parts that HuMo has not, such as Wan's own picture embedder.

    Source: HuMo sec. 3.2 trains from Wan2.1; zero-initialised outputs are our choice, the paper names none.
    """
    shared = "patch_size num_attention_heads attention_head_dim in_channels out_channels text_dim freq_dim"
    shared += " ffn_dim num_layers cross_attn_norm eps rope_max_seq_len"
    config = {name: wan.config[name] for name in shared.split()}
    transformer = HuMoTransformer3DModel(**config, **audio)
    missing, unexpected = transformer.load_state_dict(wan.state_dict(), strict=False)
    foreign = unexpected + [key for key in missing if "audio" not in key]
    if foreign:
        raise ValueError(f"The Wan model does not fit HuMo at {foreign[0]!r}: give a text-to-video Wan2.1.")
    for block in transformer.blocks:
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].weight)
        torch.nn.init.zeros_(block.audio_attn.attn.to_out[0].bias)
    return transformer


# First match wins: the audio wrapper has to come before the text attention whose name it contains.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^(blocks\.\d+)\.audio_cross_attn_wrapper\.audio_cross_attn\.(.+)$", r"\1.audio_attn.attn.\2"),
    (r"^(blocks\.\d+)\.audio_cross_attn_wrapper\.norm1_audio\.(.+)$", r"\1.audio_attn.norm_audio.\2"),
    (r"^(blocks\.\d+)\.self_attn\.(.+)$", r"\1.attn1.\2"),
    (r"^(blocks\.\d+)\.cross_attn\.(.+)$", r"\1.attn2.\2"),
    (r"^(blocks\.\d+)\.norm3\.(.+)$", r"\1.norm2.\2"),
    (r"^(blocks\.\d+)\.ffn\.0\.(.+)$", r"\1.ffn.net.0.proj.\2"),
    (r"^(blocks\.\d+)\.ffn\.2\.(.+)$", r"\1.ffn.net.2.\2"),
    (r"^(blocks\.\d+)\.modulation$", r"\1.scale_shift_table"),
    (r"^head\.head\.(.+)$", r"proj_out.\1"),
    (r"^head\.modulation$", r"scale_shift_table"),
    (r"^time_embedding\.0\.(.+)$", r"condition_embedder.time_embedder.linear_1.\1"),
    (r"^time_embedding\.2\.(.+)$", r"condition_embedder.time_embedder.linear_2.\1"),
    (r"^time_projection\.1\.(.+)$", r"condition_embedder.time_proj.\1"),
    (r"^text_embedding\.0\.(.+)$", r"condition_embedder.text_embedder.linear_1.\1"),
    (r"^text_embedding\.2\.(.+)$", r"condition_embedder.text_embedder.linear_2.\1"),
    (r"^audio_proj\.audio_proj_glob_([123])\.layer\.(.+)$", r"audio_projection.linear_\1.\2"),
    (r"^audio_proj\.audio_proj_glob_norm\.layer\.(.+)$", r"audio_projection.norm.\1"),
    (r"^(patch_embedding\..+)$", r"\1"),
)
_PROJECTION = re.compile(r"(\.attn\d?)\.([qkvo])\.(weight|bias)$")
_PROJECTION_NAMES = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


def rename_published_key(key: str) -> str:
    """Translate one key of the released checkpoints into ours.

    Raises:
        ValueError: if the key is none of HuMo's.
    """
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            return _PROJECTION.sub(lambda m: f"{m[1]}.{_PROJECTION_NAMES[m[2]]}.{m[3]}", renamed)
    raise ValueError(f"The key {key!r} is not one of a published HuMo transformer: give that model's own state dict.")


def infer_transformer_config(
    state_dict: Mapping[str, Tensor], num_attention_heads: int | None = None
) -> dict[str, Any]:
    """Read the architecture off the shapes of a published state dict.

    Args:
        state_dict: tensors by published key.
        num_attention_heads: heads, which no shape shows; default dim / 128 as in both published models.

    Returns:
        Keyword arguments of `HuMoTransformer3DModel`.

    Raises:
        ValueError: if a key is missing or dim is not a multiple of the number of heads.
    """
    missing = [key for key in _SHAPE_KEYS if key not in state_dict]
    if missing:
        raise ValueError(f"The state dict lacks {missing[0]!r}: give the whole state dict of a published HuMo model.")
    dim, in_channels, *patch_size = state_dict["patch_embedding.weight"].shape
    heads = num_attention_heads or dim // PUBLISHED_HEAD_DIM
    if heads < 1 or dim % heads:
        raise ValueError(f"The model has {dim} channels, not a multiple of {heads} heads: give num_attention_heads.")
    audio_dim = state_dict["audio_proj.audio_proj_glob_norm.layer.weight"].shape[0]
    window, bands = 8, 5
    return {
        "patch_size": tuple(patch_size),
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": in_channels,
        "out_channels": state_dict["head.head.weight"].shape[0] // math.prod(patch_size),
        "text_dim": state_dict["text_embedding.0.weight"].shape[1],
        "freq_dim": state_dict["time_embedding.0.weight"].shape[1],
        "ffn_dim": state_dict["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": 1 + max(int(key.split(".")[1]) for key in state_dict if key.startswith("blocks.")),
        "cross_attn_norm": "blocks.0.norm3.weight" in state_dict,
        "audio_dim": audio_dim,
        "audio_tokens": state_dict["audio_proj.audio_proj_glob_3.layer.weight"].shape[0] // audio_dim,
        "audio_window": window,
        "audio_bands": bands,
        "audio_channels": state_dict["audio_proj.audio_proj_glob_1.layer.weight"].shape[1] // (window * bands),
        "audio_hidden_dim": state_dict["audio_proj.audio_proj_glob_1.layer.weight"].shape[0],
    }


def load_published_transformer(
    state_dict: Mapping[str, Tensor], num_attention_heads: int | None = None
) -> HuMoTransformer3DModel:
    """Build our transformer from a published state dict, strictly.

    Args:
        state_dict: tensors by published key, of the 1.7B or the 17B form.
        num_attention_heads: heads, which no shape shows; default dim / 128.

    Returns:
        The transformer in evaluation mode, with the dtype of the given tensors.

    Raises:
        ValueError: if a key is missing, unknown, or of the wrong shape.
    """
    config = infer_transformer_config(state_dict, num_attention_heads)
    transformer = HuMoTransformer3DModel(**config)
    converted = {rename_published_key(key): value for key, value in state_dict.items()}
    _check_keys(converted, transformer.state_dict())
    transformer.load_state_dict(converted, strict=True, assign=True)
    return transformer.eval()


_SHAPE_KEYS = (
    "patch_embedding.weight",
    "head.head.weight",
    "text_embedding.0.weight",
    "time_embedding.0.weight",
    "blocks.0.ffn.0.weight",
    "audio_proj.audio_proj_glob_1.layer.weight",
    "audio_proj.audio_proj_glob_3.layer.weight",
    "audio_proj.audio_proj_glob_norm.layer.weight",
)


def _check_keys(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - given.keys()):
        raise ValueError(f"The state dict lacks {len(missing)} of the model's tensors, first {missing[0]!r}.")
    for key, value in given.items():
        if key not in expected or value.shape != expected[key].shape:
            wanted = tuple(expected[key].shape) if key in expected else "absent"
            raise ValueError(f"The tensor {key!r} is {tuple(value.shape)} but the model wants {wanted}.")
