"""The blocks of the denoising loop: guidance, velocity, solver; and two that are put in where they are wanted.

Inside the loop a block is called as (pipeline, block_state, i, t): `i` is the number of the step, `t` its timestep from
1000 (noise) to 0. `block_state.denoising` is the generation under way (`humo.sampling.Denoising`), by which all blocks
of the loop see and may change where it stands.
"""

# b batch, f latent frames (video + references), h w latent grid, z channels of video latents

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.modular_pipelines import (
    BlockState,
    ComponentSpec,
    ConfigSpec,
    InputParam,
    LoopSequentialPipelineBlocks,
    ModularPipeline,
    OutputParam,
    PipelineState,
)
from torch import Tensor

from humo.focus import MaskKeeper, check_masks
from humo.guidance import Weights
from humo.modular.declaring import (
    CALL,
    NUM_REFERENCES,
    Block,
    component_specs,
    config_specs,
    copies,
    describe,
    given,
)
from humo.requests.checks import choose_window
from humo.sampling import Conditions, Denoising


class LoopBlock(Block):
    """A block of the loop."""

    @torch.no_grad()
    def __call__(  # type: ignore[override]  # as diffusers calls the blocks of a loop
        self, components: ModularPipeline, block_state: BlockState, i: int, t: float
    ) -> tuple[ModularPipeline, BlockState]:
        """Do this block's part of step `i`."""
        self.compute(components, block_state)
        return components, block_state


class GuidanceBlock(LoopBlock):
    """Weighs the branches of this step by the call's rule.

    In its place a block may set `weights` by any means: a dict from `humo.guidance.Branch` to numbers whose sum is 1.
    """

    takes = (CALL,)
    gives = (OutputParam("weights", Weights, "weight of each branch that is run"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        at.weights = at.denoising.weigh(at.call.rule)


class VelocityBlock(LoopBlock):
    """Runs the transformer once for each branch, and adds up what it says."""

    components = ("transformer",)
    takes = (given("weights", "weight of each branch", Weights, required=True),)
    gives = (OutputParam("velocity", Tensor, "(b, z, f, h, w), float32"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        at.velocity = at.denoising.predict(at.weights)


class SolverBlock(LoopBlock):
    """Takes the step along the velocity."""

    components = ("scheduler",)
    takes = (given("velocity", "(b, z, f, h, w), float32", Tensor, required=True),)
    gives = (OutputParam("latents", Tensor, "references' slots included while the loop runs"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        at.latents = at.denoising.advance(at.velocity)


class ShowBlock(LoopBlock):
    """Calls `on_step`, if it is given, with the step that was done; it may raise `humo.StopGeneration`."""

    takes = (given("on_step", "called with `humo.sampling.StepState`"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        if at.on_step is not None and not at.denoising.goes_back:
            at.on_step(at.denoising.state())


class MaskBlock(LoopBlock):
    """Keeps where the network expects the face, for the video's `masks`. Not in `HuMoBlocks`: put it into its loop."""

    components = ("focus_head", "transformer")
    gives = (OutputParam("masks", np.ndarray, "probabilities, float32 (latent frames, rows, columns)"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        if at["mask_keeper"] is None:
            check_masks("MaskBlock", pipe.focus_head, pipe.transformer)
            at.mask_keeper = MaskKeeper(pipe.focus_head)
        if not at.denoising.goes_back:
            at.mask_keeper(at.denoising.state())
        at.masks = at.mask_keeper.best


class DenoiseBlock(LoopSequentialPipelineBlocks):
    """Turns noise into the video's latents, one step of the blocks in it after another."""

    model_name = "humo"
    block_classes = [GuidanceBlock, VelocityBlock, SolverBlock, ShowBlock]
    block_names = ["guidance", "velocity", "solver", "show"]

    @property
    def description(self) -> str:
        """The docstring's."""
        return describe(type(self))

    @property
    def loop_expected_components(self) -> list[ComponentSpec]:
        """Of the loop itself."""
        return component_specs(("transformer", "scheduler"))

    @property
    def loop_expected_configs(self) -> list[ConfigSpec]:
        """Of the loop itself."""
        return config_specs(("batch_branches", "max_trained_frames"))

    @property
    def loop_inputs(self) -> list[InputParam]:
        """What the network is told, and the noise."""
        return copies(
            (
                CALL,
                NUM_REFERENCES,
                given("prompt_embeds", "features of the text, (1, tokens, c)", Tensor, required=True),
                given("negative_prompt_embeds", "of what branches without it read", Tensor, required=True),
                given("reference_latents", "clean latents of the pictures, (1, z, r, h, w)", Tensor),
                given("black_video_latents", "17B form only, (1, z, f, h, w)", Tensor),
                given("audio_hidden_states", "what each latent frame hears, (1, f, 8, 5, c)", Tensor),
                given("known_latents", "what stays as it is, a `humo.known.Known`"),
                given("noise", "(1, z, f, h, w), references' slots included", Tensor, required=True),
            )
        )

    @property
    def loop_intermediate_outputs(self) -> list[OutputParam]:
        """The result."""
        return [OutputParam("latents", Tensor, "clean, without references, (1, z, video frames, h, w), float32")]

    @torch.no_grad()
    def __call__(self, components: Any, state: PipelineState) -> tuple[ModularPipeline, PipelineState]:
        """Run the loop."""
        at: Any = self.get_block_state(state)
        conditions = Conditions(
            text=at.prompt_embeds,
            negative_text=at.negative_prompt_embeds,
            audio=at.audio_hidden_states,
            references=at.reference_latents,
            num_references=at.num_references,
            black_video=at.black_video_latents,
            known=at.known_latents,
        )
        request = at.call.request
        at.denoising = Denoising(
            components.transformer,
            components.scheduler,
            conditions,
            at.noise,
            request.num_inference_steps,
            components.config.batch_branches,
            choose_window(request.num_frames, components.config, [at.call.notes]),
        )
        for index in at.denoising.steps():
            components, at = self.loop_step(components, at, i=index, t=at.denoising.timestep)
        at.latents = at.denoising.video
        self.set_block_state(state, at)
        return components, state
