"""AES: how beautiful the frames are, by LAION's aesthetic predictor as VBench uses it.

Each frame's CLIP ViT-L/14 embedding, of length 1, goes through one linear layer that was fitted to people's ratings
of 1 to 10; the mean over all frames is divided by 10.

VBench computes CLIP in half precision on a GPU; here it is float32.

Source: VBench (arXiv 2311.17982), `vbench/aesthetic_quality.py`; predictor: LAION-AI/aesthetic-predictor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPModel

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.metric import Metric, Video
from humo.evaluation.published.instruments.pictures import embed_pictures, vbench_square
from humo.evaluation.published.instruments.weights import Weights, WeightsFile, hub_files

CLIP = "clip-vit-large-patch14"
HEAD = WeightsFile(
    path="sa_0_4_vit_l_14_linear.pth",
    num_bytes=4_000,
    url="https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
    licence="MIT",
)
BATCH = 16
"""Frames a pass."""


@dataclass(eq=False, slots=True)
class Aesthetics(Metric):
    """The metric AES, see the module."""

    name: ClassVar[str] = "AES"
    family: ClassVar[str] = "aesthetics"
    needs: ClassVar[tuple[WeightsFile, ...]] = (
        HEAD,
        *hub_files(
            "openai/clip-vit-large-patch14",
            "32bd64288804d66eefd0ccbe215aa642df71cc41",
            CLIP,
            {"config.json": 4_519, "model.safetensors": 1_710_540_580},
            "MIT",
            {"model.safetensors": "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb"},
        ),
    )
    meaning: ClassVar[str] = "mean rating of the frames over 10, higher is better; as VBench"

    clip: CLIPModel
    head: nn.Linear

    @classmethod
    def _read(cls, weights: Weights) -> Aesthetics:
        clip = weights.pretrained(CLIPModel, CLIP, dtype=torch.float32)
        head = nn.Linear(clip.config.projection_dim, 1)
        return cls(clip, weights.fill(head, HEAD, weights.state_dict(HEAD)))

    @torch.no_grad()
    def measure(self, video: Video, case: BenchCase) -> float:
        """Mean rating over 10 of all frames."""
        side, device = self.clip.config.vision_config.image_size, self.clip.device
        ratings = []
        for start in range(0, len(video.frames), BATCH):
            pixels = vbench_square(video.frames[start : start + BATCH], side).to(device)
            ratings.append(self.head(F.normalize(embed_pictures(self.clip, pixels), dim=-1)))
        return float(torch.cat(ratings).mean()) / 10
