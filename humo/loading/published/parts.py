"""The parts around a published transformer: whole, fitting one another, and named in the pipeline's index.

Text encoder, tokenizer and video codec of Wan2.1 are used as they are; of Whisper only the encoder's tensors are taken.
What the weights say nothing about comes from the released configs: 480 x 832 pixels, 97 frames, 50 steps, the guidance
with its published scales, and the negative prompt of Wan2.1.

Source: HuMo released code (`generate.yaml`, `generate_1_7B.yaml`, `audio_processor_whisper.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKLWan
from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel, WhisperConfig, WhisperFeatureExtractor

from humo.audio import AudioEncoder
from humo.guidance import describe_rule, published_1_7b, published_17b
from humo.loading.published.keys import HasShape, input_channels
from humo.loading.published.presets import Preset
from humo.loading.published.shards import StoredTensor, check_weights, open_safetensors, place_of, read_json
from humo.loading.published.sources import Sources
from humo.pipeline import HuMoPipeline

NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"  # noqa: RUF001
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"  # noqa: RUF001
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"  # noqa: RUF001
)
"""Of Wan2.1, which the released HuMo configs take over. Source: Wan2.1, `wan/configs/shared_config.py`."""
BLACK_LEVEL = 0.0
"""Pixel value of the 17B form's null video: 0, the middle between black (-1) and white (1).

The release ships the video's latents as a file called `zero_vae`, which we have not seen. ComfyUI carries their values:
those of the first frame, turned into colours by ComfyUI's own table for Wan's latents, give (-0.02, -0.02, -0.07), so
what was encoded was 0 everywhere and not black."""
PIPELINE_CONFIG: dict[str, dict[str, Any]] = {
    "1.7B": {"default_guidance": describe_rule(published_1_7b())},
    "17B": {"default_guidance": describe_rule(published_17b()), "black_level": BLACK_LEVEL},
}
"""Where a converted pipeline differs from the defaults of `HuMoPipeline`, beside the negative prompt."""


def model_index(preset: Preset, sources: Sources) -> dict[str, Any]:
    """What `HuMoPipeline.save_pretrained` would write of the converted pipeline.

    Args:
        preset: the model.
        sources: where its files are.

    Returns:
        The content of model_index.json.

    Raises:
        ValueError: if the tokenizer or Whisper's preprocessor_config.json is damaged.
    """
    tokenizer_folder, whisper = sources.wan / "tokenizer", sources.whisper
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    except Exception:  # the tokenizers library raises bare Exception
        raise ValueError(f"{place_of(tokenizer_folder)} is damaged: fetch it again.") from None
    read_json(whisper / "preprocessor_config.json")
    WhisperFeatureExtractor.from_pretrained(whisper, local_files_only=True)
    parameters = inspect.signature(HuMoPipeline.__init__).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name != "focus_head"}
    return {
        "_class_name": HuMoPipeline.__name__,
        "_diffusers_version": diffusers.__version__,
        **defaults,
        "default_negative_prompt": NEGATIVE_PROMPT,
        **PIPELINE_CONFIG[preset.name],
        "tokenizer": ["transformers", type(tokenizer).__name__],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "feature_extractor": ["transformers", "WhisperFeatureExtractor"],
        "audio_encoder": ["humo.audio", "AudioEncoder"],
        "transformer": ["humo.transformer", "HuMoTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "focus_head": [None, None],
    }


def check_parts(preset: Preset, transformer: Mapping[str, Any] | None, audio: WhisperConfig, sources: Sources) -> None:
    """Refuse parts that are not whole, or do not fit the transformer.

    Args:
        preset: the model.
        transformer: config of the transformer; None if it lies in a file of its own and is checked when it is loaded.
        audio: config of the audio encoder.
        sources: where the other parts are.

    Raises:
        ValueError: if a part is damaged, lacks a tensor, or has other channels than the transformer takes.
    """
    text, codec = (
        None if part in sources.given else read_json(sources.wan / part / "config.json")
        for part in ("text_encoder", "vae")
    )
    if transformer is not None:
        file, channels = sources.transformer or sources.quantised, transformer["in_channels"]
        wanted = input_channels(transformer)[preset.name]
        if file is not None and channels != wanted:
            raise ValueError(
                f"{place_of(file)} has {channels} input channels but the {preset.name} form has {wanted}: "
                "give the other preset."
            )
        check_channels(
            transformer,
            None if text is None else text.get("d_model"),
            None if codec is None else codec.get("z_dim", 16),
            audio.d_model,
        )
    if text is not None:
        with torch.device("meta"):
            text_encoder = UMT5EncoderModel(UMT5Config.from_dict(text))
        tied = {"encoder.embed_tokens.weight", "shared.weight"}
        wanted_text = {name: value for name, value in text_encoder.state_dict().items() if name not in tied}
        stored = _open_part(sources.wan / "text_encoder")
        _check_tensors(stored, wanted_text, "text_encoder")
        if stored.keys().isdisjoint(tied):
            raise ValueError("text_encoder lacks its word embedding 'shared.weight': fetch it again.")
    if codec is not None:
        with torch.device("meta"):
            vae = AutoencoderKLWan.from_config(codec)
        _check_tensors(_open_part(sources.wan / "vae"), vae.state_dict(), "vae")


def check_channels(
    transformer: Mapping[str, Any], text: int | None = None, codec: int | None = None, audio: int | None = None
) -> None:
    """Refuse parts that do not fit a transformer.

    Args:
        transformer: its config.
        text: channels of the text encoder; None if it is not looked at.
        codec: channels of the video codec's latents; None if it is not looked at.
        audio: channels of the audio encoder; None if it is not looked at.

    Raises:
        ValueError: if one has other channels than the transformer takes.
    """
    fits = {
        "text encoder": (text, transformer["text_dim"]),
        "video codec": (codec, transformer["out_channels"]),
        "audio encoder": (audio, transformer["audio_channels"]),
    }
    for part, (has, takes) in fits.items():
        if has is not None and has != takes:
            raise ValueError(
                f"The {part} has {has} channels but the transformer takes {takes}: give the published parts."
            )


def read_audio_encoder(folder: Path) -> tuple[WhisperConfig, dict[str, StoredTensor]]:
    """Find the encoder in a published Whisper, strictly.

    Args:
        folder: with config.json and the weights of a whole Whisper.

    Returns:
        The encoder's config, and its tensors by the name that `AudioEncoder` gives them, in their own dtype.

    Raises:
        ValueError: if a file is damaged, a tensor is missing or of the wrong shape, or the layers do not form bands.
    """
    read_json(folder / "config.json")
    config = WhisperConfig.from_pretrained(folder)
    config.architectures = [AudioEncoder.__name__]
    if config.encoder_layers % 4:
        raise ValueError(
            f"The audio encoder has {config.encoder_layers} layers but a multiple of 4 is wanted: "
            "give openai/whisper-large-v3."
        )
    stored = _open_part(folder)
    with torch.device("meta"):
        expected = AudioEncoder(config).state_dict()
    prefix = "model.encoder." if any(name.startswith("model.") for name in stored) else "encoder."
    _check_tensors(stored, {prefix + name: value for name, value in expected.items()}, folder.name)
    return config, {name: stored[prefix + name] for name in expected}


def files_to_link(sources: Sources) -> list[Path]:
    """The files of Wan's parts that a converted folder holds unchanged."""
    files = sorted(file for file in (sources.wan / "tokenizer").iterdir() if file.is_file())
    for part in (each for each in ("text_encoder", "vae") if each not in sources.given):
        folder = sources.wan / part
        files += [folder / "config.json", *folder.glob("*.safetensors.index.json"), *check_weights(folder)]
    return files


def _open_part(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a component's folder, whole or in shards."""
    files = check_weights(folder)
    return open_safetensors(next(folder.glob("*.safetensors.index.json"), files[0]))


def _check_tensors(stored: Mapping[str, HasShape], expected: Mapping[str, HasShape], part: str) -> None:
    for name, tensor in expected.items():
        if name not in stored:
            raise ValueError(f"{part} lacks the tensor {name!r}: fetch it again.")
        if tuple(stored[name].shape) != tuple(tensor.shape):
            raise ValueError(
                f"The tensor {name!r} of {part} is {tuple(stored[name].shape)} but should be {tuple(tensor.shape)}: "
                "fetch it again."
            )
