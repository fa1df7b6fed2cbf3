"""The block that makes a video of latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from diffusers.modular_pipelines import OutputParam
from torch import Tensor

from humo.layers.decoding import OnFrames, decode_frames
from humo.modular.declaring import CALL, Block, given
from humo.requests.call import HuMoPipelineOutput, made_by, model_name
from humo.requests.continuing import tell_new


class DecodeBlock(Block):
    """Decodes the latents; the result is what `HuMoPipeline` returns."""

    components = ("vae", "transformer")
    configs = ("model_name",)
    takes = (
        CALL,
        given("latents", "clean, without references, (1, z, video frames, h, w)", Tensor, required=True),
        given("masks", "of `MaskBlock`", np.ndarray),
        given(
            "on_frames", "told each stretch of frames as soon as it is decoded, uint8 (f, height, width, 3)", OnFrames
        ),
    )
    gives = (OutputParam("video", HuMoPipelineOutput, "frames, sound, settings, notes"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        frames = decode_frames(at.latents, pipe.vae, tell_new(at.on_frames, at.call.overlap))
        name = pipe.config.model_name or model_name(pipe._pretrained_model_name_or_path, pipe.transformer)
        told = made_by(name, pipe.transformer)
        at.video = replace(at.call.output(frames, at.latents[0].cpu().numpy(), told), masks=at.masks)
