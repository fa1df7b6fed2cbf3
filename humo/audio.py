"""From a waveform to what the transformer hears: encoder states, bands, windows.

The sound at 16 kHz goes through a Whisper encoder in chunks of the encoder's own length. Its hidden states
(50 per second, one per layer and the input) are averaged into five bands and brought to 25 per second, one
for each video frame; every latent frame then gets a window of eight of them.

Source: HuMo sec. 3.2 and its released code (`audio_processor_whisper.py`, `get_audio_emb_window`). The paper
speaks of a window of 5, the released code uses 8; we follow the code.
"""

# t feature frames (50 Hz before, 25 Hz after `merge_bands`), f latent frames, c channels of the encoder

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    PreTrainedModel as PreTrainedModel,  # the pipeline's loader looks this name up in this module
)
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from humo.timing import FPS as FPS
from humo.timing import FRAMES_PER_LATENT, SAMPLES_PER_FRAME, check_num_frames, count_latents
from humo.timing import SAMPLE_RATE as SAMPLE_RATE

NUM_BANDS = 5
WINDOW = 8
"""Features per latent frame: its four video frames and two on each side."""


class AudioEncoder(WhisperEncoder):
    """A Whisper encoder as a pipeline component: the decoder is neither loaded nor saved.

    Args:
        config: transformers' WhisperConfig; `max_source_positions` / 50 is the length of a chunk in seconds.

    Source: HuMo sec. 3.2 (Whisper large-v3 in the published models).
    """


def encode_audio(
    waveform: Tensor | np.ndarray,
    feature_extractor: WhisperFeatureExtractor,
    encoder: WhisperEncoder,
    device: torch.device | str | None = None,
) -> Tensor:
    """Encode a waveform of any length.

    Args:
        waveform: mono, 16 kHz, float in [-1, 1], (samples,).
        feature_extractor: the encoder's log-mel front end.
        encoder: the audio encoder.
        device: where it computes; None for where its weights are, which under offloading may be elsewhere.

    Returns:
        Band features at 25 Hz, (samples // 640, 5, c), float32, where it computes.

    Raises:
        ValueError: if the waveform is not one row of at least 640 samples.

    Source: released code `audio_processor_whisper.py`, chunks of 30 s; a smaller encoder has shorter chunks.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    num_features = waveform.size // SAMPLES_PER_FRAME
    if waveform.ndim != 1 or num_features < 1:
        raise ValueError(
            f"waveform must be (samples,) with at least {SAMPLES_PER_FRAME} samples at 16 kHz "
            f"but is {waveform.shape}: give mono sound."
        )
    chunk = encoder.config.max_source_positions * 2 * feature_extractor.hop_length
    states = [
        _encode_chunk(waveform[start : start + chunk], chunk, feature_extractor, encoder, device or encoder.device)
        for start in range(0, num_features * SAMPLES_PER_FRAME, chunk)
    ]
    return merge_bands(torch.cat(states, dim=1)[:, : 2 * num_features])[0]


def merge_bands(hidden_states: Tensor) -> Tensor:
    """Average the encoder's hidden states into five bands and halve their rate.

    All states but the last form four equal groups, each averaged; the last state stands alone. The rate
    falls from 50 to 25 Hz by linear interpolation with aligned corners.

    Args:
        hidden_states: (b, t, states, c) at 50 Hz; 33 states in Whisper large-v3.

    Returns:
        (b, t // 2, 5, c), float32.

    Raises:
        ValueError: if the number of states is not 4k + 1 or t is below 2.

    Source: released code `audio_processor_whisper.py` (8 states a band, and `linear_interpolation`).
    """
    batch_size, num_positions, num_states, _ = hidden_states.shape
    if num_states % 4 != 1 or num_states < 5:
        raise ValueError(
            f"hidden_states has {num_states} states but 4k+1 are needed (5, 9, … 33): "
            "use an audio encoder whose number of layers is a multiple of 4."
        )
    if num_positions < 2:
        raise ValueError(f"hidden_states has {num_positions} positions at 50 Hz: at least 2 are needed.")
    hidden_states = hidden_states.float()
    groups = hidden_states[:, :, :-1].unflatten(2, (4, -1)).mean(dim=3)
    bands = torch.cat([groups, hidden_states[:, :, -1:]], dim=2)  # (b, t, 5, c)
    merged = F.interpolate(bands.flatten(2).transpose(1, 2), size=num_positions // 2, mode="linear", align_corners=True)
    return merged.transpose(1, 2).unflatten(2, (NUM_BANDS, -1))


def window_audio(features: Tensor, num_frames: int) -> Tensor:
    """Cut the window of each latent frame: features 4k-5 to 4k+2 of latent frame k, zero outside.

    Args:
        features: (t, 5, c) at 25 Hz.
        num_frames: video frames, 4k + 1.

    Returns:
        (f, 8, 5, c) with f = 1 + (num_frames - 1) / 4. Reference frames get zeros, which the caller appends.

    Raises:
        ValueError: if num_frames is not 4k + 1.

    Source: released code `get_audio_emb_window`, whose special case for the first frame this formula
    contains.
    """
    check_num_frames(num_frames)
    num_latents = count_latents(num_frames)
    before = WINDOW - 1 - 2  # the first latent frame is one video frame: it ends two features after feature 0
    length = FRAMES_PER_LATENT * (num_latents - 1) + WINDOW
    after = max(length - before - len(features), 0)
    padded = F.pad(features, (0, 0, 0, 0, before, after))[:length]
    return padded.unfold(0, WINDOW, FRAMES_PER_LATENT).movedim(-1, 1)


def _encode_chunk(
    waveform: np.ndarray,
    length: int,
    feature_extractor: WhisperFeatureExtractor,
    encoder: WhisperEncoder,
    device: torch.device | str,
) -> Tensor:
    """All hidden states of one chunk, padded with silence to `length` samples, (1, t, states, c)."""
    mel = feature_extractor(waveform, sampling_rate=SAMPLE_RATE, max_length=length, return_tensors="pt").input_features
    output = encoder(mel.to(device, encoder.dtype), output_hidden_states=True)
    return torch.stack(output.hidden_states, dim=2)
