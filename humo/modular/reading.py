"""The block that reads and checks everything before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from diffusers.modular_pipelines import OutputParam
from PIL import Image

from humo.guidance import Rule
from humo.modular.declaring import Block, given
from humo.requests.call import Call, read_call
from humo.requests.continuing import KnownArguments


class ReadBlock(Block):
    """Reads and checks what is asked for, pictures and sounds included, before anything is computed.

    Its inputs are those of `HuMoPipeline.__call__`, which says more of each. A model of drawn people reads a photograph
    and anybody's words in those that it knows; that is why the text is read beside the picture.
    """

    components = ("transformer", "vae")
    configs = (
        "default_height",
        "default_width",
        "default_num_frames",
        "default_num_inference_steps",
        "default_guidance",
        "default_negative_prompt",
        "supported_sizes",
        "max_trained_frames",
        "max_frames",
        "max_references",
        "draws_photographs",
        "rewords_prompts",
        "heard_level",
    )
    takes = (
        given("prompt", "what to see, 1 to 2,000 characters", str, required=True),
        given("negative_prompt", "what not to see; default from the config", str),
        given("image", "one or several pictures of people or things; None for TA or T", Image.Image),
        given(
            "audio", "a sound file, or (samples in [-1, 1], Hz); None for TI or T", str | Path | tuple[np.ndarray, int]
        ),
        given("num_frames", "video frames, 4k + 1; default from the sound, else from the config", int),
        given("height", "pixels; default from the config", int),
        given("width", "pixels; default from the config", int),
        given("num_inference_steps", "steps of the solver; default from the config", int),
        given("guidance", "a rule of `humo.guidance`, or its plain data; default from the config", Rule),
        given("seed", "0 to 2**63 - 1; drawn and reported if None", int),
        given("as_is", "show a photograph as it is to a model of drawn people", bool, default=False),
        given("audio_shift", "-200 to 200 ms by which the mouth moves later than the sound", int, default=0),
        *(given(name, "see `humo.requests.continuing.KnownArguments`") for name in KnownArguments.__annotations__),
    )
    gives = (
        OutputParam("call", Call, "what was read"),
        OutputParam("prompt_read", str, "what the model reads in the place of the prompt"),
        OutputParam("negative_prompt_read", str, "and of the negative prompt"),
        OutputParam("reads_negative", bool, "False for a distilled model, which has no branch without text"),
        OutputParam("notes", list[str], "what was decided for the caller, in sentences; grows while the video is made"),
    )

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        at.call = read_call(pipe, **{each.name: getattr(at, each.name) for each in self.takes})
        request = at.call.read_request
        at.prompt_read, at.negative_prompt_read = request.prompt, request.negative_prompt
        at.reads_negative = not pipe.transformer.config.guidance_embeds
        at.notes = at.call.notes
