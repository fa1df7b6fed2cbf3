"""A folder with everything, for the Hub: weights, their index, the blocks' code and where it is.

    modular_model_index.json    which parts, and where each is
    modular_config.json         which class of which file makes the blocks
    block.py                    imports them from this project, which has to be installed
    transformer/, vae/, ...     the parts

`ModularPipeline.from_pretrained(folder, trust_remote_code=True)` reads it, then `load_components()` the parts.
"""

from __future__ import annotations

from pathlib import Path

from diffusers.modular_pipelines import ModularPipeline

from humo.modular.blocks import HuMoBlocks, with_blocks
from humo.pipeline import HuMoPipeline
from humo.system.files import read_object, write_json, write_text

_INDEX, _CONFIG = ModularPipeline.config_name, HuMoBlocks.config_name
_CODE = '''"""The blocks of HuMo, compact, which has to be installed."""

from humo.modular import HuMoBlocks as HuMoBlocks
'''


def save_modular(pipe: HuMoPipeline, folder: str | Path, repository: str | None = None) -> Path:
    """Write a pipeline as a folder of `custom_blocks`, which diffusers loads from a disk or the Hub.

    Args:
        pipe: from `humo.load`.
        folder: where to write; made if needed.
        repository: where on the Hub it will lie, "owner/name", which the index then names; a folder on a disk is read
            from there in any case.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = with_blocks(pipe)
    made.save_pretrained(str(folder), overwrite_modular_index=True)  # it takes no Path
    index = read_object(folder / _INDEX) or {}
    for name in made.component_names:  # where it was written is a path of this machine
        index[name][2]["pretrained_model_name_or_path"] = repository or folder.resolve().name
    write_json(folder / _INDEX, index)
    HuMoBlocks().save_pretrained(folder)
    config = read_object(folder / _CONFIG) or {}
    write_json(folder / _CONFIG, config | {"auto_map": {"ModularPipelineBlocks": f"block.{HuMoBlocks.__name__}"}})
    write_text(folder / "block.py", _CODE)
    return folder
