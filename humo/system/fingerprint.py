"""Which model made this? Fingerprints of models in memory; of those on the disk `humo.system.digests`.

A small model is read whole. Of one of many gigabytes a few numbers of each tensor are enough, since training changes
all numbers of what it trains. Which parts count, and whether another dtype is another model, differs: hence a function
for each. Files of earlier runs hold these values, so none may change.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humo.system.digests import digest_data


def fingerprint(model: nn.Module) -> str:
    """Ten letters from every weight of a model, whatever its dtype or device."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:10]


def fingerprint_pipeline(pipe: Any) -> str:
    """Ten letters from every component with weights."""
    told = "".join(f"{name}{fingerprint(part)}" for name, part in _models(pipe))
    return hashlib.sha256(told.encode()).hexdigest()[:10]


def fingerprint_large_pipeline(pipe: Any) -> str:
    """Ten letters from every component with weights: names, shapes, dtypes and sixty-four numbers of each tensor."""
    digest = hashlib.sha256()
    for part, model in _models(pipe):
        for name, value in sorted(model.state_dict().items()):
            flat = value.detach().flatten()
            chosen = torch.linspace(0, max(0, len(flat) - 1), min(64, len(flat))).long().to(flat.device)
            digest.update(f"{part}.{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(flat[chosen].to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:10]


def fingerprint_text_encoder(text_encoder: Any) -> str:
    """Of features to the bit: the config, and names, shapes, dtypes and eight numbers of each tensor.

    Args:
        text_encoder: any of transformers' models, on any device but meta.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    config = text_encoder.config.to_dict()
    told = {key: value for key, value in config.items() if key not in ("_name_or_path", "transformers_version")}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
    for name, weight in text_encoder.state_dict().items():
        values = _spread(weight).double().tolist()
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} {values}".encode())
    return digest.hexdigest()


def fingerprint_components(pipe: Any, names: Iterable[str]) -> str:
    """Of what some components encode, in any dtype: their sizes, and eight rounded numbers of each tensor.

    Args:
        pipe: a loaded pipeline.
        names: of the components; those without weights count by their class.

    Returns:
        16 hexadecimal digits; another codec or encoder gives others.
    """
    digest = hashlib.sha256()
    for name in names:
        component = getattr(pipe, name)
        if not isinstance(component, nn.Module):
            digest.update(f"{name} {type(component).__name__}".encode())
            continue
        for key, weight in sorted(component.state_dict().items()):
            some = _spread(weight).float().cpu().numpy()
            digest.update(f"{name}.{key} {tuple(weight.shape)}".encode() + np.round(some, 3).tobytes())
    digest.update(json.dumps(pipe.config.max_sequence_length).encode())
    return digest.hexdigest()[:16]


def fingerprint_generator(transformer: Any, vae: nn.Module) -> str:
    """Of what makes frames, under any memory preset: the transformer's settings, first layer, norms, detail head,
    adapters, codec.

    Every training of ours changes norms (`humo.training.transformer.stages`, `humo.finetuning.model`), and memory
    presets leave them in full precision. LoRA adapters are noticed as long as they are not fused into the weights.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    watched = [transformer.patch_embedding.weight]
    kinds = ("lora_", "norm", "detail_head")
    watched += [value for name, value in transformer.named_parameters() if any(kind in name for kind in kinds)]
    watched += list(vae.parameters())
    config = {key: value for key, value in transformer.config.items() if not key.startswith("_")}
    if not config.get("detail_layers"):  # as shots say it that are older than the detail head
        config = {key: value for key, value in config.items() if not key.startswith("detail_")}
    told = {"config": config, "class": type(transformer).__name__}
    return digest_data(told, (value.detach().flatten()[:64].bfloat16().float().cpu().numpy() for value in watched))


def fingerprint_frozen(model: nn.Module) -> int:
    """Of the weights that a training leaves alone, as a number that processes can exchange; 64 numbers of each tensor.

    Args:
        model: on the CPU, before it is split among processes.
    """
    value = 0
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            value = zlib.crc32(name.encode(), value)
            value = zlib.crc32(parameter.data.flatten()[:64].float().numpy().tobytes(), value)
    return value


def _models(pipe: Any) -> list[tuple[str, nn.Module]]:
    return sorted((name, part) for name, part in pipe.components.items() if isinstance(part, nn.Module))


def _spread(weight: Tensor) -> Tensor:
    """Eight numbers of a tensor, from all over it."""
    return weight.flatten()[:: max(1, weight.numel() // 8)][:8]
