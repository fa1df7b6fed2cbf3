#!/usr/bin/env bash
# diffusers 0.42.1 says that it is typed (py.typed), and to a type checker its main classes are empty ones: its
# `__init__` imports the stand-ins for a missing torch (diffusers/utils/dummy_pt_objects.py) by a star before the real
# classes, in branches of `if TYPE_CHECKING`, and the first definition counts. mypy 2.4.1 takes DiffusionPipeline,
# ModelMixin and AutoencoderKLWan for the stand-ins, which have __init__, from_config and from_pretrained alone: every
# use of `save_pretrained`, `to` or `config` is an error. The classes imported from the modules in which they are
# defined are whole. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet diffusers==0.42.1 mypy==2.4.1
cat >short.py <<'PY'
from diffusers import AutoencoderKLWan, DiffusionPipeline, ModelMixin

def keep(pipe: DiffusionPipeline, model: ModelMixin, vae: AutoencoderKLWan) -> None:
    pipe.save_pretrained("pipe")
    model.save_pretrained("model")
    vae.save_pretrained("vae")
PY
cat >whole.py <<'PY'
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

def keep(pipe: DiffusionPipeline, model: ModelMixin, vae: AutoencoderKLWan) -> None:
    pipe.save_pretrained("pipe")
    model.save_pretrained("model")
    vae.save_pretrained("vae")
PY
said() { env/bin/mypy --follow-imports=silent --ignore-missing-imports "$1" | grep -c 'has no attribute "save_pretrained"' || true; }
short=$(said short.py)
whole=$(said whole.py)
echo "imported from diffusers: $short of 3 have no save_pretrained; from their own modules: $whole"
[[ $short == 3 && $whole == 0 ]] || { echo changed; exit 1; }
