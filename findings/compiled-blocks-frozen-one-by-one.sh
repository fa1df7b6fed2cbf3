#!/usr/bin/env bash
# diffusers 0.42.1 compiles the repeated blocks of a transformer (`compile_repeated_blocks`) so that all blocks share
# one piece of code: ten blocks of a WanTransformer3DModel are one compilation with torch 2.13.0. With inductor's
# `freezing`, which packs weights for a CPU beforehand, weights become constants of the code, so each block is compiled
# for itself; at the eighth dynamo's recompile limit is reached, and the last blocks run uncompiled, told by a log
# line alone. Fails if that has changed. Needs a C++ compiler.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet diffusers==0.42.1 torch==2.13.0 transformers==5.23.0 accelerate
cat >count.py <<'PY'
import sys
import torch
import torch._inductor.config as inductor
from diffusers import WanTransformer3DModel
from torch._dynamo.utils import counters

inductor.freezing = sys.argv[1] == "frozen"
torch.manual_seed(0)
model = WanTransformer3DModel(
    num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, text_dim=8, ffn_dim=32, num_layers=10
).eval().requires_grad_(False)
model.compile_repeated_blocks()
with torch.no_grad():
    model(torch.randn(1, 4, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, 8))
print(counters["stats"]["unique_graphs"])
PY
shared=$(env/bin/python count.py shared 2>shared.log)
frozen=$(env/bin/python count.py frozen 2>frozen.log)
told=$(grep -c "recompile_limit" frozen.log || true)
echo "compiled for ten blocks: $shared; frozen: $frozen, and the limit was reached $told time(s)"
[[ $shared == 1 && $frozen == 8 && $told -ge 1 ]] || { tail -3 frozen.log; echo changed; exit 1; }
