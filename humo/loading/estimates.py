"""How much memory and arithmetic a video takes, worked out from the sizes of a model before anything is loaded.

All figures are estimates; `python -m humo benchmark --preset 1.7B --random-weights` measures. GB are 10**9 bytes.

- **Weights** are counted exactly: parameters times the bytes in which they are stored, quantised ones too, with what a
  plan of `humo.loading.memory` keeps on the GPU.
- **Operations** of a pass are counted exactly from the shapes, a multiplication and its addition as two (`pass_flops`).
- **Activations** of a pass: most bytes alive at once in a block of our transformer, see `pass_bytes`.
- **Keys and values** of text and sound that stay over the steps (`humo.layers.key_value_cache`) are counted exactly; on
  a GPU with less room than that, fewer stay.
- **Video codec**: bytes alive at once per pixel of a frame, see `DECODE_BYTES_PER_PIXEL`.

Attention is taken to run in a fused kernel, which holds no matrix of tokens by tokens. All of this file is ours; the
sizes are those of the published models.
"""

# n tokens of a pass, d channels, f feed-forward channels, t text tokens, F latent frames with references

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from humo.guidance import Branch, make_rule
from humo.layers.float8 import is_quantised
from humo.layers.key_value_cache import MAX_BYTES, token_bytes
from humo.loading.published.presets import ENCODERS
from humo.timing import count_latents
from humo.transformer import HuMoTransformer3DModel, humo_1_7b, humo_17b

if TYPE_CHECKING:
    from humo.loading.memory_presets import Plan
    from humo.pipeline import HuMoPipeline

GB = 10**9
MODELS = {"1.7B": (humo_1_7b, "published_1_7b"), "17B": (humo_17b, "published_17b")}
"""Config and guidance rule by preset."""
TEXT_TOKENS = 512
TEXT_EMBEDDING_PARAMETERS = 256_384 * 4096
"""Of the largest layer of umT5-xxl's encoder, the table of tokens."""
DECODE_BYTES_PER_PIXEL = 19_400
"""Alive at once while AutoencoderKLWan decodes in float32, per pixel of a frame, any length (it goes latent frame by
latent frame); counted over the tensors of its true size with diffusers 0.42.1, at 256x256 and 480x832."""
ENCODE_BYTES_PER_PIXEL = 14_300
"""The same while it encodes."""
TILE_PIXELS = 256 * 256
"""Of a tile of AutoencoderKLWan."""
BFLOAT16 = 2.0
"""Bytes of a parameter in 16 bits."""
WIDENING_BYTES = (4, 10)
"""Alive at once for each number of a quantised matrix while it is widened, of a byte each (Q8_0, float8) and of less (5
for Q4_K, 10 for Q5_0): counted over the tensors of diffusers 0.42.1."""
RESERVE = 1 * GB
"""For CUDA's own context, workspaces and fragmentation: an assumption."""
ASSUMED_TFLOPS = 100.0
"""10**12 operations a second of a pass where nothing is known of the GPU: an assumption."""
TYPICAL_TIMESTEP = 800.0
"""Where passes are counted: below every switch and above the end of guidance, as most steps are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What of a model decides its memory and time."""

    name: str
    """For people."""
    config: Mapping[str, Any]
    """The transformer's."""
    transformer: int
    """Parameters."""
    blocks: int
    """Parameters of the transformer that lie in its blocks."""
    text_encoder: int
    """Parameters."""
    text_embedding: int
    """Parameters of the text encoder's table of tokens."""
    audio_encoder: int
    """Parameters."""
    vae: int
    """Parameters."""
    guidance: Mapping[str, Any]
    """The model's own rule, as plain data."""
    size_multiple: int
    """Pixels of a token's side."""
    block_bytes: float = BFLOAT16
    """Bytes of a parameter of the blocks as they are stored; fewer than two where they came quantised."""
    text_bytes: float = BFLOAT16
    """The same of the text encoder, whose table of tokens is never quantised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What of a call, beside the video's size, decides its memory and time."""

    num_images: int = 1
    """Pictures; a slot is kept even without one."""
    has_audio: bool = True
    """Whether there is a sound."""
    guidance: Mapping[str, Any] | None = None
    """Rule as plain data; None for the model's own."""
    num_processes: int = 1
    """That share the tokens, each on a GPU of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a video is expected to take; bytes unless said otherwise."""

    tokens: int
    """Of one pass."""
    flops: int
    """Floating-point operations of one pass."""
    branches: int
    """Passes a step."""
    processes: int
    """That share each pass; the memory is that of one GPU."""
    weights: int
    """On the device while denoising."""
    activations: int
    """On the device while denoising."""
    kept: int
    """Keys and values of text and sound, on the device while denoising."""
    encode: int
    """Peak while text, sound and pictures are encoded."""
    denoise: int
    """Peak while denoising."""
    decode: int
    """Peak while the video is decoded."""
    host: int
    """Weights in the host's memory, those of all processes."""

    @property
    def peak(self) -> int:
        """Most bytes on the device."""
        return max(self.encode, self.denoise, self.decode)

    def seconds(self, num_inference_steps: int, tflops: float = ASSUMED_TFLOPS) -> float:
        """Seconds of the denoising alone.

        Args:
            num_inference_steps: steps.
            tflops: 10**12 operations a second that the passes of one process reach.
        """
        return num_inference_steps * self.branches * self.flops / (self.processes * tflops * 1e12)


@cache
def sizes_of_preset(preset: str) -> Sizes:
    """Sizes of a published model.

    Args:
        preset: "1.7B" or "17B".

    Raises:
        ValueError: if it is another name.
    """
    if preset not in MODELS:
        raise ValueError(f"There are no sizes for {preset!r}: give {' or '.join(MODELS)}, or a loaded pipeline.")
    make_config, rule = MODELS[preset]
    with torch.device("meta"):
        transformer = HuMoTransformer3DModel(**make_config())
    return Sizes(
        name=preset,
        config=transformer.config,
        transformer=count_parameters(transformer),
        blocks=count_parameters(transformer.blocks),
        text_embedding=TEXT_EMBEDDING_PARAMETERS,
        **ENCODERS,
        guidance={"rule": rule},
        size_multiple=16,
    )


def sizes_of_pipeline(pipeline: HuMoPipeline) -> Sizes:
    """Sizes of a loaded model; a text encoder that was released counts nothing."""
    transformer, text_encoder = pipeline.transformer, pipeline.text_encoder
    embedding = 0 if text_encoder is None else count_parameters(text_encoder.get_input_embeddings())
    has_quantised_text = text_encoder is not None and is_quantised(text_encoder)
    return Sizes(
        name=f"{count_parameters(transformer) / GB:.3g} B parameters",
        config=transformer.config,
        transformer=count_parameters(transformer),
        blocks=count_parameters(transformer.blocks),
        text_encoder=0 if text_encoder is None else count_parameters(text_encoder),
        text_embedding=embedding,
        audio_encoder=count_parameters(pipeline.audio_encoder),
        vae=count_parameters(pipeline.vae),
        guidance=pipeline.config.default_guidance,
        size_multiple=pipeline.size_multiple,
        block_bytes=_stored_bytes(transformer.blocks) if is_quantised(transformer) else BFLOAT16,
        text_bytes=_stored_bytes(text_encoder) if has_quantised_text else BFLOAT16,
    )


def _stored_bytes(module: torch.nn.Module) -> float:
    """Bytes of a parameter as it is stored, on average."""
    return sum(parameter.nbytes for parameter in module.parameters()) / count_parameters(module)


def count_parameters(module: torch.nn.Module) -> int:
    """Parameters of a module, shared ones once; of a quantised matrix its numbers."""
    return sum(math.prod(getattr(parameter, "quant_shape", parameter.shape)) for parameter in module.parameters())


def count_branches(guidance: Mapping[str, Any], has_image: bool = True, has_audio: bool = True) -> int:
    """Passes of a step under a rule of guidance given as plain data, counted at `TYPICAL_TIMESTEP`."""
    return len(_branches(guidance, has_image, has_audio))


def _branches(guidance: Mapping[str, Any], has_image: bool, has_audio: bool) -> list[Branch]:
    return list(make_rule(guidance)(TYPICAL_TIMESTEP, has_image, has_audio))


def count_tokens(latent_frames: int, height: int, width: int, size_multiple: int = 16) -> int:
    """Tokens of a pass: one for each square of `size_multiple` pixels of each latent frame, references included."""
    return latent_frames * (height // size_multiple) * (width // size_multiple)


def pass_flops(config: Mapping[str, Any], latent_frames: int, tokens: int, text_tokens: int = TEXT_TOKENS) -> int:
    """Floating-point operations of one pass of one sample, without cheap things and without `detail_flops`.

    Per block, with d channels: self-attention 8 n d^2 + 4 n^2 d; text 4 n d^2 + 4 t d^2 + 4 n t d; feed-forward
    4 n d f. Beside the blocks: patches, output, and the embeddings of text and time. And the sound, see `sound_flops`.

    Args:
        config: the transformer's.
        latent_frames: F, references included.
        tokens: n.
        text_tokens: t.

    Source: the shapes of `humo.transformer`; a test compares with PyTorch's own count.
    """
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    block = 12 * tokens * dim**2 + 4 * tokens**2 * dim  # queries and outputs of two attentions; self-attention
    block += 4 * text_tokens * dim**2 + 4 * tokens * text_tokens * dim
    block += 4 * tokens * dim * config["ffn_dim"]
    patch = math.prod(config["patch_size"])
    ends = 2 * tokens * dim * patch * (config["in_channels"] + config["out_channels"])
    text = 2 * text_tokens * dim * (config["text_dim"] + dim)
    time = 2 * dim * (config["freq_dim"] + dim + 6 * dim)
    return config["num_layers"] * block + ends + text + time + sound_flops(config, latent_frames, tokens)


def sound_flops(config: Mapping[str, Any], latent_frames: int, tokens: int) -> int:
    """What of `pass_flops` hearing adds to Wan's transformer.

    Per block, with d channels and a tokens of c channels a latent frame: 4 n d^2 + 4 F a c d + 4 n a d. Beside the
    blocks: the projection of the windows.

    Args:
        config: the transformer's.
        latent_frames: F, references included.
        tokens: n.

    Source: as of `pass_flops`.
    """
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    audio_dim, audio_tokens, hidden = config["audio_dim"], config["audio_tokens"], config["audio_hidden_dim"]
    block = 4 * tokens * dim**2 + 4 * latent_frames * audio_tokens * audio_dim * dim + 4 * tokens * audio_tokens * dim
    window = math.prod(config[f"audio_{name}"] for name in ("window", "bands", "channels"))
    projection = 2 * latent_frames * hidden * (window + hidden + audio_tokens * audio_dim)
    return config["num_layers"] * block + projection


def detail_flops(config: Mapping[str, Any], tokens: int) -> int:
    """What the detail head adds to a pass below the config's `detail_below`, floating-point operations.

    With c channels, z of the latents, o of the output, d of the transformer and p places of the tokens:
    2 p c (9 z + 2 o + d), 2 d^2 for the time, and per block 24 p c^2 + 6 d c.

    Args:
        config: the transformer's.
        tokens: of the pass, those of references included.

    Source: the shapes of `humo.layers.detail.head`; a test compares with PyTorch's own count.
    """
    if not config["detail_layers"]:
        return 0
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    width, square = config["detail_width"], math.prod(config["patch_size"])
    latents, out = len(config["latent_std"]), (1 + config["estimate_gate"]) * config["out_channels"]
    places = tokens * square
    block = 24 * places * width**2 + 6 * dim * width
    return config["detail_layers"] * block + 2 * places * width * (9 * latents + 2 * out + dim) + 2 * dim**2


def pass_bytes(config: Mapping[str, Any], tokens: int, itemsize: int = 2) -> int:
    """Most bytes alive at once in a pass, beside the weights.

    In 16 bits a token holds in each block either 22 d bytes (a gated residual in float32 with its operands) or
    4 f + 6 d (both sides of the feed-forward layer's activation, its input, the residual and the block's own input),
    whichever is more, and 8 bytes a channel of one head for the rotary tables. In 32 bits twice that, tables apart.

    Args:
        config: the transformer's.
        tokens: n, times the batch.
        itemsize: bytes of a number.

    Source: `humo.transformer` and diffusers' Wan block, read and counted; a test compares with the tensors of a run.
    """
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    block = max(22 * dim, 4 * config["ffn_dim"] + 6 * dim) * itemsize // 2
    return tokens * (block + 8 * config["attention_head_dim"])


def kept_bytes(config: Mapping[str, Any], latent_frames: int, branches: Collection[Branch]) -> int:
    """Bytes of the keys and values of texts and sounds, in 16 bits; each text and each sound is kept once.

    Args:
        config: the transformer's.
        latent_frames: F, references included.
        branches: of a step.
    """
    texts, sounds = ({getattr(branch, shown) for branch in branches} for shown in ("text", "audio"))
    tokens = len(texts) * TEXT_TOKENS + len(sounds) * latent_frames * config["audio_tokens"]
    return min(MAX_BYTES, tokens * token_bytes(config))


def estimate(sizes: Sizes, height: int, width: int, num_frames: int, plan: Plan, call: Call | None = None) -> Estimate:
    """Memory and operations of one video.

    The three phases are added up apart: while encoding, the text encoder counts (whole, or only its largest layer where
    it is offloaded layer by layer); while denoising, the transformer (whole, or two of its blocks and what lies outside
    them) and what is kept of text and sound (nothing beside two blocks); while decoding, the codec. What a plan leaves
    on the device counts in all of them. Several processes share the tokens of a pass and nothing else.

    Args:
        sizes: of the model.
        height: pixels.
        width: pixels.
        num_frames: video frames, 4k + 1.
        plan: what is kept where (`humo.loading.memory_presets`).
        call: what else is asked; None for one picture and a sound under the model's own guidance, on one GPU.

    Returns:
        The estimate.
    """
    call = Call() if call is None else call
    latent_frames = count_latents(num_frames) + max(1, call.num_images)
    tokens = count_tokens(latent_frames, height, width, sizes.size_multiple)
    transformer, streamed = _transformer_bytes(sizes, plan)
    text, audio, vae = int(sizes.text_bytes * sizes.text_encoder), 4 * sizes.audio_encoder, 4 * sizes.vae
    turns, keeps_encoders = plan.model_offload, not (plan.model_offload or plan.offload_encoders)
    always = vae + (0 if turns or plan.offload_blocks else transformer) + (text + audio if keeps_encoders else 0)
    encoding = 0 if keeps_encoders else max(text, audio) if turns else 2 * sizes.text_embedding
    codec_in, codec_out = _codec_bytes(height, width, num_frames, plan.tile_vae)
    weights = always + (transformer if turns else streamed)
    activations = pass_bytes(sizes.config, math.ceil(tokens / call.num_processes)) + _widened_bytes(sizes)
    branches = _branches(call.guidance or sizes.guidance, call.num_images > 0, call.has_audio)
    kept = 0 if plan.offload_blocks else kept_bytes(sizes.config, latent_frames, branches)
    host = 0 if keeps_encoders else text + audio + (transformer if turns or plan.offload_blocks else 0)
    return Estimate(
        tokens=tokens,
        flops=pass_flops(sizes.config, latent_frames, tokens),
        branches=len(branches),
        processes=call.num_processes,
        weights=weights,
        activations=activations,
        kept=kept,
        encode=always + max(encoding, codec_in) + RESERVE,
        denoise=weights + activations + kept + RESERVE,
        decode=always + codec_out + RESERVE,
        host=call.num_processes * host,
    )


def _transformer_bytes(sizes: Sizes, plan: Plan) -> tuple[int, int]:
    """Bytes of the whole transformer, and those of it that are on the device at once where its blocks come in turn."""
    stored = 1 if plan.layerwise_casting and sizes.block_bytes == BFLOAT16 else sizes.block_bytes
    blocks = int(stored * sizes.blocks)
    whole = blocks + 2 * (sizes.transformer - sizes.blocks)
    if not plan.offload_blocks:
        return whole, 0
    block = blocks // sizes.config["num_layers"]
    return whole, 2 * (sizes.transformer - sizes.blocks) + 2 * block  # one computes while the next one comes


def _widened_bytes(sizes: Sizes) -> int:
    """Bytes of the largest matrix while it is widened; none in 16 bits."""
    dim = sizes.config["num_attention_heads"] * sizes.config["attention_head_dim"]
    if sizes.block_bytes == BFLOAT16:
        return 0
    return WIDENING_BYTES[sizes.block_bytes < 1] * dim * sizes.config["ffn_dim"]


def _codec_bytes(height: int, width: int, num_frames: int, tiled: bool) -> tuple[int, int]:
    """Bytes alive at once while encoding a video and while decoding it, beside the weights.

    Tiled, the pixels of all tiles (a third of them overlap) and of the joined video are there as well.
    """
    video = 3 * 4 * num_frames * height * width
    at_once = min(TILE_PIXELS, height * width) if tiled else height * width
    return ENCODE_BYTES_PER_PIXEL * at_once + 2 * video, DECODE_BYTES_PER_PIXEL * at_once + (4 if tiled else 2) * video
