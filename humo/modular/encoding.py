"""The blocks that make tensors of what was read: text, references, sound, what is known, noise."""

# b batch, f latent frames (video + references), r references, h w latent grid, z channels of video latents

from __future__ import annotations

from typing import Any

from diffusers.modular_pipelines import OutputParam
from torch import Tensor

from humo.known import Known
from humo.modular.declaring import CALL, NUM_REFERENCES, Block, given
from humo.requests.encoding import encode_known, encode_pictures, encode_sound, encode_texts
from humo.requests.noise import draw_video_noise


class TextBlock(Block):
    """Encodes prompt and negative prompt.

    It needs no other block: alone, it makes features that other calls may be given in its place. It takes texts as the
    model reads them; the block `read` puts anybody's words into those, for a model that knows only some.
    """

    components = ("tokenizer", "text_encoder")
    configs = ("max_sequence_length",)
    takes = (
        given("prompt_read", "the text", str, required=True),
        given("negative_prompt_read", "what branches without the text read", str, default=""),
        given("reads_negative", "False for a distilled model", bool, default=True),
        given("notes", "told if a text has more tokens than the model reads", list[str]),
    )
    gives = (
        OutputParam("prompt_embeds", Tensor, "features padded with zeros, (1, tokens, c)"),
        OutputParam("negative_prompt_embeds", Tensor, "of the negative prompt, same shape"),
    )

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        negative_prompt = at.negative_prompt_read if at.reads_negative else None
        features = encode_texts(pipe, at.prompt_read, negative_prompt, at.notes, pipe._execution_device)
        at.prompt_embeds, at.negative_prompt_embeds = features


class ReferencesBlock(Block):
    """Encodes the pictures as extra frames at the end of time; without one, the null that the model was taught.

    Left out, no picture is seen, whatever was given.
    """

    components = ("transformer", "vae")
    configs = ("black_level",)
    takes = (CALL,)
    gives = (
        OutputParam("reference_latents", Tensor, "clean latents, (1, z, r, h, w); None without a picture"),
        OutputParam("num_references", int, "slots for references, at least 1"),
        OutputParam("black_video_latents", Tensor, "of an empty video, (1, z, f, h, w), 17B form; else None"),
    )

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        request, device = at.call.request, pipe._execution_device
        size = request.height, request.width
        encoded = encode_pictures(pipe, at.call.pictures, request.num_frames, size, device)
        at.reference_latents, at.num_references, at.black_video_latents = encoded


class SoundBlock(Block):
    """Encodes the sound, and cuts what each latent frame hears; left out, nothing is heard."""

    components = ("feature_extractor", "audio_encoder")
    takes = (CALL, NUM_REFERENCES)
    gives = (OutputParam("audio_hidden_states", Tensor, "(1, f, 8, 5, c), zero on references; None without sound"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        frames, device = at.call.request.num_frames, pipe._execution_device
        at.audio_hidden_states = encode_sound(pipe, at.call.heard, frames, at.num_references, device)


class KnownBlock(Block):
    """Encodes what stays as it is, where something does (`humo.known`)."""

    components = ("vae",)
    takes = (CALL,)
    gives = (OutputParam("known_latents", Known, "by time and place; None where nothing is known"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        at.known_latents = encode_known(pipe, at.call.known, at.call.request.num_frames, pipe._execution_device)


class NoiseBlock(Block):
    """Draws the noise that the seed says; noise of one's own is left as it is."""

    components = ("transformer", "vae")
    takes = (CALL, NUM_REFERENCES, given("noise", "of one's own, (1, z, f, h, w), references' slots included", Tensor))
    gives = (OutputParam("noise", Tensor, "from which the video is made, (1, z, f, h, w), references' slots included"),)

    def compute(self, pipe: Any, at: Any) -> None:
        """See `Block.compute`."""
        noise = draw_video_noise(pipe, at.call.request, at.num_references) if at.noise is None else at.noise
        at.noise = noise.to(pipe._execution_device)
