"""What was read of a call, as the network is told it: features of texts, sound and pictures, with nulls for the rest.

Shared by `humo.pipeline` and the blocks of `humo.modular`: `pipe` is either, whatever has its components and config.
"""

# b batch, f latent frames (video + references), r references, h w latent grid, z channels of video latents

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from humo.audio import encode_audio, window_audio
from humo.known import Known
from humo.references import encode_black_video, encode_references
from humo.requests.continuing import Beginning
from humo.requests.prompt_cache import encode_tokens
from humo.timing import count_latents

Device = torch.device | str | None


def encode_text(pipe: Any, prompt: str, notes: list[str] | None = None, device: Device = None) -> Tensor:
    """Features of a text.

    Args:
        pipe: with tokenizer and text encoder, or a cache of prompts that knows the text.
        prompt: HTML entities are resolved and white space is collapsed.
        notes: told if it has more tokens than the model reads.
        device: where to compute; None for where the pipeline computes, which it takes a while to find out.

    Returns:
        Padded with zeros, (1, max_sequence_length, c).

    Raises:
        ValueError: if the text encoder was released, and no cache knows the text.
    """
    length = pipe.config.max_sequence_length
    prompt = " ".join(html.unescape(html.unescape(prompt)).split())  # twice, as released
    tokens = pipe.tokenizer(prompt, truncation=True, max_length=length, padding="max_length", return_tensors="pt")
    given = len(pipe.tokenizer(prompt, verbose=False).input_ids)
    if notes is not None and given > length:
        notes.append(f"The text has {given} tokens; the model reads the first {length}.")
    device = device or pipe._execution_device
    cache = getattr(pipe, "prompt_cache", None)

    def encode() -> Tensor:
        if pipe.text_encoder is None:
            raise ValueError("The text encoder was released and knows no other text: load the pipeline again.")
        return encode_tokens(pipe.text_encoder, tokens.input_ids.to(device), tokens.attention_mask.to(device))

    return encode() if cache is None else cache.features(prompt, length, encode).to(device)


def encode_texts(
    pipe: Any, prompt: str, negative_prompt: str | None, notes: list[str] | None = None, device: Device = None
) -> tuple[Tensor, Tensor]:
    """Features of prompt and negative prompt, which is None for a distilled model: it has no branch without text."""
    text = encode_text(pipe, prompt, notes, device)
    return text, text if negative_prompt is None else encode_text(pipe, negative_prompt, notes, device)


def encode_sound(
    pipe: Any, waveform: np.ndarray | None, num_frames: int, num_references: int, device: Device = None
) -> Tensor | None:
    """What every latent frame hears.

    Args:
        pipe: with feature extractor and audio encoder.
        waveform: mono, 16 kHz, as long as the video, (samples,); None without sound.
        num_frames: video frames.
        num_references: slots at the end of latent time, which hear nothing.
        device: where to compute; None for where the audio encoder is.

    Returns:
        (1, f, 8, 5, c), float32; None without sound.
    """
    if waveform is None:
        return None
    features = encode_audio(waveform, pipe.feature_extractor, pipe.audio_encoder, device)
    windows = window_audio(features, num_frames)
    nulls = torch.zeros_like(windows[:1]).expand(num_references, -1, -1, -1)
    return torch.cat([windows, nulls])[None].to(device or windows.device)


def encode_pictures(
    pipe: Any, pictures: Sequence[Image.Image], num_frames: int, size: tuple[int, int], device: Device = None
) -> tuple[Tensor | None, int, Tensor | None]:
    """Latents of the references, and what the network sees where there are none.

    Args:
        pipe: with transformer and codec.
        pictures: references, possibly none; at least one slot is kept for them, as released.
        num_frames: video frames.
        size: height and width of the video, pixels.
        device: where to compute; None for the codec's.

    Returns:
        Clean latents (1, z, r, h, w) or None, the number of slots, and latents of a black video (1, z, f, h, w) for the
        17B form, None for the others.
    """
    num_references = max(1, len(pictures))
    references = encode_references(pictures, pipe.vae, *size, device) if pictures else None
    black_video = None
    if pipe.transformer.config.in_channels != pipe.transformer.config.out_channels:
        num_latents = count_latents(num_frames) + num_references
        black_video = encode_black_video(pipe.vae, num_latents, *size, pipe.config.black_level, device)
    return references, num_references, black_video


def encode_known(pipe: Any, known: Known | Beginning | None, num_frames: int, device: Device = None) -> Known | None:
    """What stays as it is, batch size 1; what a video begins with is encoded (`humo.requests.continuing`)."""
    return known.encode(num_frames, pipe.vae, device) if isinstance(known, Beginning) else known
