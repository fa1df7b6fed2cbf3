"""Where a training begins: Wan's weights, a HuMo pipeline, or what an earlier stage exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn

from humo.checkpoints import MINI, from_wan
from humo.focus import FaceMaskPredictor
from humo.layers.autoencoder import HuMoVideoCodec
from humo.loading.published.conversion import find_converted
from humo.loading.published.parts import BLACK_LEVEL
from humo.loading.published.presets import PRESETS
from humo.loading.published.shards import check_weights, read_json
from humo.references import encode_black_video
from humo.transformer import NUM_ATTENDED_BLOCKS, HuMoTransformer3DModel

RECORD = "finetune.json"
"""What a finished training tells about itself."""
_REMEDY = "give a Wan2.1 text-to-video folder in diffusers' layout, a HuMo folder, or what an earlier stage wrote"
_KINDS = {"WanTransformer3DModel": WanTransformer3DModel, "HuMoTransformer3DModel": HuMoTransformer3DModel}
_CODECS = {"AutoencoderKLWan": AutoencoderKLWan, "HuMoVideoCodec": HuMoVideoCodec}


@dataclass(frozen=True, slots=True)
class Source:
    """The parts of a folder with which a training begins; what is None is not there."""

    name: str
    """Of the folder, for sentences and records."""
    transformer: Path
    """Folder of a WanTransformer3DModel or a HuMoTransformer3DModel."""
    config: dict[str, Any]
    """The transformer's."""
    focus_head: Path | None = None
    """Folder of the focus head."""
    lora: Path | None = None
    """Folder of LoRA weights that belong to the transformer."""
    vae: Path | None = None
    """Folder of the video codec."""
    black_level: float = BLACK_LEVEL
    """Pixel value of the 17B form's null video."""

    @property
    def is_wan(self) -> bool:
        """Whether it is Wan itself, which has no audio modules yet."""
        return self.config["_class_name"] == "WanTransformer3DModel"


def find_source(name: str, vae: Path | None = None) -> Source:
    """Look into a folder or preset, file by file, without reading weights.

    Args:
        name: a folder, or "1.7B", "17B" (once converted) or "mini".
        vae: folder of the video codec, if the folder has none and the 17B form needs it.

    Raises:
        ValueError: if it is not there, holds no transformer that HuMo can begin with, or a file is missing or damaged.
    """
    folder = _resolve(name)
    transformer = folder / "transformer" if (folder / "transformer").is_dir() else folder
    if not (transformer / "config.json").is_file():
        raise ValueError(f"{folder.name} holds no transformer (config.json): {_REMEDY}.")
    config = read_json(transformer / "config.json")
    if config.get("_class_name") not in _KINDS:
        raise ValueError(f"{folder.name} holds a {config.get('_class_name')}, neither Wan nor HuMo: {_REMEDY}.")
    check_weights(transformer)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    return Source(
        name=folder.name,
        transformer=transformer,
        config=config,
        focus_head=_part(folder / "focus_head"),
        lora=_part(folder / "lora"),
        vae=vae or _part(folder / "vae"),
        black_level=float(record.get("black_level", index.get("black_level", BLACK_LEVEL))),
    )


def load_transformer(
    source: Source, has_condition_channels: bool = False, is_empty: bool = False, **audio: Any
) -> HuMoTransformer3DModel:
    """The transformer in float32 on the CPU.

    Args:
        source: from `find_source`.
        has_condition_channels: widen the input of a Wan to the 17B's form.
        is_empty: leave the weights out, in memory that is not touched: for processes that get them from the first.
        **audio: audio arguments of `HuMoTransformer3DModel` where Wan is to get others than the published ones.

    Returns:
        A transformer whose velocity equals Wan's if the source is Wan; new modules come from torch's generator.

    Raises:
        ValueError: if the model has parts that HuMo has not, weights are incomplete, or what is to be
            widened is no Wan.
    """
    if has_condition_channels and not source.is_wan:
        raise ValueError(
            f"condition_channels is on but {source.name} is a HuMo already, whose form stays: "
            "leave it out, or begin from Wan."
        )
    kind, form = _KINDS[source.config["_class_name"]], "17B" if has_condition_channels else "1.7B"
    if is_empty:
        with init_empty_weights(include_buffers=False):
            transformer = _as_humo(kind.from_config(source.config), form, **audio)
        _allocate(transformer)
        return transformer
    loaded = kind.from_pretrained(source.transformer, torch_dtype=torch.float32, local_files_only=True)
    if any(parameter.is_meta for parameter in loaded.parameters()):
        raise ValueError(f"The weights in {source.name} are incomplete: {_REMEDY}.")
    transformer = _as_humo(loaded, form, **audio)
    if source.lora is not None:
        _merge_lora(transformer, source.lora)
    return transformer


def load_focus_head(source: Source, transformer: HuMoTransformer3DModel, hidden_dim: int) -> FaceMaskPredictor:
    """The source's focus head, or a new one from torch's generator.

    Args:
        source: from `find_source`.
        transformer: whose states it reads.
        hidden_dim: width of a new head's hidden layer; 0 for a linear one.

    Raises:
        ValueError: if the source's head does not fit its transformer.
    """
    config = transformer.config
    wanted = {
        "dim": config.num_attention_heads * config.attention_head_dim,
        "num_blocks": min(NUM_ATTENDED_BLOCKS, config.num_layers),
    }
    if source.focus_head is None:
        return FaceMaskPredictor(**wanted, hidden_dim=hidden_dim or None, patch_size=tuple(config.patch_size))
    head = FaceMaskPredictor.from_pretrained(source.focus_head, local_files_only=True)
    given = {name: head.config[name] for name in wanted}
    if given != wanted:
        raise ValueError(f"The focus head in {source.name} has {given} but {wanted} are needed.")
    return head


class NullVideo:
    """Latents of the null video that the 17B form shows, computed once for every size.

    Args:
        source: whose codec encodes it; read when it is first needed.

    Raises:
        ValueError: if the source has no codec.
    """

    def __init__(self, source: Source) -> None:
        if source.vae is None:
            raise ValueError(
                f"{source.name} has no video codec, whose null video a transformer of "
                "this input form needs: give its folder with --vae."
            )
        config = read_json(source.vae / "config.json")
        if config.get("_class_name") not in _CODECS:
            raise ValueError(f"{source.vae.name} holds a {config.get('_class_name')}: use {' or '.join(_CODECS)}.")
        check_weights(source.vae)
        self.codec = _CODECS[config["_class_name"]].from_pretrained(source.vae, local_files_only=True).eval()
        self.level = source.black_level
        self._known: dict[tuple[int, ...], Tensor] = {}

    @torch.no_grad()
    def __call__(self, num_latents: int, rows: int, columns: int, device: torch.device) -> Tensor:
        """Latents (1, z, num_latents, rows, columns) on the device, float32."""
        size = num_latents, rows, columns
        if size not in self._known:
            scale = self.codec.config.scale_factor_spatial
            codec = self.codec.to(device)
            self._known[size] = encode_black_video(
                codec, num_latents, rows * scale, columns * scale, self.level, device
            ).cpu()
            self.codec.to("cpu")
        return self._known[size].to(device)


def _resolve(name: str) -> Path:
    if name in PRESETS:
        converted = find_converted(PRESETS[name], torch.float32) or find_converted(PRESETS[name], torch.bfloat16)
        if converted is None:
            raise ValueError(f"The {name} model is not converted yet: run `python -m humo convert --preset {name}`.")
        return converted
    folder = MINI if name == "mini" else Path(name)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {name!r}: {_REMEDY}.")
    return folder


def _part(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


def _as_humo(loaded: Any, form: Any, **audio: Any) -> HuMoTransformer3DModel:
    return loaded if isinstance(loaded, HuMoTransformer3DModel) else from_wan(loaded, form, **audio)


def _merge_lora(transformer: HuMoTransformer3DModel, folder: Path) -> None:
    """Adds LoRA weights to the weights that they belong to."""
    transformer.load_lora_adapter(folder, prefix="transformer", use_safetensors=True, local_files_only=True)
    transformer.fuse_lora()
    transformer.unload_lora()


def _allocate(module: nn.Module) -> None:
    """Replaces parameters without memory by ones whose memory is set aside but not written."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None and parameter.is_meta:
                child._parameters[name] = nn.Parameter(torch.empty_like(parameter, device="cpu"))
