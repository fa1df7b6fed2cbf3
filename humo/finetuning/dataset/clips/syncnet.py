"""SyncNet: how far apart a mouth and a sound are, by a network that was trained for it.

Its weights are optional and fetched by whoever wants them: `syncnet_v2.model` from
www.robots.ox.ac.uk/~vgg/software/lipsync, published with MIT-licensed code. The layers are named as in that file.
Five frames of the face and 0.2 s of sound become two vectors of 1024 numbers; they are near where both belong together.

The published evaluation finds faces with S3FD; here the box comes from the clip's face mask, so that scores are close
to published Sync-C and Sync-D but not the same.

Source: Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016), and its released code
(`SyncNetModel.py`, `SyncNetInstance.py::evaluate`, `run_pipeline.py::crop_video`).
"""

# f frames, n windows of five frames

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from humo.finetuning.dataset.clips.crops import WINDOW
from humo.finetuning.dataset.clips.mfcc import mfcc

MAX_OFFSET = 15
"""Frames by which the sound is moved against the picture, each way."""
STEPS = 4
"""Steps of the cepstrum for each frame."""
BATCH = 20
"""Windows at once."""


@dataclass(frozen=True, slots=True)
class SyncNetScore:
    """What SyncNet says of a clip."""

    confidence: float
    """Sync-C: the median distance over all offsets less the smallest; larger is better."""
    distance: float
    """Sync-D: the smallest mean distance; smaller is better."""
    offset: int
    """Frames by which the sound is to be moved, at the smallest distance."""


class SyncNet(nn.Module):
    """The two streams of SyncNet, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1),
            *_layer(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_layer(nn.Conv2d(192, 384, 3, padding=1)),
            *_layer(nn.Conv2d(384, 256, 3, padding=1)),
            *_layer(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_layer(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netcnnlip = nn.Sequential(
            *_layer(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_layer(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_layer(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfcaud = nn.Sequential(*_layer(nn.Linear(512, 512)), nn.Linear(512, 1024))
        self.netfclip = nn.Sequential(*_layer(nn.Linear(512, 512)), nn.Linear(512, 1024))
        self.eval()

    def embed_sound(self, cepstrum: Tensor) -> Tensor:
        """Windows of the cepstrum (n, 1, 13, 20) -> (n, 1024)."""
        return self.netfcaud(self.netcnnaud(cepstrum).flatten(1))

    def embed_face(self, faces: Tensor) -> Tensor:
        """Windows of faces (n, 3, 5, 224, 224), blue first, 0..255 -> (n, 1024)."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))

    @torch.no_grad()
    def score(self, faces: np.ndarray, waveform: np.ndarray) -> SyncNetScore:
        """Score a clip.

        Args:
            faces: crops of `humo.finetuning.dataset.clips.crops.crop_faces`, (f, 224, 224, 3) uint8 RGB, f > 5.
            waveform: mono at 16 kHz, float32 in [-1, 1], 640 samples a frame.

        Returns:
            Confidence, distance and offset over the clip.

        Raises:
            ValueError: if the clip has fewer than 6 frames.
        """
        count = min(len(faces), len(waveform) // 640) - WINDOW
        if count < 1:
            raise ValueError(
                f"SyncNet needs {WINDOW + 1} frames with sound but has {count + WINDOW}: give a longer clip."
            )
        weight = next(self.parameters())
        pictures = torch.from_numpy(np.ascontiguousarray(faces[..., ::-1])).permute(3, 0, 1, 2)
        cepstrum = torch.from_numpy(mfcc(np.round(waveform * 32767))).T.float()
        seen, heard = [], []
        for start in range(0, count, BATCH):
            places = range(start, min(count, start + BATCH))
            windows = torch.stack([pictures[:, place : place + WINDOW] for place in places])
            seen.append(self.embed_face(windows.to(weight)))
            sounds = torch.stack([cepstrum[None, :, STEPS * place : STEPS * (place + WINDOW)] for place in places])
            heard.append(self.embed_sound(sounds.to(weight)))
        return compare(torch.cat(seen).float().cpu(), torch.cat(heard).float().cpu())


def compare(seen: Tensor, heard: Tensor) -> SyncNetScore:
    """Compare the embeddings (n, 1024) of a clip's faces and sounds at all offsets; outside are zeros, as released."""
    padded = F.pad(heard, (0, 0, MAX_OFFSET, MAX_OFFSET))
    shifted = padded.unfold(0, len(seen), 1)  # (31, 1024, n)
    distances = F.pairwise_distance(seen.T.expand_as(shifted).mT, shifted.mT).mean(1)
    least = int(distances.argmin())
    smallest = float(distances[least])
    return SyncNetScore(float(distances.median()) - smallest, smallest, MAX_OFFSET - least)


def load_syncnet(file: str | Path) -> SyncNet:
    """Load the published weights.

    Args:
        file: `syncnet_v2.model`.

    Returns:
        The network, on the CPU.

    Raises:
        ValueError: if the file is missing or holds something else.
    """
    file = Path(file)
    if not file.is_file():
        raise ValueError(
            f"sync_weights names {file.name}, which does not exist: fetch syncnet_v2.model from "
            "www.robots.ox.ac.uk/~vgg/software/lipsync."
        )
    net = SyncNet()
    try:
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError):
        raise ValueError(f"{file.name} does not hold SyncNet's weights: fetch syncnet_v2.model again.") from None
    return net


def _layer(layer: nn.Conv2d | nn.Conv3d | nn.Linear) -> tuple[nn.Module, nn.Module, nn.Module]:
    norms = {nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d, nn.Linear: nn.BatchNorm1d}
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return layer, norms[type(layer)](width), nn.ReLU()
