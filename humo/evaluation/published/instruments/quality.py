"""IQA: how sound the frames are technically (noise, blur, exposure), by MUSIQ trained on SPAQ as VBench uses it.

Each frame is scored as it is, 0 to 100; the mean over all frames is divided by 100.

Source: VBench (arXiv 2311.17982), `vbench/imaging_quality.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.metric import Metric, Video
from humo.evaluation.published.instruments.musiq import Musiq, rename
from humo.evaluation.published.instruments.pictures import to_tensor
from humo.evaluation.published.instruments.weights import Weights, WeightsFile

SPAQ = WeightsFile(
    path="musiq_spaq_ckpt-358bb6af.pth",
    num_bytes=109_000_000,
    url="https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
    sha256="358bb6af",
    licence="Google's weights are Apache 2.0; this conversion is offered under CC BY-NC-SA 4.0",
)
BATCH = 4
"""Frames a pass."""


@dataclass(eq=False, slots=True)
class ImageQuality(Metric):
    """The metric IQA, see the module."""

    name: ClassVar[str] = "IQA"
    family: ClassVar[str] = "quality"
    needs: ClassVar[tuple[WeightsFile, ...]] = (SPAQ,)
    meaning: ClassVar[str] = "mean score of the frames over 100, higher is better; as VBench"

    network: Musiq
    device: torch.device

    @classmethod
    def _read(cls, weights: Weights) -> ImageQuality:
        state_dict = {rename(name): value for name, value in weights.state_dict(SPAQ).items()}
        return cls(weights.fill(Musiq(), SPAQ, state_dict), weights.device)

    @torch.no_grad()
    def measure(self, video: Video, case: BenchCase) -> float:
        """Mean score over 100 of all frames."""
        scores = []
        for start in range(0, len(video.frames), BATCH):
            pixels = to_tensor(video.frames[start : start + BATCH]) / 255
            scores.append(self.network(pixels.to(self.device)))
        return float(torch.cat(scores).mean()) / 100
