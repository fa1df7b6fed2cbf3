"""CLIP-I and DINO-I: how much the frames look like the references, as DreamBench does it.

The cosine between the embedding of each reference and of each of sixteen frames, averaged: CLIP ViT-B/32's image
embedding, or the class token of DINO ViT-S/16. DreamBench compares pictures; that frames stand for a video, how many,
and that whole frames are compared, not cut-out subjects, is ours: the paper does not say.

Source: Ruiz et al. 2023, DreamBooth (arXiv 2208.12242), sec. 4.2.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, ViTModel

from humo.evaluation.published.cases import BenchCase
from humo.evaluation.published.instruments.metric import Metric, Video, looks
from humo.evaluation.published.instruments.pictures import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    embed_pictures,
    pil_square,
)
from humo.evaluation.published.instruments.weights import Weights, WeightsFile, hub_files
from humo.media import read_picture

CLIP, DINO = "clip-vit-base-patch32", "dino-vits16"
FRAMES = 16
"""Frames of a video that are compared."""


class _Similarity(Metric):
    """See the module."""

    family: ClassVar[str] = "similarity"
    conditions: ClassVar[str] = "I"
    meaning: ClassVar[str] = "cosine to the references, higher is more alike; frames and their number are our choice"

    @torch.no_grad()
    def measure(self, video: Video, case: BenchCase) -> float:
        """Mean over references and frames, -1 to 1."""
        frames = self.embed([Image.fromarray(video.frames[look]) for look in looks(len(video.frames), FRAMES)])
        references = self.embed([read_picture(path) for path in case.references])
        return float((references @ frames.T).mean())

    @abstractmethod
    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """Pictures to embeddings of length 1, (n, c)."""


@dataclass(eq=False, slots=True)
class ClipSimilarity(_Similarity):
    """The metric CLIP-I, see the module."""

    name: ClassVar[str] = "CLIP-I"
    needs: ClassVar[tuple[WeightsFile, ...]] = hub_files(
        "openai/clip-vit-base-patch32",
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        CLIP,
        {"config.json": 4_186, "pytorch_model.bin": 605_000_000},
        "MIT",
    )

    model: CLIPModel

    @classmethod
    def _read(cls, weights: Weights) -> ClipSimilarity:
        return cls(weights.pretrained(CLIPModel, CLIP, dtype=torch.float32))

    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """By the projected class token."""
        side = self.model.config.vision_config.image_size
        pixels = torch.stack([pil_square(picture, side, side, CLIP_MEAN, CLIP_STD) for picture in pictures])
        return F.normalize(embed_pictures(self.model, pixels.to(self.model.device)), dim=-1)


@dataclass(eq=False, slots=True)
class DinoSimilarity(_Similarity):
    """The metric DINO-I, see the module."""

    name: ClassVar[str] = "DINO-I"
    needs: ClassVar[tuple[WeightsFile, ...]] = hub_files(
        "facebook/dino-vits16",
        "abe3b354cb6a9b6f146096b14a4a9d7eecbcb4bd",
        DINO,
        {"config.json": 500, "pytorch_model.bin": 87_000_000},
        "Apache 2.0",
    )

    model: ViTModel

    @classmethod
    def _read(cls, weights: Weights) -> DinoSimilarity:
        return cls(weights.pretrained(ViTModel, DINO, dtype=torch.float32, add_pooling_layer=False))

    def embed(self, pictures: list[Image.Image]) -> Tensor:
        """By the class token."""
        side = self.model.config.image_size
        shorter = round(side * 256 / 224)
        pixels = torch.stack([pil_square(picture, shorter, side, IMAGENET_MEAN, IMAGENET_STD) for picture in pictures])
        return F.normalize(self.model(pixels.to(self.model.device)).last_hidden_state[:, 0], dim=-1)
