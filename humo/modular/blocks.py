"""The blocks in their order, and a pipeline of them that shares the parts of a loaded one."""

from __future__ import annotations

from typing import Any

from diffusers.modular_pipelines import ModularPipeline, ModularPipelineBlocks, SequentialPipelineBlocks

from humo.modular.declaring import CONFIG, describe
from humo.modular.decoding import DecodeBlock
from humo.modular.denoising import DenoiseBlock
from humo.modular.encoding import KnownBlock, NoiseBlock, ReferencesBlock, SoundBlock, TextBlock
from humo.modular.reading import ReadBlock
from humo.pipeline import HuMoPipeline


class HuMoBlocks(SequentialPipelineBlocks):
    """HuMo from text, pictures and sound to a video; `sub_blocks` may be taken out, replaced and added to.

    What each block reads and adds is told by `HuMoBlocks()` when it is printed, and by `blocks.sub_blocks[name].doc`.
    """

    model_name = "humo"
    block_classes = [
        ReadBlock,
        TextBlock,
        ReferencesBlock,
        SoundBlock,
        KnownBlock,
        NoiseBlock,
        DenoiseBlock,
        DecodeBlock,
    ]
    block_names = ["read", "text", "references", "sound", "known", "noise", "denoise", "decode"]

    @property
    def description(self) -> str:
        """The docstring's."""
        return describe(type(self))


def with_blocks(pipe: HuMoPipeline, blocks: ModularPipelineBlocks | None = None) -> ModularPipeline:
    """A modular pipeline that shares the parts and the settings of a loaded pipeline.

    Args:
        pipe: from `humo.load`.
        blocks: any; default `HuMoBlocks()`.

    Returns:
        A pipeline that is called with what its blocks take; `output="video"` asks for the video alone.
    """
    made: Any = (HuMoBlocks() if blocks is None else blocks).init_pipeline()
    parts = {name: part for name, part in pipe.components.items() if name in made.component_names and part is not None}
    settings: dict[str, Any] = {
        name: pipe.config[name] for name in CONFIG if name in made.config and name in pipe.config
    }
    if "model_name" in made.config:
        settings["model_name"] = pipe.model_name
    made.update_components(**parts, **settings)
    made.prompt_cache = pipe.prompt_cache
    return made
