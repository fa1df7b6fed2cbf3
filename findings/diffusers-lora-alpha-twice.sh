#!/usr/bin/env bash
# diffusers 0.42.1: `WanLoraLoaderMixin.lora_state_dict` scales the caller's own tensors in place where a LoRA in Wan's
# naming carries an alpha, in cross-attention and feed-forward layers. Whoever gives the same dictionary twice, for two
# pipelines or after an unload, gets alpha / rank twice: an up times down of 0.5 the first time and of 0.25 the second.
# A shallow copy of the dictionary does not help; copy the tensors. A self-attention layer is not touched.
# Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.2 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - <<'PY'
import sys

import torch
from diffusers.loaders import WanLoraLoaderMixin


def effects(layer, name):
    """Rank 2 and alpha 1, so half of up times down; each time from the same dictionary."""
    given = {
        f"diffusion_model.blocks.0.{layer}.lora_A.weight": torch.ones(2, 4),
        f"diffusion_model.blocks.0.{layer}.lora_B.weight": torch.ones(4, 2),
        f"diffusion_model.blocks.0.{layer}.alpha": torch.tensor(1.0),
    }
    found = []
    for _ in range(2):
        read = WanLoraLoaderMixin.lora_state_dict(dict(given))
        up, down = (read[f"transformer.blocks.0.{name}.lora_{side}.weight"] for side in "BA")
        found.append((up @ down)[0, 0].item() / 2)
    return found


layers = {"self_attn.q": "attn1.to_q", "cross_attn.q": "attn2.to_q", "ffn.0": "ffn.net.0.proj"}
results = {layer: effects(layer, name) for layer, name in layers.items()}
print(results)
sys.exit(0 if results["cross_attn.q"] == results["ffn.0"] == [0.5, 0.25] else "changed")
PY
