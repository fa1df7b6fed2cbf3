"""Tiny folders in the layout in which the published weights are downloaded: names, shards, index, .pth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import published
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration

from humo.layers.published_names import our_name
from humo.pipeline import HuMoPipeline
from humo.transformer import HuMoTransformer3DModel

CHECKPOINT = {"1.7B": "HuMo/HuMo-1.7B/ema.pth", "17B": "HuMo/HuMo-17B/humo.safetensors.index.json"}


def transformer(preset: str) -> HuMoTransformer3DModel:
    """HuMo of two blocks and one head of the published 128 channels."""
    torch.manual_seed(5)
    in_channels = 4 if preset == "1.7B" else 12
    return tiny.transformer(num_attention_heads=1, attention_head_dim=128, in_channels=in_channels, out_channels=4)


def published_state_dict(preset: str) -> dict[str, Tensor]:
    """Its tensors under the published names, by the key list of the golden figures."""
    keys = json.loads((published.GOLDEN / f"dit_{preset}.json").read_text())["keys"]
    names = {our_name(key): key for key in keys}
    return {names[name]: tensor.detach().clone() for name, tensor in transformer(preset).state_dict().items()}


def write_index(folder: Path, stem: str, tensors: dict[str, Tensor], num_shards: int = 3) -> None:
    """Shards and an index, as a training framework writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    names, weight_map = list(tensors), {}
    for number in range(num_shards):
        shard = f"{stem}-{number + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {name: tensors[name].contiguous() for name in names[number::num_shards]}
        save_file(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def whisper() -> WhisperForConditionalGeneration:
    """A whole Whisper: encoder of four layers, decoder of one."""
    torch.manual_seed(6)
    config = WhisperConfig(**{**tiny.audio_encoder().config.to_diff_dict(), "architectures": None})
    return WhisperForConditionalGeneration(config).eval()


def write(root: Path, preset: str) -> Path:
    """Write the whole layout.

    Args:
        root: folder for `weights`.
        preset: "1.7B" or "17B".

    Returns:
        The folder `weights`.
    """
    weights = root / "weights"
    checkpoint = weights / CHECKPOINT[preset]
    if preset == "1.7B":
        checkpoint.parent.mkdir(parents=True)
        torch.save(published_state_dict(preset), checkpoint)
    else:
        write_index(checkpoint.parent, "humo", published_state_dict(preset))
    wan = weights / "Wan2.1-T2V-1.3B-Diffusers"
    torch.manual_seed(7)
    text_encoder = tiny.text_encoder()
    text_encoder.save_pretrained(wan / "text_encoder", max_shard_size="3KB")
    tiny.wan_vae().save_pretrained(wan / "vae")
    tiny.tokenizer().save_pretrained(wan / "tokenizer")
    whisper().save_pretrained(weights / "whisper-large-v3")
    tiny.feature_extractor().save_pretrained(weights / "whisper-large-v3")
    return weights


def film(pipeline: HuMoPipeline) -> np.ndarray:
    """Two steps of a folder's pipeline from text, picture and sound; (9, 32, 48, 3)."""
    given = dict(image=tiny.picture(), audio=tiny.voice(0.36), num_frames=9, height=32, width=48)
    return pipeline("a woman talks", negative_prompt="a man", seed=4, num_inference_steps=2, **given).frames


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """The same frames but for rounding: weights that lie elsewhere in memory may be added up in another order."""
    np.testing.assert_allclose(one.astype(int), other, rtol=0, atol=1)
