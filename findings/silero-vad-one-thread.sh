#!/usr/bin/env bash
# silero-vad 6.2.3: importing the package leaves PyTorch with one thread for the whole process, whatever it had before,
# so that a program that finds speech and then runs a network on a CPU runs it on one core. Its module `sequence_vad`,
# which says of itself that it needs no PyTorch, does the same, for the package around it is imported first.
# Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 silero-vad==6.2.3 onnxruntime==1.32.0 numpy==2.4.6
for module in silero_vad silero_vad.sequence_vad; do
    env/bin/python - "$module" <<'PY'
import importlib
import sys

import torch

torch.set_num_threads(2)
before = torch.get_num_threads()
importlib.import_module(sys.argv[1])
after = torch.get_num_threads()
print(f"{sys.argv[1]}: threads {before}, then {after}")
sys.exit(0 if (before, after) == (2, 1) else "changed")
PY
done
