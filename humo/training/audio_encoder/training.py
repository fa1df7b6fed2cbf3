"""Training of mini's audio encoder: from the sound to the shape of the mouth, then frozen.

An audio encoder trained from nothing together with the transformer is ignored by it (measured); this one learns first,
in minutes, what the published model gets from Whisper: features in which speech is easy to read. It is a Whisper
encoder at small size with Whisper's own front end. Two small heads, dropped afterwards, read openness and width of the
mouth from *each* of the five bands, so that every band carries speech. Gain, noise and colour of the sound vary, so
that other voices than espeak-ng's have a chance. Ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import lfilter
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor

from humo.audio import AudioEncoder, merge_bands
from humo.timing import FPS, SAMPLE_RATE
from humo.training.autoencoder.training import cosine_with_warmup
from humo.training.background import prefetch
from humo.world.clips import plan_clip, speak_plan
from humo.world.visemes import mouth_curves


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioEncoderSettings:
    """Settings of the audio encoder's training; all ours."""

    seconds: int = 6
    """Length of the encoder's chunk."""
    width: int = 64
    """Channels of the encoder."""
    batch_size: int = 12
    """Chunks a step."""
    steps: int = 1500
    """Training steps."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW."""


def make_audio_encoder(settings: AudioEncoderSettings) -> tuple[WhisperFeatureExtractor, AudioEncoder]:
    """Whisper's front end (80 mel bands) and an untrained encoder of four layers, so that each state is a band."""
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=settings.seconds)
    config = WhisperConfig(
        num_mel_bins=80, d_model=settings.width, encoder_layers=4, encoder_attention_heads=2,
        encoder_ffn_dim=3 * settings.width, max_source_positions=50 * settings.seconds, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=8, vocab_size=8, max_target_positions=8, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return extractor, AudioEncoder(config)


def speech_batch(seed: int, settings: AudioEncoderSettings, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Log-mel chunks (b, 80, 100 s) and mouth curves (b, 25 s, 2)."""
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=settings.seconds)
    rng = np.random.default_rng((1 if split == "train" else 2, seed))
    frames = settings.seconds * FPS
    length = settings.seconds * SAMPLE_RATE
    sounds, curves = [], []
    for index in range(settings.batch_size):
        speech = speak_plan(plan_clip(seed * settings.batch_size + index, split))
        offset = int(rng.integers(-20, max(1, int(speech.duration * FPS) - 25)))  # in frames; negative: starts late
        start = offset * SAMPLE_RATE // FPS
        sound = np.concatenate([np.zeros(max(-start, 0), np.float32), speech.waveform[max(start, 0) :]])[:length]
        heard = rng.integers(25, frames + 1) * SAMPLE_RATE // FPS  # what follows is the silence of a short clip
        sound = np.pad(sound[:heard], (0, max(0, length - len(sound[:heard]))))
        curve = np.stack(mouth_curves(speech.phonemes, speech.duration, offset / FPS, frames), axis=-1)
        curve[heard * FPS // SAMPLE_RATE :] = (0.0, 0.5)
        sounds.append(_vary(rng, sound) if split == "train" else sound)
        curves.append(curve)
    mel = extractor(sounds, sampling_rate=SAMPLE_RATE, return_tensors="np", max_length=length).input_features
    return mel.astype(np.float32), np.stack(curves).astype(np.float32)


def _vary(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Another loudness, colour and background noise for half of the sounds."""
    if rng.random() < 0.5:
        return sound
    tilt = rng.uniform(-0.5, 0.6)
    sound = lfilter([1.0], [1.0, -tilt], sound) if tilt > 0 else lfilter([1.0, tilt], [1.0], sound)
    noise = rng.standard_normal(len(sound)) * 10 ** rng.uniform(-4.0, -2.0)
    return (10 ** rng.uniform(-0.8, 0.3) * sound + noise).astype(np.float32)


class MouthReader(nn.Module):
    """Reads the mouth from each band alone, (b, t, 5, c) -> (b, t, 5, 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, 2) for _ in range(5))

    def forward(self, bands: Tensor) -> Tensor:
        return torch.stack([head(bands[:, :, index]) for index, head in enumerate(self.heads)], dim=2)


def train_audio_encoder(
    encoder: AudioEncoder, reader: MouthReader, settings: AudioEncoderSettings
) -> Iterator[tuple[int, float]]:
    """Trains the encoder with a reader; yields (step, loss)."""
    parameters = [*encoder.parameters(), *reader.parameters()]
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-3)
    encoder.train()
    with closing(prefetch(speech_batch, 0, settings)) as batches:
        for step in range(settings.steps):
            mel, curves = (torch.from_numpy(part) for part in next(batches))
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * cosine_with_warmup(step / settings.steps, 0.05, 0.02)
            states = torch.stack(encoder(mel, output_hidden_states=True).hidden_states, dim=2)
            read = reader(merge_bands(states))
            weight = torch.tensor([1.0, 0.7])  # width matters less than openness
            loss = (F.huber_loss(read, curves[:, :, None].expand_as(read), reduction="none", delta=0.3) * weight).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            yield step + 1, loss.item()
    encoder.eval().requires_grad_(False)


@torch.no_grad()
def measure_audio_encoder(
    encoder: AudioEncoder, reader: MouthReader, settings: AudioEncoderSettings, batches: int = 8
) -> dict[str, float]:
    """Correlation of the mouth read from each band with the truth, on held-out sentences."""
    read, true = [], []
    for seed in range(batches):
        mel, curves = (torch.from_numpy(part) for part in speech_batch(seed, settings, "test"))
        states = torch.stack(encoder(mel, output_hidden_states=True).hidden_states, dim=2)
        read.append(reader(merge_bands(states)).flatten(0, 1))
        true.append(curves.flatten(0, 1))
    read_all, true_all = torch.cat(read), torch.cat(true)
    return {
        f"{name}_band{band}": round(float(torch.corrcoef(torch.stack([read_all[:, band, i], true_all[:, i]]))[0, 1]), 3)
        for i, name in enumerate(("openness", "width"))
        for band in range(5)
    }
