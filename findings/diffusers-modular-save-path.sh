#!/usr/bin/env bash
# diffusers 0.42.1: `ModularPipeline.save_pretrained` says that it takes `str | os.PathLike`, and with a `pathlib.Path`
# raises AttributeError ('PosixPath' object has no attribute 'split'); `DiffusionPipeline.save_pretrained` takes both.
# Give `str(path)`. Fails if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python -W ignore - <<'PY'
import inspect
import sys
from pathlib import Path

from diffusers.modular_pipelines import ModularPipeline, ModularPipelineBlocks


class Nothing(ModularPipelineBlocks):
    """A block that passes on what it is given."""

    model_name = "nothing"

    def __call__(self, components, state):
        return components, state


pipe = Nothing().init_pipeline()
pipe.save_pretrained("as-text")
raised = ""
try:
    pipe.save_pretrained(Path("as-path"))
except AttributeError as error:
    raised = str(error)
says = inspect.signature(ModularPipeline.save_pretrained).parameters["save_directory"].annotation
print(f"takes {says}; as text: {Path('as-text').is_dir()}; as a path: {raised or 'saved'}")
sys.exit(0 if "PathLike" in str(says) and Path("as-text").is_dir() and "split" in raised else "changed")
PY
