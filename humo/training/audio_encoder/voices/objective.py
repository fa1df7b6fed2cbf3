"""The audio encoder learns to hear other voices as the bundled one hears espeak-ng's.

Targets are the features of the bundled encoder, the teacher, on espeak-ng's clean speech, brought from phoneme to
phoneme to where the student hears the same. The transformer stays as it is, so features count where it looks: the same
difference is measured once more behind its audio projection. Two frozen linear readers of the mouth, one on each band
and one within the projection, say what of it shows. Ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor

from humo.audio import WINDOW, AudioEncoder, merge_bands
from humo.layers.audio_attention import AudioProjection
from humo.timing import FRAMES_PER_LATENT, SAMPLE_RATE
from humo.training.audio_encoder.voices.batches import SHUT, VoiceBatch, VoiceBatchSettings, make_batch, resting
from humo.training.audio_encoder.voices.data import Sentence

# b chunks, t features (25 Hz), l latent frames

_QUIET_FEATURES = 8
"""Features at the end of a chunk in which the sentence is over."""
_RIDGE = 1e-4
"""Penalty of the readers' weights, beside the features' mean square."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceTrainingSettings:
    """Settings of the learning; all ours."""

    learning_rate: float = 1.5e-3
    """Peak rate of AdamW."""
    warmup: float = 0.03
    """Share of the training in which the rate rises."""
    token_weight: float = 1.0
    """Of the difference behind the projection, beside that of the features."""
    reading_weight: float = 30.0
    """Of what the readers say."""
    width_weight: float = 1.3
    """Of the mouth's width, beside its openness."""
    truth_share: float = 0.5
    """How much of what the readers should say is the true mouth; the rest is what they say of the teacher."""
    fitting_batches: int = 24
    """Batches of eight sentences on which the readers are fitted."""


class VoiceObjective(nn.Module):
    """Teacher, projection and readers, all frozen, and what a student's features miss.

    Args:
        teacher: the bundled encoder.
        projection: of the transformer that will hear the student.
        extractor: log-mel front end of both.
        sentences: to fit readers and scales on.
        batch, learning: settings.
    """

    def __init__(
        self,
        teacher: AudioEncoder,
        projection: AudioProjection,
        extractor: WhisperFeatureExtractor,
        sentences: list[Sentence],
        batch: VoiceBatchSettings,
        learning: VoiceTrainingSettings,
    ) -> None:
        super().__init__()
        self.teacher, self.projection = teacher.eval(), projection.eval()
        self.extractor, self.batch, self.learning = extractor, batch, learning
        self.requires_grad_(False)
        with torch.no_grad():
            positions = teacher.embed_positions.weight[None, :, None]
            self.positions = merge_bands(F.pad(positions.expand(-1, -1, 4, -1), (0, 0, 0, 1)))[0]
            self._fit(sentences)

    def features(self, encoder: AudioEncoder, sounds: np.ndarray) -> Tensor:
        """Band features of chunks (b, samples): (b, t, 5, c)."""
        mel = self.extractor(
            list(sounds), sampling_rate=SAMPLE_RATE, return_tensors="pt", max_length=self.batch.length
        ).input_features
        return merge_bands(torch.stack(encoder(mel, output_hidden_states=True).hidden_states, dim=2))

    def loss(self, student: AudioEncoder, batch: VoiceBatch) -> tuple[Tensor, dict[str, float]]:
        """What is minimised, and its parts for the log."""
        learning, places = self.learning, torch.from_numpy(batch.places).float()
        with torch.no_grad():
            taught = self.features(self.teacher, batch.taught)[batch.source]
            target = self._brought(taught, places)
            mouths = torch.from_numpy(batch.mouths[batch.source]).float()
            true = torch.from_numpy(resting(taken(mouths, places).numpy(), batch.places)).float()
            wanted, wanted_tokens = self._hidden(target)
            truth = self._latent_mouths(true)
        got = self.features(student, batch.heard)
        hidden, tokens = self._hidden(got)
        weight = torch.tensor([1.0, learning.width_weight])
        share = learning.truth_share
        features = F.smooth_l1_loss(got / self.scale, target / self.scale)
        seen = F.smooth_l1_loss(tokens / self.token_scale, wanted_tokens / self.token_scale)
        mixed = share * true[:, :, None] + (1 - share) * self.read_bands(target)
        bands = (F.huber_loss(self.read_bands(got), mixed, reduction="none", delta=0.3) * weight).mean()
        mixed = share * truth + (1 - share) * self.read_latents(wanted)
        latents = (F.huber_loss(self.read_latents(hidden), mixed, reduction="none", delta=0.3) * weight).mean()
        loss = features + learning.token_weight * seen + learning.reading_weight * (bands + latents)
        parts = {"features": features, "tokens": seen, "bands": bands, "latents": latents}
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def read_bands(self, features: Tensor) -> Tensor:
        """Openness and width from each band alone, (b, t, 5, 2)."""
        return torch.einsum("btkc,kco->btko", features, self.band_reader[:, :-1]) + self.band_reader[:, -1]

    def read_latents(self, hidden: Tensor) -> Tensor:
        """Openness and width of each latent frame's four video frames, from within the projection, (b, l, 4, 2)."""
        return (hidden @ self.latent_reader[:-1] + self.latent_reader[-1]).unflatten(-1, (FRAMES_PER_LATENT, 2))

    def _brought(self, taught: Tensor, places: Tensor) -> Tensor:
        """The teacher's features at the places (b, t), each with the encoder's position where it comes to lie."""
        positions = self.positions.expand_as(taught)
        target = taken(taught - positions, places) + positions
        return torch.where((places == SHUT)[..., None, None], self.shut.expand_as(target), target)

    def _hidden(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Within the projection, (b, l, hidden), and behind it, (b, l, tokens, dim)."""
        windows = features.unfold(1, WINDOW, FRAMES_PER_LATENT).movedim(-1, 2)  # (b, l, 8, 5, c)
        projection = self.projection
        hidden = torch.relu(projection.linear_2(torch.relu(projection.linear_1(windows.flatten(2)))))
        return hidden, projection.norm(projection.linear_3(hidden).unflatten(2, (projection.tokens, -1)))

    def _latent_mouths(self, mouths: Tensor) -> Tensor:
        """Mouths (b, t, 2) of the four frames of each window, (b, l, 4, 2): two features lie before, two behind."""
        return mouths.unfold(1, WINDOW, FRAMES_PER_LATENT)[..., 2:6].movedim(-1, 2)

    def _fit(self, sentences: list[Sentence]) -> None:
        """Readers, scales and the shut mouth's features, from the teacher on clean speech."""
        plain = VoiceBatchSettings(seconds=self.batch.seconds, sentences=8, versions=0, silent=1)
        features, mouths = [], []
        for number in range(self.learning.fitting_batches):
            batch = make_batch(10**6 + number, sentences, plain)
            features.append(self.features(self.teacher, batch.taught))
            mouths.append(torch.from_numpy(batch.mouths).float())
        heard, shown = torch.cat(features), torch.cat(mouths)
        quiet = (heard - self.positions)[:, -_QUIET_FEATURES:].mean((0, 1))
        self.shut = quiet + self.positions
        hidden, tokens = self._hidden(heard)
        self.scale = heard.flatten(0, 1).std(0) + 1e-3
        self.token_scale = tokens.flatten(0, 1).std(0) + 1e-3
        self.band_reader = torch.stack(
            [_ridge(heard[:, :, band].flatten(0, 1), shown.flatten(0, 1)) for band in range(heard.shape[2])]
        )
        self.latent_reader = _ridge(hidden.flatten(0, 1), self._latent_mouths(shown).flatten(2).flatten(0, 1))


def taken(values: Tensor, places: Tensor) -> Tensor:
    """Values (b, t, ...) at places (b, t) between them, by linear interpolation."""
    last = values.shape[1] - 1
    places = places.clamp(0.0, last - 1e-3)
    before = places.floor().long()
    part = (places - before).view(*places.shape, *[1] * (values.ndim - 2))
    rows = torch.arange(len(values))[:, None]
    return values[rows, before] * (1 - part) + values[rows, before + 1] * part


def _ridge(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Linear reader of outputs (n, o) from inputs (n, c): weights and, in the last row, the offset (c + 1, o)."""
    rows = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1).double()
    square = rows.T @ rows
    penalty = _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    return torch.linalg.solve(square + penalty, rows.T @ outputs.double()).float()
