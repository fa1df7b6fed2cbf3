"""LoRAs as they are published for Wan, read whole: every tensor is added to the model, named as left out, or refused.

A LoRA changes a layer's weight by scale * up @ down and its bias by a vector. Files of many trainers say so in many
ways, and all of these are read:

- the layer's name: ours, which is diffusers', or Wan's own (`humo.loading.published.keys`), with dots or with
  underscores, with or without what stands before it ("transformer.", "diffusion_model.", "lora_unet_" ...);
- up and down: lora_B and lora_A, or lora_up and lora_down; the scale: alpha / rank where a layer has an alpha, else 1;
- a whole change of a weight (diff), which is the product of itself and the identity; of a bias (diff_b, lora_B.bias).

The patch embedding of the 17B form has further channels after those of the noise, where a LoRA made for the 1.7B form
or for Wan's text-to-video changes nothing. Norms and tables are no matter of LoRA: what a file says of them is left out
and told. diffusers' own conversion (0.42.1) leaves out more and does not say so, fails where a layer has no pair of
matrices, and changes the dictionary that it is given. This file is ours; the names are the trainers'.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.loaders import WanLoraLoaderMixin
from diffusers.loaders.lora_base import _fetch_state_dict
from diffusers.utils import get_adapter_name
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import Tensor, nn

from humo.layers.float8 import check_can_be_saved, check_takes_lora, check_takes_sum
from humo.layers.published_names import rename_published_layer
from humo.system.digests import digest_file

logger = logging.getLogger(__name__)
_PREFIXES = ("base_model.model.", "diffusion_model.", "transformer.", "model.", "module.", "pipe.dit.", "dit.")
_UNDERSCORED = ("lora_unet_", "lora_transformer_")
_DOWN, _UP = r"lora_A|lora_down|lora\.down|lora_linear_layer\.down", r"lora_B|lora_up|lora\.up|lora_linear_layer\.up"
_KEY = re.compile(
    rf"^(?P<layer>.+)\.(?:(?P<down>{_DOWN})(?:\.\w+)?\.weight|(?P<up>{_UP})(?:\.\w+)?\.weight"
    rf"|(?P<bias>{_UP})(?:\.\w+)?\.bias|(?P<alpha>alpha)|(?P<diff>diff)|(?P<diff_b>diff_b))$"
)
"""What a key says of which layer; a part may bear the adapter's name, as in lora_A.default.weight."""
_OTHERS = re.compile(r"dora_scale|lora_magnitude_vector|lora_mid|lokr_|hada_|oft_|glora|\.(a1|a2|b1|b2)\.weight")
"""What DoRA, LoCon, LoKr, LoHa, OFT and GLoRA have."""
_OTHER = "give a LoRA that was made for a model of this size"
_TOLD = "_told_of_loras"
"""Where a pipeline keeps what is known of its LoRAs, by adapter."""
_FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_OPTIONS = (
    *("weight_name", "use_safetensors", "local_files_only", "cache_dir", "force_download"),
    *("proxies", "token", "revision", "subfolder"),
)
"""Of diffusers' loader, where to find a file."""


class LoraLoader(WanLoraLoaderMixin):
    """A pipeline's LoRAs; to be named before `DiffusionPipeline`."""

    transformer: Any

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """Add a LoRA; one that was there before is kept, but switched off (`set_adapters` switches on several).

        Args:
            pretrained_model_name_or_path_or_dict: a file, a folder or repository with one, or its tensors.
            adapter_name: by which it is switched on and off; default a new one.
            hotswap: put it in the place of the one of that name, of the same layers.
            **kwargs: of diffusers, where to find the file: weight_name, subfolder, revision ...

        Raises:
            ValueError: if the file cannot be read or does not fit the model, or the weights rest in float8.
        """
        check_takes_lora(self.transformer)
        given, metadata = _fetch(pretrained_model_name_or_path_or_dict, kwargs)
        tensors = read_lora(given, self.transformer)
        adapter_name = adapter_name or get_adapter_name(self.transformer)
        self.load_lora_into_transformer(
            tensors,
            transformer=self.transformer,
            adapter_name=adapter_name,
            metadata=metadata,
            _pipeline=self,
            low_cpu_mem_usage=False,  # so that each tensor takes the dtype of its layer
            hotswap=hotswap,
        )

        told = {"name": adapter_name, "weight": 1.0} | _source_of(pretrained_model_name_or_path_or_dict)
        self.__dict__.setdefault(_TOLD, {})[adapter_name] = told

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights: Any = None) -> None:
        """Switch LoRAs on, and all others off; as diffusers' own, and it is remembered for `active_loras`."""
        super().set_adapters(adapter_names, adapter_weights)
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        weights = adapter_weights if isinstance(adapter_weights, list) else [adapter_weights] * len(names)
        told = self.__dict__.setdefault(_TOLD, {})
        for name, weight in zip(names, weights, strict=True):
            one = told.setdefault(name, {"name": name})  # it may have come to the transformer, past this pipeline
            weight = weight.get(self.transformer_name) if isinstance(weight, Mapping) else weight
            one["weight"] = float(weight) if isinstance(weight, int | float) else 1.0

    def active_loras(self) -> list[dict[str, Any]]:
        """The LoRAs that count now, as plain data: name, weight, and the file's SHA-256 where it came from one.

        A weight for each block (diffusers takes a dictionary) is not told: it reads as 1.
        """
        if not self.transformer._hf_peft_config_loaded:
            return []
        told = self.__dict__.get(_TOLD, {})
        return [dict(told.get(name, {"name": name, "weight": 1.0})) for name in self.get_active_adapters()]

    def unfuse_lora(self, *args: Any, **kwargs: Any) -> None:
        """As diffusers' own, which does not ask the model.

        Raises:
            ValueError: if the weights rest in float8.
        """
        check_takes_sum(self.transformer)
        super().unfuse_lora(*args, **kwargs)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As diffusers' own.

        Raises:
            ValueError: before anything is written, if the transformer's weights are not its own (`humo.layers.float8`).
        """
        check_can_be_saved(self.transformer)
        super().save_pretrained(*args, **kwargs)


def check_lora(source: str | Path | Mapping[str, Tensor]) -> None:
    """Refuse a file that is not there, before minutes are spent on a model.

    Raises:
        ValueError: if it is a path of a file, and there is none.
    """
    if not isinstance(source, Mapping) and Path(source).suffix in _FILES and not Path(source).is_file():
        raise ValueError(f"The LoRA {Path(source).name} does not exist: give the path of a file.")


def _source_of(source: str | Path | Mapping[str, Tensor]) -> dict[str, Any]:
    """Name and digest of a file; of a repository its name, of tensors nothing."""
    if isinstance(source, Mapping):
        return {}
    path = Path(source)
    return {"name": path.stem, "sha256": digest_file(path)} if path.is_file() else {"name": path.name}


def read_lora(given: Mapping[str, Tensor], transformer: Any) -> dict[str, Tensor]:
    """Read a LoRA of any of the namings above; what is left out is logged.

    Args:
        given: its tensors by key; they are not changed.
        transformer: to which it is to be added.

    Returns:
        Tensors under diffusers' names, float32, each layer whole: lora_A.weight, lora_B.weight and, if any of them has
        one, lora_B.bias. What they change has a scale of 1.

    Raises:
        ValueError: if it is of another kind or another model, incomplete, or not finite.
    """
    layers = _layers_of(transformer)
    underscored = {name.replace(".", "_"): name for name in layers}
    found: dict[str, dict[str, Tensor]] = defaultdict(dict)
    left_out: dict[str, Tensor] = {}
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, Tensor | float | int):
            raise ValueError(f"The LoRA holds {key!r}, a {type(value).__name__}: give tensors by name.")
        if _OTHERS.search(key):
            raise ValueError(
                f"The LoRA holds {key!r}, of DoRA, LoCon, LoHa, LoKr or OFT, which are not read: give a plain LoRA."
            )
        match = _KEY.match(key)
        name = None if match is None else _our_name(match["layer"], layers, underscored)
        kind = "" if match is None else str(match.lastgroup)
        if name is None:
            left_out[key] = torch.as_tensor(value)
        elif kind in found[name]:
            raise ValueError(f"The LoRA holds the {kind} of {name} twice, the second time as {key!r}.")
        else:
            found[name][kind] = torch.as_tensor(value).detach().cpu().float()
    read = {name: _read_layer(name, parts, layers[name], transformer) for name, parts in found.items()}
    changed = {name: parts for name, parts in read.items() if parts is not None}
    if not changed:
        first = f" (its first key is {next(iter(given))!r})" if given else ""
        raise ValueError(f"The LoRA changes no layer of this model{first}: give one that was made for Wan2.1 or HuMo.")
    _tell(left_out)
    return _written(changed, layers)


def _fetch(source: str | Path | Mapping[str, Tensor], options: Mapping[str, Any]) -> tuple[Mapping[str, Tensor], Any]:
    """The tensors of a file, and what diffusers' or peft's metadata say of their scale."""
    if isinstance(source, Mapping):
        return source, None
    check_lora(source)
    asked = {name: options.get(name) for name in _OPTIONS}
    is_any = asked["use_safetensors"] is None
    asked |= {"use_safetensors": True if is_any else asked["use_safetensors"], "allow_pickle": is_any}
    agent = {"file_type": "attn_procs_weights", "framework": "pytorch"}
    try:
        return _fetch_state_dict(str(source), user_agent=agent, **asked)
    except (OSError, SafetensorError):
        if not Path(source).is_file():
            raise  # the Hub's own words
        raise ValueError(
            f"The LoRA {Path(source).name} is damaged or no file of tensors: fetch it again, as .safetensors."
        ) from None


def _layers_of(transformer: nn.Module) -> dict[str, nn.Linear | nn.Conv3d]:
    """The layers that a LoRA can change, by name; under an earlier LoRA too."""
    layers: dict[str, nn.Linear | nn.Conv3d] = {}
    for name, module in transformer.named_modules():
        base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
        if isinstance(base, nn.Linear | nn.Conv3d) and ".base_layer" not in name and ".lora_" not in name:
            layers[name] = base
    return layers


def _our_name(given: str, layers: Mapping[str, Any], underscored: Mapping[str, str]) -> str | None:
    """Our name of a layer in any notation; None if the model has none such."""
    if prefix := next((each for each in _UNDERSCORED if given.startswith(each)), None):
        flat = given.removeprefix(prefix)
        return underscored.get(flat) or underscored.get(rename_published_layer(flat, "_") or "")
    while prefix := next((each for each in _PREFIXES if given.startswith(each)), None):
        given = given.removeprefix(prefix)
    return given if given in layers else name if (name := rename_published_layer(given)) in layers else None


def _read_layer(
    name: str, parts: Mapping[str, Tensor], layer: nn.Linear | nn.Conv3d, transformer: Any
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Down (rank, columns), up (rows, rank) with the scale in it, and the bias (rows,); None if nothing is changed."""
    if ("down" in parts) != ("up" in parts):
        raise ValueError(f"The LoRA has only one of its two matrices for {name}: fetch it again.")
    if not all(tensor.isfinite().all() for tensor in parts.values()):
        raise ValueError(f"The LoRA's numbers for {name} are not finite: fetch it again.")
    pairs, biases = [], [parts["diff_b"]] if "diff_b" in parts else []
    if "down" in parts:
        down, up = _matrix(parts["down"], name), _matrix(parts["up"], name)
        scale = parts["alpha"].item() / len(down) if "alpha" in parts else 1.0
        pairs.append((down, up * scale))
        biases += [parts["bias"] * scale] if "bias" in parts else []
    if "diff" in parts:
        pairs.append(_factors(_matrix(parts["diff"], name)))
    rows, columns = layer.weight.flatten(1).shape
    if isinstance(layer, nn.Linear):  # whose weight may be the bytes of a quantised file
        rows, columns = layer.out_features, layer.in_features
    if biases and not pairs:
        pairs.append((torch.zeros(1, columns), torch.zeros(rows, 1)))
    if not pairs:
        return None  # an alpha of nothing
    if name == "patch_embedding":
        noise = columns // transformer.config.in_channels * transformer.config.out_channels
        pairs = [(F.pad(down, (0, columns - noise)) if down.shape[1] == noise else down, up) for down, up in pairs]
    for down, up in pairs:
        _check_shapes(name, down, up, rows, columns)
    if any(bias.shape != (rows,) for bias in biases):
        raise ValueError(f"The LoRA's bias of {name} is {tuple(biases[0].shape)} but {(rows,)} is wanted: {_OTHER}.")
    down, up = torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], dim=1)
    return down, up, sum(biases, torch.zeros(())) if biases else None


def _matrix(tensor: Tensor, name: str) -> Tensor:
    """A layer's matrix (rows, columns); of a convolution, the columns are its channels and kernel in one."""
    if tensor.ndim < 2:
        raise ValueError(f"The LoRA's matrix for {name} has the shape {tuple(tensor.shape)}: {_OTHER}.")
    return tensor.flatten(1)


def _factors(diff: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as down and up: itself and the smaller identity."""
    rows, columns = diff.shape
    return (torch.eye(columns), diff) if columns < rows else (diff, torch.eye(rows))


def _check_shapes(name: str, down: Tensor, up: Tensor, rows: int, columns: int) -> None:
    if len(down) != up.shape[1]:
        raise ValueError(
            f"The LoRA's two matrices for {name} have the ranks {len(down)} and {up.shape[1]}: fetch it again."
        )
    if (len(up), down.shape[1]) != (rows, columns):
        raise ValueError(
            f"The LoRA changes {name} from {down.shape[1]} to {len(up)} channels but this model's goes from {columns} "
            f"to {rows}: {_OTHER}."
        )


def _written(
    changed: Mapping[str, tuple[Tensor, Tensor, Tensor | None]], layers: Mapping[str, nn.Linear | nn.Conv3d]
) -> dict[str, Tensor]:
    """The layers under diffusers' names. peft gives a bias to all of them or to none."""
    has_bias = any(bias is not None for _, _, bias in changed.values())
    tensors = {}
    for name, (down, up, bias) in changed.items():
        kernel = layers[name].weight.shape[2:]
        key = f"{LoraLoader.transformer_name}.{name}"
        tensors[f"{key}.lora_A.weight"] = down.unflatten(1, (-1, *kernel)) if kernel else down
        tensors[f"{key}.lora_B.weight"] = up.reshape(*up.shape, *(1 for _ in kernel))
        if has_bias:
            tensors[f"{key}.lora_B.bias"] = torch.zeros(len(up)) if bias is None else bias
    return tensors


def _tell(left_out: Mapping[str, Tensor]) -> None:
    """Log what is left out: a warning, unless it holds nothing but zeros."""
    lost = [key for key, value in left_out.items() if value.float().any()]
    if lost:
        listed = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        logger.warning(
            "Left out of the LoRA, for they change a norm, a table, or a layer that this model has not: %s.", listed
        )
    elif left_out:
        logger.info("Left out of the LoRA: %d tensors that hold zeros alone.", len(left_out))
