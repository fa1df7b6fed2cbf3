"""How a block says what it is: the declarations of diffusers' blocks as class attributes."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
from diffusers.modular_pipelines import (
    ComponentSpec,
    ConfigSpec,
    InputParam,
    ModularPipeline,
    ModularPipelineBlocks,
    OutputParam,
    PipelineState,
)
from transformers import AutoTokenizer, UMT5EncoderModel, WhisperFeatureExtractor

from humo.audio import AudioEncoder
from humo.focus import FaceMaskPredictor
from humo.pipeline import HuMoPipeline
from humo.transformer import HuMoTransformer3DModel

COMPONENTS: dict[str, type] = {
    "tokenizer": AutoTokenizer,
    "text_encoder": UMT5EncoderModel,
    "feature_extractor": WhisperFeatureExtractor,
    "audio_encoder": AudioEncoder,
    "transformer": HuMoTransformer3DModel,
    "vae": AutoencoderKLWan,
    "scheduler": UniPCMultistepScheduler,
    "focus_head": FaceMaskPredictor,
}
"""Types where no index of a folder says otherwise: those of the published models."""
_SIGNATURE = inspect.signature(HuMoPipeline.__init__).parameters
CONFIG = {name: each.default for name, each in _SIGNATURE.items() if name not in (*COMPONENTS, "self")} | {
    "default_guidance": {"rule": "published_17b"},
    "model_name": "",
}
"""Settings and their defaults: those of `HuMoPipeline`, and the name that a video's settings tell."""


class Block(ModularPipelineBlocks):
    """A block of HuMo; its class attributes are what diffusers asks for by properties."""

    model_name = "humo"
    components: ClassVar[tuple[str, ...]] = ()
    """Names in `COMPONENTS`."""
    configs: ClassVar[tuple[str, ...]] = ()
    """Names in `CONFIG`."""
    takes: ClassVar[tuple[InputParam, ...]] = ()
    gives: ClassVar[tuple[OutputParam, ...]] = ()

    @property
    def description(self) -> str:
        """The first paragraph of the class's docstring."""
        return describe(type(self))

    @property
    def expected_components(self) -> list[ComponentSpec]:
        """Models and what belongs to them."""
        return component_specs(self.components)

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        """Settings of the pipeline."""
        return config_specs(self.configs)

    @property
    def inputs(self) -> list[InputParam]:
        """What it reads of the state."""
        return copies(self.takes)

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        """What it adds to the state."""
        return list(self.gives)

    @torch.no_grad()
    def __call__(self, components: ModularPipeline, state: PipelineState) -> tuple[ModularPipeline, PipelineState]:
        """Read the state, compute, and write into it."""
        block_state: Any = self.get_block_state(state)
        self.compute(components, block_state)
        self.set_block_state(state, block_state)
        return components, state

    def compute(self, pipe: Any, at: Any) -> None:
        """Set what the block gives on `at`, which has what it takes as attributes.

        Args:
            pipe: with the components and the config.
            at: diffusers' BlockState.
        """
        raise NotImplementedError


def describe(kind: type) -> str:
    """The first paragraph of a class's docstring in one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def component_specs(names: tuple[str, ...]) -> list[ComponentSpec]:
    """Specifications of components by name."""
    return [ComponentSpec(name, COMPONENTS[name]) for name in names]


def config_specs(names: tuple[str, ...]) -> list[ConfigSpec]:
    """Specifications of settings by name."""
    return [ConfigSpec(name, CONFIG[name]) for name in names]


def copies(params: tuple[InputParam, ...]) -> list[InputParam]:
    """Copies, for a loop of diffusers writes into what it is given."""
    return [replace(each) for each in params]


def given(name: str, about: str, hint: Any = None, default: Any = None, required: bool = False) -> InputParam:
    """An input."""
    return InputParam(name, type_hint=hint, default=default, required=required, description=about)


CALL = given("call", "what was read of the inputs (`humo.requests.call.Call`), of the block `read`", required=True)
NUM_REFERENCES = given("num_references", "slots for references at the end of latent time", int, default=1)
