#!/usr/bin/env bash
# diffusers 0.42.1 with gguf 0.19.0: of a GGUF file's plain tensors, `load_gguf_checkpoint` hands out F32 and F16 as the
# numbers they are, but BF16 as uint8 of twice the length: a norm of 4 numbers arrives as 8 bytes. A linear layer's matrix
# is widened later, at its product; biases, norms and convolutions have nobody who does it, so a model whose file mixes
# BF16 in loads without a word and fails at its first pass. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 gguf==0.19.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - <<'PY'
import sys

import gguf
import torch
from diffusers.models.model_loading_utils import load_gguf_checkpoint

numbers = torch.tensor([1.0, -2.0, 0.5, 3.0])
writer = gguf.GGUFWriter("norms.gguf", "wan")
for kind, data in (
    ("F32", numbers.numpy()),
    ("F16", numbers.half().numpy()),
    ("BF16", numbers.bfloat16().view(torch.uint8).numpy()),
):
    writer.add_tensor(f"norm.{kind}", data, raw_dtype=gguf.GGMLQuantizationType[kind])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in load_gguf_checkpoint("norms.gguf").items()}
print(found)
kinds = {"F32": (torch.float32, (4,)), "F16": (torch.float16, (4,)), "BF16": (torch.uint8, (8,))}
sys.exit(0 if found == {f"norm.{kind}": each for kind, each in kinds.items()} else "changed")
PY
