"""Real classes at tiny sizes: every component of a pipeline, built from configs, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from humo.audio import AudioEncoder
from humo.focus import FaceMaskPredictor
from humo.layers.autoencoder import HuMoVideoCodec
from humo.pipeline import HuMoPipeline
from humo.sampling import make_scheduler
from humo.transformer import HuMoTransformer3DModel
from humo.world.speech import speak

WORDS = [
    "a",
    "person",
    "woman",
    "man",
    "with",
    "red",
    "blue",
    "black",
    "hair",
    "glasses",
    "in",
    "shirt",
    "talks",
    "nods",
]
TEXT_DIM, AUDIO_CHANNELS, CHUNK_SECONDS = 16, 8, 2
DIM, NUM_HEADS = 48, 2


LATENT_STD = [2.0, 1.5, 1.0, 1.0, 0.8, 0.8, 0.5, 0.5]
"""Of the mini form's eight latent channels."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Words to numbers, with an end token."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16
    )


def text_encoder() -> UMT5EncoderModel:
    """UMT5 of one layer."""
    config = UMT5Config(
        vocab_size=3 + len(WORDS),
        d_model=TEXT_DIM,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        dropout_rate=0.0,
    )
    return UMT5EncoderModel(config).eval()


def feature_extractor() -> WhisperFeatureExtractor:
    """Log-mel front end with few bands."""
    return WhisperFeatureExtractor(feature_size=16, chunk_length=CHUNK_SECONDS)


def audio_encoder() -> AudioEncoder:
    """Whisper encoder of four layers, chunks of two seconds."""
    config = WhisperConfig(
        d_model=AUDIO_CHANNELS,
        encoder_layers=4,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        num_mel_bins=16,
        max_source_positions=50 * CHUNK_SECONDS,
        decoder_layers=1,
        decoder_attention_heads=2,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return AudioEncoder(config).eval()


def transformer(**changes: Any) -> HuMoTransformer3DModel:
    """HuMo of two blocks, 1.7B form."""
    config = dict(
        num_attention_heads=NUM_HEADS,
        attention_head_dim=DIM // NUM_HEADS,
        in_channels=8,
        out_channels=8,
        text_dim=TEXT_DIM,
        freq_dim=16,
        ffn_dim=64,
        num_layers=2,
        audio_dim=12,
        audio_tokens=2,
        audio_channels=AUDIO_CHANNELS,
        audio_hidden_dim=16,
    )
    return HuMoTransformer3DModel(**{**config, **changes}).eval()


def codec() -> HuMoVideoCodec:
    """The codec of mini with 8 channels: 16x16 pixels and 4 frames a latent."""
    return HuMoVideoCodec(z_dim=8, widths=(8, 8, 8, 8, 8), depths=(1, 0, 0, 0, 0)).eval()


def wan_vae() -> AutoencoderKLWan:
    """Wan's video codec with 4 channels: 8x8 pixels and 4 frames a latent."""
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1] * 4,
        latents_std=[2.0] * 4,
    ).eval()


def pipeline(form: str = "mini", **config: Any) -> HuMoPipeline:
    """A whole pipeline: "mini" (1.7B form, own codec, focus head) or "17B" (36-channel form, Wan's codec)."""
    torch.manual_seed(0)
    shared = dict(
        tokenizer=tokenizer(),
        text_encoder=text_encoder(),
        feature_extractor=feature_extractor(),
        audio_encoder=audio_encoder(),
        scheduler=make_scheduler(),
        max_sequence_length=12,
        default_num_frames=9,
        default_num_inference_steps=2,
        **config,
    )
    if form == "mini":
        return HuMoPipeline(
            transformer=transformer(latent_std=LATENT_STD),
            vae=codec(),
            focus_head=FaceMaskPredictor(DIM, num_blocks=2),
            **{"default_height": 64, "default_width": 64, "batch_branches": True, **shared},
        )
    return HuMoPipeline(
        transformer=transformer(in_channels=12, out_channels=4),
        vae=wan_vae(),
        **{"default_height": 32, "default_width": 48, **shared},
    )


def picture(height: int = 40, width: int = 30) -> Image.Image:
    """A coloured gradient."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = rows * 255 // height, columns * 255 // width, np.full_like(rows, 90)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def voice(seconds: float, rate: int = 16_000) -> tuple[np.ndarray, int]:
    """A tone that swells and fades."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 220 * time) * np.abs(np.sin(7 * time)) + 0.01).astype(np.float32), rate


def noise(*parts: tuple[float, float], rate: int = 16_000) -> np.ndarray:
    """Stretches of noise: (seconds, amplitude) each; 0 is silence."""
    draw = np.random.default_rng(7)
    sounds = [volume * draw.uniform(-1, 1, round(seconds * rate)) for seconds, volume in parts]
    return np.concatenate(sounds).astype(np.float32)


def said(*parts: str | float) -> np.ndarray:
    """Sentences in a synthetic voice without the silence around them, and seconds of silence; float32 at 16 kHz."""
    pieces = []
    for part in parts:
        if isinstance(part, str):
            waveform = speak(part).waveform
            heard = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())
            pieces.append(waveform[heard[0] : heard[-1] + 1])
        else:
            pieces.append(np.zeros(round(part * 16_000), np.float32))
    return np.concatenate(pieces)


def training_folder(folder: Path, num_clips: int, seconds: int) -> Path:
    """A folder of mini's training: untrained codec (8 channels), audio and text encoder, clips in shards of four."""
    from humo.training.audio_encoder.training import AudioEncoderSettings, make_audio_encoder
    from humo.training.text_encoder.model import make_text_encoder, make_tokenizer
    from humo.training.transformer.data import DataSettings, write_shards

    torch.manual_seed(0)
    HuMoVideoCodec(z_dim=8, widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0)).save_pretrained(folder / "autoencoder")
    settings = DataSettings(num_clips=num_clips, clips_per_shard=4, num_frames=49, size=128)
    assert len(list(write_shards(folder / "data", settings, folder / "autoencoder", workers=1))) == num_clips // 4
    extractor, encoder = make_audio_encoder(AudioEncoderSettings(seconds=seconds, width=16))
    extractor.save_pretrained(folder / "audio_encoder" / "feature_extractor")
    encoder.save_pretrained(folder / "audio_encoder" / "audio_encoder")
    tokenizer = make_tokenizer(num_captions=60)
    tokenizer.save_pretrained(folder / "text_encoder" / "tokenizer")
    make_text_encoder(tokenizer, width=16, layers=1).save_pretrained(folder / "text_encoder" / "text_encoder")
    return folder
